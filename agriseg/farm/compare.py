"""Two runs of the same ground beside each other: what changed, by field and as maps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio

from agriseg.errors import BandError, InputError, OptionError
from agriseg.farm.change import Side, Sums, sum_changes
from agriseg.farm.change_files import (
    INDICES_FILE,
    RECORD_FILE,
    TABLE_FILES,
    TRANSITIONS_FILE,
    write_change_table,
    writing,
)
from agriseg.farm.change_table import Outlines, change_table, compared_outlines
from agriseg.farm.run_fields import spare
from agriseg.farm.scene_of import grid_of, scene_of
from agriseg.farm.transitions import Transitions, transitions_of
from agriseg.fields.dates.overlay import common_grid
from agriseg.fields.dates.shift import Shift, measure_shift
from agriseg.geobox import GeoBox
from agriseg.indices import Index, default_indices, find_index
from agriseg.indices.compute import fits_units
from agriseg.legend import ClassLabel, Legend
from agriseg.raster.scene import Scene
from agriseg.raster.whole_file import write_bytes
from agriseg.runs import Run, read_run

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["Comparison", "compare", "record_of"]


# Of decoded blocks: rows of tiles of 512 pixels in five bands of 16 bits, 100,000 pixels wide.
_CACHE_BYTES = 512 << 20


@dataclass(frozen=True)
class Comparison:
    """What changed between two runs.

    Args:
        folder: Where the files are: change.gpkg and change.csv (a row a field), transitions.tif
            (what became of what), change.tif (a band an index), compare.json.
        table: A row a field, in the CRS of the common grid; see `compare`.
        grid: The common grid.
        shift: How far the second run lies from the first; None where that was not measured.
        aligned: Whether the second was moved back by that.
        transitions_ha: Hectares of each transition, by its name; empty where the legends differ.
        indices: Names of the indices that were compared.
        notes: What a reader of the numbers has to know.
        runs: What the two were.
    """

    folder: Path
    table: gpd.GeoDataFrame
    grid: GeoBox
    shift: Shift | None
    aligned: bool
    transitions_ha: Mapping[str, float]
    indices: tuple[str, ...]
    notes: tuple[str, ...]
    runs: tuple[Run, Run] = field(repr=False)

    @property
    def names(self) -> tuple[str, str]:
        """What the two runs are called."""
        a, b = (run.path.resolve().name for run in self.runs)
        return a, b

    @property
    def stayed(self) -> frozenset[str]:
        """Names of the transitions that are none: each class to itself."""
        return frozenset(label["name"] for label in self.runs[0].record["model"]["card"]["legend"])

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files in `folder`."""
        maps = [TRANSITIONS_FILE] if self.transitions_ha else []
        maps += [INDICES_FILE] if self.indices else []
        return (*TABLE_FILES, *maps, RECORD_FILE)


def compare(
    run_a: str | Path | Run,
    run_b: str | Path | Run,
    out: str | Path,
    *,
    fields: str | Path | gpd.GeoDataFrame | None = None,
    indices: Sequence[str] | None = None,
    ignore_levels: bool = False,
    align: bool = False,
    on_share: Callable[[float], None] | None = None,
) -> Comparison:
    """Compare two runs of the same ground: what became of classes and indices.

    Both are laid onto one grid: the part that both show of the grid with the coarser pixels, that
    of the first run where they are equal. Finer pixels are averaged (of classes the shares are
    kept, and for maps the largest share counts), others interpolated, classes never. Only pixels
    that both runs have seen count.

    The table: field_id, name, area_ha, compared_percent (share of the field that both have seen),
    date_a, date_b; for each class cover_<class>_percent_a, _b, and _change in percentage points;
    for each index <index>_mean_a, _b, _change, the mean of all ground that both have seen, soil
    too: where crop grew, the index of the ground did (`field_health` looks at the crop alone). A
    class that only one of the runs knows has no change.

    transitions.tif holds (class before) x n + (class after) of n classes counted from 0 as in the
    first run's legend, with names and colours, nodata 255; it is not written where the legends
    differ. change.tif holds the second run's index less the first's, float32, nodata NaN.

    Args:
        run_a: The earlier run, or its folder.
        run_b: The later one.
        out: Folder for the files; made where it is missing.
        fields: Outlines, as a vector file or GeoDataFrame. Default: fields.gpkg of the first run,
            else of the second, else all common ground as one field.
        indices: Names; () for none. Default: the usual ones that both scenes have the bands of.
        ignore_levels: Compare indices of scenes whose numbers are not of one radiometric level.
        align: Read the second run moved back by the measured shift.
        on_share: Is told which share of the pixels is done.

    Raises:
        InputError: A run is not there, the two do not overlap, or have no CRS; indices were asked
            for and the levels of radiometry differ, or a scene is gone.
        OptionError: An option makes no sense, or `align` where the shift cannot be told.
        OutputError: The files cannot be written.
    """
    folder = Path(out)
    for name in TABLE_FILES:
        spare(fields, folder / name)
    plan = _planned(_pair(run_a, run_b), fields, indices, ignore_levels=ignore_levels, align=align)
    names = tuple(index.name for index in plan.a.indices)
    # GDAL's own limit is a share of the machine's memory, and would look as if memory grew.
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        writing(folder, plan.grid, plan.transitions, names) as outputs,
    ):
        sums = sum_changes(
            plan.grid, (plan.a, plan.b), plan.outlines.shapes, plan.transitions, outputs, on_share
        )
    table, said = change_table(plan.outlines, sums, (plan.a, plan.b), _dates(plan.runs), plan.grid)
    write_change_table(folder, table, plan.grid)
    found = Comparison(
        folder=folder,
        table=table,
        grid=plan.grid,
        shift=plan.shift,
        aligned=align,
        transitions_ha=_hectares(sums, plan.transitions, plan.grid),
        indices=names,
        notes=(*plan.notes, *said),
        runs=plan.runs,
    )
    text = json.dumps(record_of(found), indent=2, ensure_ascii=False) + "\n"
    write_bytes(folder / RECORD_FILE, text.encode())
    return found


