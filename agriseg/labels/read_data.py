"""What a user gives as data: a configuration, a simulated folder, or a scene with its labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agriseg.errors import LabelError, OptionError, nearest
from agriseg.labels.config import DataSettings, legend_from
from agriseg.labels.material import Material, open_material
from agriseg.labels.raster_labels import palette_of
from agriseg.labels.simulated import simulated_folders
from agriseg.legend import Legend
from agriseg.settings import checked
from agriseg.vector.names import read_names
from agriseg.yaml_file import read_yaml

__all__ = ["read_data"]

_EXAMPLE = 'legend: {soil: "#a6784f", crop: "#2ca02c"}'
_YAML = (".yaml", ".yml")


def read_data(
    data: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    legend: Legend | None = None,
    **more: Any,
) -> Material:
    """Open scenes with labels, however they are given.

    Args:
        data: A YAML file with `data:`, and `legend:` unless it is given here (the rest of a
            training configuration is passed over); a folder that `agriseg simulate` made; or a
            raster, with `labels`.
        labels: A label raster or a vector file.
        legend: The classes, such as those of a model; a YAML file's own go before. By default
            those that the label raster names.
        more: Keys of the entry beside `labels`: column, values, elsewhere, bands, sensor, ...

    Raises:
        LabelError: Labels are not there, or cannot be used.
        InputError: Images are not there, or cannot be used.
        OptionError: What is said of them makes no sense.
    """
    path = Path(data)
    if labels is not None:
        entry = {"kind": "scenes", "scenes": str(path), "labels": os.fspath(labels), **more}
        legend = legend or _legend_of(os.fspath(labels))
        return _open({"legend": legend, "data": [entry]}, str(path), Path())
    if path.suffix.lower() in _YAML:
        values = read_yaml(path, _EXAMPLE)
        known: dict[str, Any] = {key: values[key] for key in ("legend", "data") if key in values}
        if "data" not in known:
            near = nearest("data", values)
            hint = (
                near if near.startswith("did") else "list the scenes, such as data: [{kind: ...}]"
            )
            raise OptionError(f"{path}: data is missing; {hint}")
        if "legend" not in known and legend is not None:
            known["legend"] = legend
        return _open(known, str(path), path.parent)
    if path.is_dir():
        _, first = next(iter(simulated_folders([str(path)], Path())))
        entry = {"kind": "simulated", "folder": str(path), **more}
        return _open(
            {"legend": legend or _legend_of(str(first)), "data": [entry]}, str(path), Path()
        )
    if not path.exists():
        raise LabelError(f"{path}: there is no such file or folder; check the path")
    raise LabelError(
        f"{path} comes without labels; give them with --labels, or a YAML file with legend and data"
    )


def _open(values: dict[str, Any], where: str, base: Path) -> Material:
    settings = checked(DataSettings, values, where)
    return open_material(settings.data, settings.legend, base=base)


def _legend_of(path: str) -> Legend:
    """The legend that a label raster itself states.

    Raises:
        LabelError: It names no classes.
    """
    names = read_names(path) if os.path.exists(path) else {}
    if not names or sorted(names) != list(range(len(names))):
        raise LabelError(f"{path} does not name its classes; give a YAML file with legend and data")
    palette = palette_of(path)
    if palette is None:
        return legend_from([names[k] for k in sorted(names)])
    return Legend.of(*((names[k], "#" + bytes(palette[k]).hex()) for k in sorted(names)))
