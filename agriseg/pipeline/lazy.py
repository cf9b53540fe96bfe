"""The verb `predict`: a lazy map of a lazy array, the same bytes that `segment` writes.

One dask task predicts a chip row, one more joins the pixels that two chip rows share. So a part of
the map predicts only the chip rows that it lies in, and no chip row is predicted twice.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Unpack

import dask.array
import numpy as np
import xarray
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from agriseg._version import __version__
from agriseg.errors import OptionError
from agriseg.legend import NODATA, Legend
from agriseg.models import (
    BASELINE,
    LoadOptions,
    ModelReference,
    Predictor,
    adapt,
    adapt_to_pixels,
    check_fit,
    check_predictor,
    default_for,
    load_model,
    numerics_of,
)
from agriseg.models.inputs import present_keys
from agriseg.pipeline.job import SegmentOptions, cache_bytes, chip_grid
from agriseg.pipeline.lazy_input import ArrayInput, BandNames, array_input
from agriseg.pipeline.lazy_model import HeldModel, Model, ModelFile, remember
from agriseg.pipeline.lazy_rows import (
    Chunked,
    Files,
    RowPlan,
    join_rows,
    predict_row,
)
from agriseg.raster import Scene
from agriseg.raster.lazy import behind
from agriseg.tiling import CONFIDENCE_STEPS, ChipGrid

__all__ = ["predict"]


def predict(
    array: xarray.DataArray | dask.array.Array | NDArray[Any],
    model: str | os.PathLike[str] | Predictor | None = None,
    *,
    chip: int | None = None,
    overlap: int | None = None,
    probabilities: bool = False,
    ignore_gsd: bool = False,
    bands: BandNames = None,
    crs: Any = None,
    transform: Any = None,
    scene: Scene | None = None,
    **how: Unpack[LoadOptions],
) -> xarray.Dataset:
    """Map an array lazily: pixels are predicted when they are asked for.

    Of `scene.to_xarray()` the map is, byte for byte, what `segment` writes of the scene with the
    same options, whatever the chunks and whichever part is computed: the model's bands are read
    from the files, chip by chip, as `segment` reads them. Of an array that was cut, rechunked or
    computed with, the chunks are taken. Those give the same bytes where they hold the same numbers;
    resampled bands may differ in the last bit, and pixels missing in other bands are missing here.

    What is computed in one go is predicted once, so `map.compute()` takes half as long as classes
    and confidence one after the other. A process predicts one chip row at a time. Chunks of the map
    are as high as chip rows and their overlaps; `map.chunk(y=1024)` makes them even, as Zarr asks.

    Args:
        array: Reflectance (0 to 1): a DataArray with the dimensions band, y and x, such as
            `scene.to_xarray()`, whose coordinate band holds roles ("red", or "red@date"); or a dask
            or numpy array (band, y, x) with `bands` and `transform`. NaN and the array's own
            nodata are missing pixels.
        model: As in `segment`. A file goes to workers as its path; an object as it is, pickled
            where workers are other processes.
        chip: Side of a chip in pixels; by default as the model says.
        overlap: Pixels that chips share; by default as the model says.
        probabilities: Also give the probability of each class.
        ignore_gsd: Use the model even where the size of pixels lies far outside its range.
        bands: Roles of the bands in their order, where the array does not name them, as in
            `open_scene`: "red,nir,-".
        crs: Coordinate system, where the array does not tell.
        transform: From pixels to coordinates (affine, as rasterio's), where the array does not
            tell.
        scene: What the array was made of: for models that adapt to a scene, where the array is not
            as `to_xarray` made it. Else "index-baseline" takes a sample of the array, at once.
        **how: `engine, device, precision, batch, threads, tta, trust` as in `load_model`.

    Returns:
        A Dataset on the array's grid: `classes` (y, x) uint8, 255 where there is none, with the
        names as CF flags; `confidence` (y, x) float32, 0 to 1 in steps of 1/200, NaN where there is
        none; on request `probabilities` (class, y, x), likewise. Written to a file the latter two
        become the bytes that `segment` writes, with their scale.

    Raises:
        BandError: The model's bands are not there, or bands have no roles.
        InputError: The array cannot be used, or its place is unknown.
        ModelError: The model cannot be used, or does not fit the array.
        OptionError: An option makes no sense.
    """
    given = array_input(array, bands=bands, crs=crs, transform=transform)
    if scene is not None and not isinstance(scene, Scene):
        raise OptionError(f"scene={scene!r}: an open scene is needed, as open_scene gives it")
    options = SegmentOptions(
        chip=chip, overlap=overlap, probabilities=probabilities, ignore_gsd=ignore_gsd
    )
    return _map(given, model, how, scene or (given.scene if given.from_files else None), options)


def _map(
    given: ArrayInput,
    model: str | os.PathLike[str] | Predictor | None,
    how: LoadOptions,
    scene: Scene | None,
    options: SegmentOptions,
) -> xarray.Dataset:
    """The lazy map; `scene` is what a model adapts to, where it is known."""
    # Without the bands of the file that are not in the array.
    seen = replace(given.scene, bands=given.scene.bands[: given.array.sizes["band"]])
    notes: tuple[str, ...] = ()
    if model is None:
        model, notes = default_for(seen, ignore_gsd=options.ignore_gsd)
        if notes:
            how = {"tta": how.get("tta", "none")}
    handle, predictor = _model(model, how, given, scene)
    notes = (*notes, *check_fit(predictor.card, seen, ignore_gsd=options.ignore_gsd))
    grid = chip_grid(seen, predictor, options)
    keys = tuple(present_keys(seen, predictor.card))
    chunks = None if given.from_files else _chunks_of(given, keys)
    source = _source(given, keys, chunks, grid)
    plan = RowPlan(grid, source, options.probabilities, predictor.card.together_values)
    token = tokenize(given.array.data.name, repr(plan), _identity(handle, predictor))
    layers = _Layers(plan, token, len(predictor.card.legend), chunks)
    found = _dataset(given, layers, handle, predictor.card.legend)
    return found.assign_attrs(
        model=predictor.card.name,
        scene=given.scene.name,
        chip=grid.size,
        overlap=grid.overlap,
        numerics=numerics_of(predictor),
        notes="\n".join(notes),
        agriseg_version=__version__,
    )


def _model(
    model: str | os.PathLike[str] | Predictor,
    how: LoadOptions,
    given: ArrayInput,
    scene: Scene | None,
) -> tuple[Model, Predictor]:
    """The model as tasks carry it, and as it is here, where it is checked."""
    name = model if isinstance(model, str | os.PathLike) else None
    if name is not None:
        loaded = load_model(name, **how)
    elif how:
        raise OptionError(
            f"{', '.join(sorted(how))}: a predictor was given, which has that decided; give these "
            "options to load_model"
        )
    else:
        loaded = check_predictor(model)
    predictor: Predictor
    if scene is None:
        predictor = adapt_to_pixels(loaded, given.scene, given.sample)
    else:
        predictor = adapt(loaded, scene)
    handle: Model = HeldModel(predictor)
    # The baseline is a handful of numbers once it has adapted.
    if name is not None and str(name) != BASELINE:
        threads, trust = how.get("threads"), how.get("trust", False)
        reference = ModelReference.to(os.fspath(name), predictor, threads=threads, trust=trust)
        handle = ModelFile(reference, None if predictor is loaded else scene)
    remember(handle, predictor)
    return handle, predictor


def _identity(handle: Model, predictor: Predictor) -> str:
    """What tells the results of one model from another's; an object that does not say is new."""
    if isinstance(handle, ModelFile):
        return repr(handle)
    name = getattr(predictor, "fingerprint", None) or uuid.uuid4().hex
    kind = type(predictor)
    return f"{kind.__module__}.{kind.__qualname__} {name} {numerics_of(predictor)}"


def _chunks_of(given: ArrayInput, keys: Sequence[str]) -> dask.array.Array:
    """The bands that the model takes, in its order, together in each chunk."""
    data: Any = given.array.data  # dask has no types for it
    places = [given.scene.band(key).index - 1 for key in keys]
    if places != list(range(data.shape[0])):
        data = data[places]
    together: dask.array.Array = data.rechunk({0: -1})
    return together


def _source(
    given: ArrayInput,
    keys: tuple[str, ...],
    chunks: dask.array.Array | None,
    grid: ChipGrid,
) -> Files | Chunked:
    if chunks is None:
        whole = behind(given.array)
        assert whole is not None
        return Files(given.scene, whole.settings, cache_bytes(given.scene, grid))
    edges = [tuple(accumulate(sides, initial=0)) for sides in chunks.chunks[1:]]
    return Chunked(keys, edges[0], edges[1], given.nodata)


@dataclass(frozen=True)
class _Layers:
    """Makes the layers of the graph: chip rows, their parts, and arrays of those.

    Args:
        plan: What tasks know.
        token: In the names of all of them.
        classes: How many there are.
        chunks: (bands, y, x), where chips are cut from chunks.
    """

    plan: RowPlan
    token: str
    classes: int
    chunks: dask.array.Array | None

    def name(self, part: str) -> str:
        return f"agriseg-{part}-{self.token}"

    def rows(self, model: Model) -> HighLevelGraph:
        """Chip rows, and the planes of bytes that the map is put together from."""
        name, plan, grid = self.name("row"), self.plan, self.plan.grid
        tasks: dict[Any, Any] = {self.name("model"): model, self.name("plan"): plan}
        for row in range(grid.rows):
            computed = self._computed(row)
            key = (name, row)
            tasks[key] = (predict_row, self.name("model"), self.name("plan"), row, computed)
            # Parts of their own: a strip goes to another worker without its row.
            for part in ("body", "upper", "lower"):
                tasks[(self.name(part), row)] = (getattr, key, part)
            if grid.seam_above(row) is not None:
                shares = (self.name("upper"), row), (self.name("lower"), row - 1)
                tasks[(self.name("seam"), row)] = (join_rows, self.name("plan"), row, *shares)
        needed: list[Any] = [] if self.chunks is None else [self.chunks]
        return HighLevelGraph.from_collections(name, tasks, dependencies=needed)

    def _computed(self, row: int) -> list[list[Any]]:
        """Keys of the chunks that a chip row meets."""
        if self.chunks is None or not isinstance(self.plan.source, Chunked):
            return []
        across = range(len(self.chunks.chunks[2]))
        met = self.plan.source.rows_of(self.plan.grid.row_window(row))
        return [[(self.chunks.name, 0, i, j) for j in across] for i in met]

    def array(self, rows: HighLevelGraph, part: str) -> dask.array.Array:
        """`classes` or `confidence` (y, x), or `probabilities` (class, y, x)."""
        grid, name = self.plan.grid, self.name(part)
        heights: list[int] = []
        tasks: dict[Any, Any] = {}
        stacked = part == "probabilities"
        for row in range(grid.rows):
            for piece, window in (("seam", grid.seam_above(row)), ("body", grid.body(row))):
                if window is None:
                    continue
                place = (0, len(heights), 0) if stacked else (len(heights), 0)
                tasks[(name, *place)] = (_TAKES[part], (self.name(piece), row))
                heights.append(window.height)
        graph = HighLevelGraph(
            {**rows.layers, name: tasks},
            {**rows.dependencies, name: {self.name("row")}},
        )
        chunks: tuple[tuple[int, ...], ...] = (tuple(heights), (grid.width,))
        if stacked:
            chunks = ((self.classes,), *chunks)
        dtype = np.uint8 if part == "classes" else np.float32
        make: Any = dask.array.Array  # dask has no types for it
        made: dask.array.Array = make(graph, name, chunks, dtype=dtype)
        return made


def _classes(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    classes: NDArray[np.uint8] = planes[0].copy()  # a view would keep the other planes
    return classes


def _confidence(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _shares(planes[1])


def _probabilities(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return _shares(planes[2:])


def _shares(steps: NDArray[np.uint8]) -> NDArray[np.float32]:
    shares: NDArray[np.float32] = steps.astype(np.float32) / np.float32(CONFIDENCE_STEPS)
    shares[steps == NODATA] = np.nan
    return shares


_TAKES = {"classes": _classes, "confidence": _confidence, "probabilities": _probabilities}


def _dataset(given: ArrayInput, layers: _Layers, model: Model, legend: Legend) -> xarray.Dataset:
    """The lazy map, with the array's coordinates and place."""
    template, rows = given.array.isel(band=0, drop=True), layers.rows(model)
    names = ["classes", "confidence", *(["probabilities"] if layers.plan.probabilities else [])]
    dims = template.dims
    of_bands = {name for name, value in given.array.coords.items() if "band" in value.dims}
    coords = {name: value for name, value in template.coords.items() if name not in of_bands}
    variables = {}
    for name in names:
        mine = ("class", *dims) if name == "probabilities" else dims
        variables[name] = xarray.Variable(mine, layers.array(rows, name), _attributes(name, legend))
        if name != "classes":
            variables[name].encoding = _ENCODING.copy()
    if layers.plan.probabilities:
        coords["class"] = xarray.Variable("class", list(legend.names))
    found = xarray.Dataset(variables, coords)
    placed: xarray.Dataset = found.rio.write_grid_mapping(given.array.rio.grid_mapping)
    return placed


# What a file holds for 0 to 1, as confidence.tif does.
_ENCODING: dict[str, Any] = {
    "dtype": "uint8",
    "scale_factor": 1 / CONFIDENCE_STEPS,
    "_FillValue": NODATA,
}


def _attributes(name: str, legend: Legend) -> dict[str, Any]:
    if name != "classes":
        return {"long_name": name if name == "confidence" else "probability", "units": "1"}
    return {
        "long_name": "class",
        "flag_values": np.array([label.value for label in legend], np.uint8),
        "flag_meanings": " ".join("_".join(label.name.split()) for label in legend),
        "flag_colors": " ".join(label.color for label in legend),
        "_FillValue": np.uint8(NODATA),
    }