@dataclass(frozen=True)
class _Plan:
    """All that is decided before the pixels are gone over."""

    runs: tuple[Run, Run]
    grid: GeoBox
    a: Side
    b: Side
    outlines: Outlines
    transitions: Transitions | None
    shift: Shift | None
    notes: tuple[str, ...]


def _planned(
    runs: tuple[Run, Run],
    fields: str | Path | gpd.GeoDataFrame | None,
    indices: Sequence[str] | None,
    *,
    ignore_levels: bool,
    align: bool,
) -> _Plan:
    """Check all that is cheap to check, and measure the shift."""
    grid = common_grid(grid_of(runs[0]), grid_of(runs[1]), (str(runs[0].path), str(runs[1].path)))
    outlines = compared_outlines(runs, fields, grid)
    scenes, notes = _scenes(runs, needed=bool(indices) or align)
    named, said = _chosen(runs, scenes, indices, ignore_levels=ignore_levels)
    shift = None if scenes is None else measure_shift(*scenes)
    notes = [*_dates_in_order(runs), *notes, *said]
    notes += _apart(shift, align, outlines.row_spacing_m)
    legends = (_legend(runs[0]), _legend(runs[1]))
    transitions = transitions_of(legends[0].classes, legends[1].classes)
    if transitions is None:
        notes.append(_legends_differ(runs, legends))
    a, b = (
        Side(run.classes, legend, grid_of(run).mean_gsd_m or 0.0, scene, mine)
        for run, legend, scene, mine in zip(
            runs, legends, scenes or (None, None), named, strict=True
        )
    )
    if align and shift is not None and shift.pixels is not None:
        b = replace(b, moved_px=shift.pixels)
    return _Plan(runs, grid, a, b, outlines, transitions, shift, tuple(notes))


def record_of(found: Comparison) -> dict[str, Any]:
    """What compare.json holds."""
    grid = found.grid
    return {
        "format": 1,
        "a": _told(found.runs[0]),
        "b": _told(found.runs[1]),
        "grid": {
            "crs": None if grid.crs is None else grid.crs.to_wkt(),
            "transform": list(grid.transform.to_gdal()),
            "width": grid.width,
            "height": grid.height,
        },
        "shift": None if found.shift is None else asdict(found.shift),
        "aligned": found.aligned,
        "transitions_ha": dict(found.transitions_ha),
        "indices": list(found.indices),
        "notes": list(found.notes),
    }


def _told(run: Run) -> dict[str, Any]:
    return {
        "folder": str(run.path),
        "key": run.record.get("key"),
        "about": dict(run.record.get("about", {})),
        "model": run.record["model"]["name"],
        "radiometry": dict(run.record["scene"]["radiometry"]),
    }


def _pair(run_a: str | Path | Run, run_b: str | Path | Run) -> tuple[Run, Run]:
    a, b = (
        one if isinstance(one, Run) else read_run(one, only_rasters=True) for one in (run_a, run_b)
    )
    if a.path.resolve() == b.path.resolve():
        raise InputError(f"{a.path} is given twice; give two runs of the same ground")
    return a, b


def _dates(runs: tuple[Run, Run]) -> tuple[str | None, str | None]:
    a, b = (run.record.get("about", {}).get("date") for run in runs)
    return a, b


def _dates_in_order(runs: tuple[Run, Run]) -> list[str]:
    a, b = _dates(runs)
    if a is None or b is None or not (a[:4].isdecimal() and b[:4].isdecimal()) or a <= b:
        return []
    return [f"the first run is of {a}, the second of {b}: changes are told backwards in time"]


