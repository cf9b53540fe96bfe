"""The verb `write_project`: results that QGIS opens in the right colours."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agriseg._version import __version__
from agriseg.errors import AgrisegError, InputError, OptionError
from agriseg.geobox import GeoBox
from agriseg.publish.colors import CERTAINTY
from agriseg.publish.dress import dress, dress_tables, put_qml
from agriseg.publish.extent import around
from agriseg.publish.image import Image, image_of
from agriseg.publish.layers import (
    CLASSES,
    DIAGNOSTICS,
    HEALTH,
    INPUT,
    Group,
    Layer,
    class_layer,
    confidence_layer,
    geobox_of,
    run_groups,
    table_layers,
)
from agriseg.publish.mosaic import Mosaic, main_crs, mosaics_of
from agriseg.publish.place import placed
from agriseg.publish.project import Project, is_ours, write_qgz
from agriseg.publish.styles import color_ramp, paletted
from agriseg.publish.tables import TABLES, index_looks
from agriseg.publish.virtual import pointer
from agriseg.publish.words import number
from agriseg.raster.scene import FACTS
from agriseg.runs import Run, read_run
from agriseg.runs.batch import BATCH_FILE, INDEX_FILE

__all__ = [
    "PROJECT_FILE",
    "Given",
    "refresh_project",
    "runs_of",
    "title_of",
    "try_project",
    "write_project",
]

PROJECT_FILE, RECORD = "result.qgz", "run.json"
_LOG = logging.getLogger(__name__)
# Of more scenes the common project shows the maps as one, and each has a project of its own.
_MOST_SCENES = 40

Given = str | Path | Run


def write_project(
    results: Given | Sequence[Given], out: str | Path | None = None, *, overwrite: bool = False
) -> Path:
    """Write a QGIS project that shows results in their colours, with legends that speak.

    It adapts to what is there: class map, polygons, confidence, and of fields.gpkg, zones.gpkg,
    weeds.gpkg, patches.gpkg and rows.gpkg what lies in the folder. Paths in it are relative, so the
    folder may be moved. Rasters get a .qml file beside them and GeoPackages their style inside, so
    each opens right on its own too. The image that was segmented is shown through image.vrt, which
    points to it; it stays away where the image is gone.

    Args:
        results: The folder of a run, or the run; or a folder of runs, or a list of runs or of their
            folders: each scene then gets a project, and all together one.
        out: The project file; by default result.qgz in the folder. A list of runs in different
            folders needs it.
        overwrite: Also replace a project that was saved in QGIS.

    Returns:
        The project file.

    Raises:
        InputError: There are no results.
        OptionError: `out` is missing, or no .qgz file.
        OutputError: It cannot be written, or the project there was saved in QGIS.
    """
    runs, folder = runs_of(results)
    path = _target(out, folder)
    if folder is None or folder.resolve() != runs[0].path.resolve():
        return _write_many(runs, path, overwrite)
    (run,) = runs
    dress(run)
    write_qgz(path, _project_of(run, path.parent, image_of(run)), overwrite=overwrite)
    return path


def try_project(results: Given | Sequence[Given]) -> bool:
    """Write a project beside results that are good without it; whether it was written.

    Why it was not is logged.
    """
    try:
        write_project(results)
    except AgrisegError as error:
        _LOG.warning("QGIS project: %s", error)
        return False
    return True


def refresh_project(folder: str | Path) -> None:
    """Bring result.qgz up to date where it is there; one that was saved in QGIS stays as it is."""
    if (Path(folder) / PROJECT_FILE).exists():
        try_project(folder)


def runs_of(results: Given | Sequence[Given]) -> tuple[list[Run], Path | None]:
    """The runs that are meant, and the folder that their project belongs to, if it is one."""
    given = [results] if isinstance(results, str | Path | Run) else list(results)
    if not given:
        raise OptionError("no results were given; name the folder of a run")
    paths = [one.path if isinstance(one, Run) else Path(one) for one in given]
    if len(paths) > 1:
        parents = {path.resolve().parent for path in paths}
        return [read_run(path) for path in paths], parents.pop() if len(parents) == 1 else None
    (folder,) = paths
    if (folder / RECORD).exists():
        return [read_run(folder)], folder
    if names := _scenes(folder):
        return _there(folder, names), folder
    return [read_run(folder)], folder  # which says what is wrong


def _scenes(folder: Path) -> list[str]:
    """The folders of runs in a folder of many scenes, in the order of the batch if it was one."""
    try:
        scenes = json.loads((folder / BATCH_FILE).read_text(encoding="utf-8"))["scenes"]
        return [str(one["name"]) for one in scenes if one["state"] == "done"]
    except FileNotFoundError:
        return sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / BATCH_FILE} cannot be read ({error}); run agriseg segment again"
        ) from error


def _there(folder: Path, names: Sequence[str]) -> list[Run]:
    """The runs among these that are still whole."""
    found = []
    for name in names:
        try:
            found.append(read_run(folder / name))
        except InputError as error:
            _LOG.warning("%s is left out: %s", name, error)
    if not found:
        raise InputError(f"{folder} holds no finished run; run agriseg segment first")
    return found


def _target(out: str | Path | None, folder: Path | None) -> Path:
    if out is None and folder is None:
        raise OptionError(
            "the results lie in different folders; say where their project goes: -o FILE.qgz"
        )
    return placed(out, (folder or Path()) / PROJECT_FILE, (".qgz",), "a QGIS project")


def _base(folder: Path, project: Path) -> str:
    """How paths into a folder start, seen from the project's folder."""
    path, relative = pointer(folder, project)
    return "./" if path == "." else f"./{path}/" if relative else f"{path}/"


