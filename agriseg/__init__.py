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
    from agriseg.farm.compare import Comparison, compare
    from agriseg.farm.health import field_health
    from agriseg.farm.season import season
    from agriseg.farm.trial import trial
    from agriseg.fields.verb import fields
    from agriseg.fields.weeds.grid import weed_grid
    from agriseg.fields.weeds.patches import weed_patches
    from agriseg.fields.zones.making import make_zones
    from agriseg.fields.zones.table import stressed_ha
    from agriseg.indices.verb import write_indices as indices
    from agriseg.legend import ClassLabel, Legend
    from agriseg.models import (
        BandInput,
        ModelCard,
        Predictor,
        export_onnx,
        import_model,
        load_model,
        save_model,
    )
    from agriseg.pipeline.lazy import predict
    from agriseg.publish import plot, write_item, write_project, write_quicklook, write_report
    from agriseg.raster import Scene, describe_scene, open_scene
    from agriseg.runs import Run, open_run
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
    "Comparison",
    "Evaluation",
    "Legend",
    "ModelCard",
    "OnnxExport",
    "Predictor",
    "Run",
    "Scene",
    "__version__",
    "bench",
    "compare",
    "cross_validate",
    "describe_scene",
    "dry_run",
    "evaluate",
    "export_onnx",
    "field_health",
    "fields",
    "import_model",
    "indices",
    "load_model",
    "make_zones",
    "open_run",
    "open_scene",
    "plot",
    "predict",
    "save_model",
    "season",
    "segment",
    "simulate",
    "stressed_ha",
    "train",
    "trial",
    "vectorize",
    "weed_grid",
    "weed_patches",
    "write_item",
    "write_project",
    "write_quicklook",
    "write_report",
]

_HOMES = {
    "agriseg.errors": ("AgrisegError",),
    "agriseg.evaluation": ("Evaluation", "evaluate"),
    "agriseg.farm.compare": ("Comparison", "compare"),
    "agriseg.farm.health": ("field_health",),
    "agriseg.farm.season": ("season",),
    "agriseg.farm.trial": ("trial",),
    "agriseg.fields": ("fields",),
    "agriseg.fields.weeds.grid": ("weed_grid",),
    "agriseg.fields.weeds.patches": ("weed_patches",),
    "agriseg.fields.zones.table": ("stressed_ha",),
    "agriseg.fields.zones.making": ("make_zones",),
    "agriseg.indices": ("indices",),
    "agriseg.legend": ("ClassLabel", "Legend"),
    "agriseg.models": (
        "BandInput",
        "ModelCard",
        "Predictor",
        "export_onnx",
        "import_model",
        "load_model",
        "save_model",
    ),
    "agriseg.pipeline.lazy": ("predict",),
    "agriseg.publish": ("write_item", "write_project", "write_quicklook", "write_report"),
    "agriseg.publish.plot": ("plot",),
    "agriseg.raster": ("Scene", "describe_scene", "open_scene"),
    "agriseg.runs": ("Run", "open_run"),
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
    # These packages are what is meant themselves, as a rule a verb.
    value = home if name in ("fields", "indices", "plot", "simulate") else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
