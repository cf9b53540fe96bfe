"""agriseg turns drone and satellite imagery into maps that a farm can act on.

    import agriseg

    run = agriseg.segment("field.tif", "out")
    run.classes       # path of a Cloud Optimized GeoTIFF, on the grid of the input
    run.segments      # path of a GeoPackage: polygons that tile it

Public names load what they need when they are first used, so that `import agriseg` is quick and
loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from agriseg._version import __version__

if TYPE_CHECKING:
    from agriseg.errors import AgrisegError
    from agriseg.evaluation import Evaluation, evaluate
    from agriseg.indices.verb import write_indices as indices
    from agriseg.legend import ClassLabel, Legend
    from agriseg.models import BandInput, ModelCard, Predictor, load_model, save_model
    from agriseg.pipeline.lazy import predict
    from agriseg.raster import Scene, describe_scene, open_scene
    from agriseg.runs import Run, read_run
    from agriseg.simulate.verb import simulate
    from agriseg.training.dry import dry_run
    from agriseg.training.folds import cross_validate
    from agriseg.training.verb import train
    from agriseg.vector import vectorize
    from agriseg.workflow import bench, segment

__all__ = [
    "AgrisegError",
    "BandInput",
    "ClassLabel",
    "Evaluation",
    "Legend",
    "ModelCard",
    "Predictor",
    "Run",
    "Scene",
    "__version__",
    "bench",
    "cross_validate",
    "describe_scene",
    "dry_run",
    "evaluate",
    "indices",
    "load_model",
    "open_scene",
    "predict",
    "read_run",
    "save_model",
    "segment",
    "simulate",
    "train",
    "vectorize",
]

_HOMES = {
    "agriseg.errors": ("AgrisegError",),
    "agriseg.evaluation": ("Evaluation", "evaluate"),
    "agriseg.indices": ("indices",),
    "agriseg.legend": ("ClassLabel", "Legend"),
    "agriseg.models": ("BandInput", "ModelCard", "Predictor", "load_model", "save_model"),
    "agriseg.pipeline.lazy": ("predict",),
    "agriseg.raster": ("Scene", "describe_scene", "open_scene"),
    "agriseg.runs": ("Run", "read_run"),
    "agriseg.simulate": ("simulate",),
    "agriseg.training.dry": ("dry_run",),
    "agriseg.training.folds": ("cross_validate",),
    "agriseg.training.verb": ("train",),
    "agriseg.vector": ("vectorize",),
    "agriseg.workflow": ("bench", "segment"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'agriseg' has no attribute {name!r}")
    home = import_module(_HOME_OF[name])
    # The packages `agriseg.simulate` and `agriseg.indices` are the verbs themselves.
    value = home if name in ("simulate", "indices") else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