def _project_of(run: Run, place: Path, image: Image | None) -> Project:
    """The project of one scene."""
    groups = run_groups(run, _base(run.path, place), image)
    box = geobox_of(run)
    made = str(run.record.get("finished", ""))
    about = [_origin(run), *run.record.get("notes", ()), *run.record.get("warnings", ())]
    return Project(
        title_of(run), "\n".join(about), box.crs, around([run], box.crs), groups, _facts(run), made
    )


def title_of(run: Run) -> str:
    about = run.record.get("about", {})
    said = [str(about[fact]) for fact in ("farm", "field", "crop", "date") if about.get(fact)]
    name = str(run.record["scene"]["name"])
    return f"{name} ({', '.join(said)})" if said else name


def _origin(run: Run) -> str:
    """What made a map, in a sentence."""
    record, box = run.record, geobox_of(run)
    gsd = record.get("gsd_m")
    size = f" of {number(100 * gsd[0])} cm" if gsd else ""
    return (
        f"{record['scene']['name']}: {box.width} x {box.height} pixels{size}, segmented by agriseg "
        f"{record.get('agriseg', '')} with model {record['model']['name']}, "
        f"{record.get('finished', '')}."
    )


def _facts(run: Run) -> dict[str, str]:
    record: Mapping[str, Any] = run.record
    facts = {
        "agriseg_version": str(record.get("agriseg", "")),
        "agriseg_model": str(record["model"]["name"]),
        "agriseg_model_fingerprint": str(record["model"].get("fingerprint", "")),
        "agriseg_scene": str(record["scene"]["name"]),
        "agriseg_finished": str(record.get("finished", "")),
    }
    about = record.get("about", {})
    return facts | {f"agriseg_{key}": str(about[key]) for key in FACTS if about.get(key)}


def _write_many(runs: Sequence[Run], path: Path, overwrite: bool) -> Path:
    """A project for each scene, and one of all together."""
    place = path.parent
    images = {}
    for run in runs:
        dress(run)
        image = images[run.path] = image_of(run)
        own = run.path / PROJECT_FILE
        if not own.exists() or is_ours(own) or overwrite:
            write_qgz(own, _project_of(run, run.path, image), overwrite=True)
    mosaics, alone = mosaics_of(runs, place)
    boxes = [geobox_of(run) for run in runs]
    crs = main_crs(boxes)
    common: dict[str, list[Layer | Group]] = {
        name: [] for name in (HEALTH, CLASSES, DIAGNOSTICS, INPUT)
    }
    common[HEALTH] += _common_tables(place)
    for mosaic in mosaics:
        _add_mosaic(mosaic, common, several=len(mosaics) > 1)
    merged = {run.path for mosaic in mosaics for run in mosaic.runs}
    for run in runs if len(runs) <= _MOST_SCENES else alone:
        groups = run_groups(run, _base(run.path, place), images[run.path])
        for group in groups:
            members = _rest(group) if run.path in merged else group.members
            if members:
                name = str(run.record["scene"]["name"])
                common[group.name].append(Group(name, members, expanded=run.path not in merged))
    project = Project(
        f"{place.resolve().name}: {len(runs)} scenes",
        "\n".join(_origin(run) for run in runs[:_MOST_SCENES]),
        crs,
        around(runs, crs),
        [
            Group(name, tuple(members), expanded=name in (HEALTH, CLASSES))
            for name, members in common.items()
            if members
        ],
        {"agriseg_version": __version__},
        max(str(run.record.get("finished", "")) for run in runs),
    )
    write_qgz(path, project, overwrite=overwrite)
    return path


def _rest(group: Group) -> tuple[Layer | Group, ...]:
    """What the mosaics do not show."""
    if group.name not in (CLASSES, DIAGNOSTICS):
        return group.members
    covered = ("classes.tif", "confidence.tif")
    return tuple(
        one for one in group.members if isinstance(one, Group) or not one.source.endswith(covered)
    )


def _common_tables(place: Path) -> list[Layer]:
    """Tables of all scenes together, and their outlines."""
    known = {INDEX_FILE: index_looks, **TABLES}
    dress_tables(place, known)
    return [
        layer
        for name, looks in known.items()
        if (place / name).exists()
        for layer in table_layers(place / name, "./", looks)
    ]


def _add_mosaic(
    mosaic: Mosaic, groups: Mapping[str, list[Layer | Group]], *, several: bool
) -> None:
    put_qml(mosaic.classes, paletted(mosaic.legend))
    put_qml(mosaic.confidence, color_ramp(1, CERTAINTY))
    ending = f", {len(mosaic.runs)} scenes" + (f" in {_crs_name(mosaic.box)}" if several else "")
    crs = mosaic.box.crs
    layers = (
        (CLASSES, class_layer(f"./{mosaic.classes.name}", mosaic.legend, mosaic.areas, crs)),
        (DIAGNOSTICS, confidence_layer(f"./{mosaic.confidence.name}", crs)),
    )
    for name, layer in layers:
        groups[name].append(replace(layer, name=layer.name + ending))


def _crs_name(box: GeoBox) -> str:
    assert box.crs is not None
    authority = box.crs.to_authority()
    return ":".join(authority) if authority else "a CRS of its own"
