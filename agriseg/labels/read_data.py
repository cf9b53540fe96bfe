"""What a user gives as data: a configuration, a simulated folder, or a scene with its labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field

from agriseg.errors import LabelError, OptionError, nearest
from agriseg.labels.config import DataSettings, Part, legend_from
from agriseg.labels.division import CHIP_SIZE, cell_of, chosen, divided, part_of
from agriseg.labels.material import Material, open_material
from agriseg.labels.raster_labels import palette_of
from agriseg.labels.simulated import simulated_folders
from agriseg.labels.split import PARTS, SplitSettings
from agriseg.labels.survey import survey
from agriseg.legend import Legend
from agriseg.settings import Settings, checked
from agriseg.vector.names import read_names
from agriseg.yaml_file import read_yaml

__all__ = ["read_data"]

_EXAMPLE = 'legend: {soil: "#a6784f", crop: "#2ca02c"}'
_YAML = (".yaml", ".yml")
# A configuration with one of these is that of a training, which divides its scenes.
_OF_TRAINING = ("split", "bands", "chips")


class _Chips(Settings):
    size: int = Field(default=CHIP_SIZE, ge=1)
    gsd_m: float | tuple[float, float] | None = None


class _Division(Settings):
    """What of a training's configuration says how its scenes are divided."""

    split: SplitSettings = SplitSettings()
    chips: _Chips = _Chips()


def read_data(
    data: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    legend: Legend | None = None,
    part: str | None = None,
    base: str | os.PathLike[str] | None = None,
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
        part: Only what is for "train", "validation" or "test": scenes that were set apart so, or
            of a training's configuration, what the training made so.
        base: The folder that paths in a YAML file start from; by default the file's own.
        more: Keys of the entry beside `labels`: column, values, elsewhere, bands, sensor, ...

    Raises:
        LabelError: Labels are not there, or cannot be used.
        InputError: Images are not there, or cannot be used.
        OptionError: What is said of them makes no sense.
    """
    if part is not None and part not in PARTS:
        raise OptionError(f"part {part!r} is unknown; {nearest(part, PARTS)}")
    path = Path(data)
    values = None
    if labels is None and path.suffix.lower() in _YAML:
        values = read_yaml(path, _EXAMPLE)
    where = Path(base) if base is not None else path.parent
    material = _found(path, values, where, labels, legend, more)
    if part is None:
        return material
    if values is None or not any(key in values for key in _OF_TRAINING):
        return chosen(material, part)
    return _divided(material, values, str(path), part)


def _divided(material: Material, values: dict[str, Any], where: str, part: Part) -> Material:
    """A part as a training makes it; the same configuration and data give the same."""
    chips = values.get("chips")
    given: dict[str, Any] = {"split": values.get("split", {}), "chips": {}}
    if isinstance(chips, dict):
        given["chips"] = {key: chips[key] for key in _Chips.model_fields if key in chips}
    settings = checked(_Division, given, where)
    size, gsd_m = settings.chips.size, settings.chips.gsd_m
    counted = survey(material, cell_of(size))
    split = divided(material, counted, settings.split, chip=size, gsd_m=gsd_m)
    return part_of(material, counted, split, part)


def _found(
    path: Path,
    values: dict[str, Any] | None,
    base: Path,
    labels: str | os.PathLike[str] | None,
    legend: Legend | None,
    more: dict[str, Any],
) -> Material:
    """All scenes, whatever they are for."""
    if labels is not None:
        entry = {"kind": "scenes", "scenes": str(path), "labels": os.fspath(labels), **more}
        legend = legend or _legend_of(os.fspath(labels))
        return _open({"legend": legend, "data": [entry]}, str(path), Path())
    if values is not None:
        known: dict[str, Any] = {key: values[key] for key in ("legend", "data") if key in values}
        if "data" not in known:
            near = nearest("data", values)
            hint = (
                near if near.startswith("did") else "list the scenes, such as data: [{kind: ...}]"
            )
            raise OptionError(f"{path}: data is missing; {hint}")
        if "legend" not in known and legend is not None:
            known["legend"] = legend
        return _open(known, str(path), base)
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