def _scenes(runs: tuple[Run, Run], *, needed: bool) -> tuple[tuple[Scene, Scene] | None, list[str]]:
    """The scenes of both runs, or why only the class maps can be compared."""
    try:
        return (scene_of(runs[0]), scene_of(runs[1])), []
    except InputError as error:
        if needed:
            raise
        return None, [f"neither indices nor the shift are told: {error}"]


def _chosen(
    runs: tuple[Run, Run],
    scenes: tuple[Scene, Scene] | None,
    names: Sequence[str] | None,
    *,
    ignore_levels: bool,
) -> tuple[tuple[tuple[Index, ...], tuple[Index, ...]], list[str]]:
    """The indices to compare, for each scene; and what to beware of."""
    if scenes is None or (names is not None and not names):
        return ((), ()), []
    if names is None:
        theirs = default_indices(scenes[1])
        names = [name for name in default_indices(scenes[0]) if name in theirs]
        if not names:
            return ((), ()), ["the scenes have no usual index in common, so covers are compared"]
    notes = _levels(runs, scenes, ignore_levels=ignore_levels)
    found: tuple[list[Index], list[Index]] = ([], [])
    for name in dict.fromkeys(names):
        for scene, mine in zip(scenes, found, strict=True):
            index = find_index(name, scene)
            word = fits_units(index, scene, uncalibrated=ignore_levels)
            notes += [word] if word else []
            mine.append(index)
    if [one.name for one in found[0]] != [one.name for one in found[1]]:
        raise BandError(
            f"{scenes[0].name} and {scenes[1].name} do not have the same dates inside; name their "
            "bands alike, and segment them again"
        )
    return (tuple(found[0]), tuple(found[1])), list(dict.fromkeys(notes))


def _levels(
    runs: tuple[Run, Run], scenes: tuple[Scene, Scene], *, ignore_levels: bool
) -> list[str]:
    a, b = (scene.radiometry for scene in scenes)
    if a.level == b.level:
        if a.level == "reflectance":
            return []
        return [
            f"both scenes hold {a.level} values, not reflectance: an index changes with light and "
            "exposure too, not with the plants alone"
        ]
    words = (
        f"the numbers of {runs[0].path} are {a.level} ({a.evidence}), those of {runs[1].path} "
        f"{b.level} ({b.evidence})"
    )
    if ignore_levels:
        return [f"{words}: a change of an index is no change of the field alone"]
    raise InputError(
        f"{words}: an index of one says nothing beside that of the other; compare covers alone "
        "with --no-indices, bring both to reflectance (--sensor, or --scale and --offset of "
        "agriseg segment), or compare all the same with --ignore-levels"
    )


def _apart(shift: Shift | None, align: bool, row_spacing_m: float | None) -> list[str]:
    """What a shift does to the comparison."""
    if shift is None:
        return []
    if shift.distance_m is None:
        if align:
            raise OptionError(f"--align: {shift.words()}; leave the option out")
        return [f"{shift.words()}: where plants are few or small, look at both maps side by side"]
    pixels = shift.distance_m / shift.pixel_m
    if align or pixels <= 1:
        return []
    words = (
        f"the two lie {shift.distance_m:.3g} m apart, {pixels:.1f} pixels: along edges of plants "
        "and fields the maps tell of that, and not of change; --align reads the second moved back"
    )
    if row_spacing_m and shift.distance_m > row_spacing_m / 2:
        words += f". It is more than half of the rows' {row_spacing_m:.2f} m: rows fall into gaps"
    return [words]


def _legend(run: Run) -> Legend:
    labels = run.record["model"]["card"]["legend"]
    return Legend(tuple(ClassLabel(one["value"], one["name"], one["color"]) for one in labels))


def _legends_differ(runs: tuple[Run, Run], legends: tuple[Legend, Legend]) -> str:
    a, b = legends
    if set(a.names) == set(b.names):
        return f"{len(a)} classes have more transitions than a map of bytes can hold"
    shared = [name for name in a.names if name in b.names]
    models = " and ".join(str(run.record["model"]["name"]) for run in runs)
    return (
        f"the legends differ, {', '.join(a.names)} and {', '.join(b.names)} ({models}): "
        f"{'only ' + ', '.join(shared) if shared else 'no class'} can be compared, and there is no "
        "map of transitions"
    )


def _hectares(sums: Sums, transitions: Transitions | None, grid: GeoBox) -> dict[str, float]:
    """Hectares of each transition that there is, on all common ground."""
    if transitions is None or grid.area_m2 is None:
        return {}
    pixel_ha = grid.area_m2 / (grid.width * grid.height) / 1e4
    return {
        label.name: int(count) * pixel_ha
        for label, count in zip(transitions.legend, sums.moves[-1], strict=True)
        if count
    }
