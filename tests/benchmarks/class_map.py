"""A class raster as a network leaves it, the way people turn it into polygons today, and a check.

    python -m tests.benchmarks.class_map write map.tif 10000 confidence.tif
    python -m tests.benchmarks.class_map today map.tif today.gpkg 0.02
    python -m tests.benchmarks.class_map faults today.gpkg map.tif

The field: crop rows 75 cm apart, nearly along the columns; plants that touch, gaps, tramlines;
weeds in patches and alone; ragged borders and flecks; nodata around a rotated outline. What
stands on a square metre does not depend on the size, so polygons and vertices grow with side**2.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio import features
from rasterio.windows import Window

from agriseg.vector import PolygonOptions, make_segments

ROOT = Path(__file__).resolve().parents[2]
SOIL, CROP, WEED, NODATA = 0, 1, 2, 255
TRANSFORM = Affine(0.02, 0.0, 500_000.0, 0.0, -0.02, 5_600_000.0)

LEAN = 0.055  # columns a crop row moves per pixel row
ROW_PITCH, PLANT_PITCH = 37.5, 11.0
TRAMLINE = 32  # every so many rows; its two wheels stand where two rows were left out
BLOCK = 64  # weeds are drawn for so many pixel rows at a time
PAD = 48  # pixels around a band; stamps and shifts reach 16 + 3 + HALO
MASK = 0xFFFFFFFF  # numpy takes no negative seeds
HALO = 3  # of the finished labels, for the confidence
WAVE, GRAIN = 3.6, 0.03  # how far borders stray: softly, and pixel by pixel

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]
Points = NDArray[np.int64]  # (3, n): y, x, stamp; a stamp itself is (n, 2): dy, dx


def write_class_map(
    path: Path, side: int, *, seed: int = 0, confidence: Path | None = None
) -> Path:
    """Write `side` x `side` labels, and on request their confidence; equal for equal seeds."""
    field = _Field(side, seed)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_create(p, side)) for p in (path, confidence) if p]
        for top in range(0, side, 512):
            rows = min(512, side - top)
            bands = field.band(top, rows, with_confidence=confidence is not None)
            for file, band in zip(files, bands, strict=True):
                file.write(band, 1, window=Window(0, top, side, rows))
        for file in files[1:]:
            file.scales = (1 / 200,)
    return path


def _create(path: Path, side: int) -> Any:
    kind = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": NODATA, "tiled": True}
    kind |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": "EPSG:32632"}
    return rasterio.open(path, "w", width=side, height=side, transform=TRANSFORM, **kind)


class _Field:
    """Everything is a function of the seed and the place, so bands can be cut anywhere."""

    def __init__(self, side: int, seed: int) -> None:
        self.side, self.seed = side, seed
        self.vigour = self._rng(1).random((side // 600 + 3,) * 2)
        self.patches = self._rng(2).random((side // 420 + 3,) * 2)
        self.clusters = self._rng(3).random((side // 70 + 3,) * 2)
        self.jags = [self._jag(layer) for layer in (4, 5)]
        self.plants = [_plant(self._rng(6, i), 5.5 + 9.0 * i / 95) for i in range(96)]
        self.weeds = [_blob(self._rng(7, i), 0.5 + 7.5 * (i / 63) ** 3) for i in range(64)]

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *key))

    def _jag(self, layer: int) -> Floats:
        """How far the outline strays, along one axis: waves, teeth and single pixels."""
        at, out = np.arange(self.side), np.zeros(self.side)
        for octave, (cell, height) in enumerate(((220, 60.0), (31, 14.0), (6, 5.0), (1, 1.5))):
            knots = self._rng(layer, octave).random(self.side // cell + 2)
            out += height * (np.interp(at / cell, np.arange(len(knots)), knots) - 0.5)
        return out

    def band(self, top: int, rows: int, *, with_confidence: bool) -> list[Labels]:
        """Labels, and on request their confidence, of rows top .. top + rows."""
        raw = np.full((rows + 2 * PAD, self.side + 2 * PAD), SOIL, np.uint8)
        crops = self._points(self._crops(top, rows), top, rows)
        weeds = self._points(self._weeds(top, rows), top, rows)
        # Small spots inside the crop that the network took for something else.
        spots = ([y, x, 45 * size] for y, x, _, size in self._scatter(10, 0.0008, top, rows))
        flecks = self._points(spots, top, rows)
        over = weeds[1] % 3 == 0  # a third of the weeds stand above the crop
        _stamp(raw, weeds[:, ~over], self.weeds, WEED)
        _stamp(raw, crops, self.plants, CROP)
        _stamp(raw, weeds[:, over], self.weeds, WEED)
        soil = flecks[1] % 2 == 0
        _stamp(raw, flecks[:, ~soil], self.weeds, WEED, only=CROP)
        _stamp(raw, flecks[:, soil], self.weeds, SOIL, only=CROP)
        labels, moved = self._ragged(raw, top, rows)
        bands = [labels[HALO : HALO + rows, HALO : HALO + self.side]]
        if with_confidence:
            bands.append(self._confidence(labels, moved, top, rows))
        outside = ~self._footprint(top, rows)
        for band in bands:
            band[outside] = NODATA
        return bands

    def _crops(self, top: int, rows: int) -> Iterator[Floats]:
        lines = np.arange(-2 - LEAN * self.side // ROW_PITCH, self.side // ROW_PITCH + 2)
        wheels = np.isin(lines % TRAMLINE, (15, 17))
        for j in range(int((top - PAD) // PLANT_PITCH), int((top + rows + PAD) // PLANT_PITCH) + 1):
            a, b, size, kept, kind = self._rng(8, j & MASK).random((5, len(lines)))
            y = (j + 0.5 * (a - 0.5)) * PLANT_PITCH
            x = lines * ROW_PITCH + LEAN * y + 3.0 * (b - 0.5)
            vigour = _at(self.vigour, y / 600, x / 600)
            gap = 0.03 + 0.9 * (_at(self.clusters, y / 70, x / 70) > 0.86) + (vigour < 0.2) * 0.3
            gap[wheels] = 0.96
            stamp = 95 * np.clip(0.9 * vigour - 0.1 + 0.45 * size, 0, 1) - 6 * kind
            yield np.array([y, x, stamp])[:, kept > gap]

    def _weeds(self, top: int, rows: int) -> Iterator[Floats]:
        for y, x, chance, size in self._scatter(9, 0.012, top, rows):
            patch = 3 * _at(self.patches, y / 420, x / 420) + _at(self.clusters, y / 70, x / 70)
            dense = np.clip(0.8 * patch - 1.75, 0, 1) ** 1.5
            stamp = 63 * size ** (1.5 - 0.9 * dense)
            yield np.array([y, x, stamp])[:, chance < 0.025 + dense]

    def _scatter(self, layer: int, density: float, top: int, rows: int) -> Iterator[Floats]:
        """y, x and two more random numbers of points spread evenly, block by block."""
        width = self.side + 2 * PAD
        for block in range((top - PAD) // BLOCK, (top + rows + PAD) // BLOCK + 1):
            points = self._rng(layer, block & MASK).random((4, int(density * BLOCK * width)))
            points[0] = (block + points[0]) * BLOCK
            points[1] = points[1] * width - PAD
            yield points

    def _points(self, parts: Iterator[Floats], top: int, rows: int) -> Points:
        """Whole pixels of the padded band, without those whose stamp could leave it."""
        points = np.floor(np.concatenate(list(parts), axis=1)).astype(np.int64)
        points[:2] += np.array([[PAD - top], [PAD]])
        y, x, _ = points
        inside = (y >= 16) & (y < rows + 2 * PAD - 16)
        return points[:, inside & (x >= 16) & (x < self.side + 2 * PAD - 16)]

    def _ragged(self, raw: Labels, top: int, rows: int) -> tuple[Labels, NDArray[np.bool_]]:
        """Each pixel takes the label of one nearby: soft waves in the borders, and salt on them."""
        height, width = rows + 2 * HALO, self.side + 2 * HALO
        seeds = ((11, y & MASK) for y in range(top - HALO, top - HALO + height))
        salt = np.stack([self._rng(*key).integers(0, 256, width, np.uint8) for key in seeds])
        shifts = []
        for layer in (12, 13):
            wave = self._noise(layer, top - HALO, height, width, 6)
            grain = (salt >> (4 * (layer - 12))) & 15
            shift = WAVE * (wave - 0.5) + (grain.astype(np.float32) - 7.5) * np.float32(GRAIN)
            shifts.append(np.rint(shift).astype(np.int32))
        y = np.arange(PAD - HALO, PAD - HALO + height, dtype=np.int32)[:, None]
        x = np.arange(PAD - HALO, PAD - HALO + width, dtype=np.int32)
        labels = raw.ravel()[(y + shifts[0]) * np.int32(raw.shape[1]) + x + shifts[1]]
        return labels, labels != raw[PAD - HALO : PAD - HALO + height, x[0] : x[0] + width]

    def _noise(self, layer: int, top: int, rows: int, width: int, cell: int) -> Floats:
        """Numbers in 0 .. 1 at every `cell` pixels, and between them on straight lines."""
        y, x = np.arange(top, top + rows), np.arange(width)
        first, last = top // cell, (top + rows) // cell + 2
        seeds = ((layer, k & MASK) for k in range(first, last))
        knots = np.stack([self._rng(*key).random(width // cell + 2, np.float32) for key in seeds])
        part = (x % cell / cell).astype(np.float32)
        lines = knots[:, x // cell] * (1 - part) + knots[:, x // cell + 1] * part
        part = (y % cell / cell).astype(np.float32)[:, None]
        at = y // cell - first
        return lines[at] * (1 - part) + lines[at + 1] * part

    def _footprint(self, top: int, rows: int) -> NDArray[np.bool_]:
        """Where the orthomosaic has pixels: a square that leans as the rows do, frayed."""
        reach = 0.46 * self.side
        y = np.arange(top, top + rows)[:, None] - self.side / 2
        x = np.arange(self.side) - self.side / 2
        across = np.abs(x - LEAN * y) + self.jags[0][top : top + rows, None] * np.sign(x)
        return (across < reach) & (np.abs(y + LEAN * x) < reach + self.jags[1])

    def _confidence(self, labels: Labels, moved: NDArray[np.bool_], top: int, rows: int) -> Labels:
        """High inside, low on borders and lowest where the border was moved."""

        def part(values: Labels, dy: int = 0, dx: int = 0) -> Labels:
            return values[HALO + dy :, HALO + dx :][:rows, : self.side]

        out = (192 - 10 * self._noise(14, top, rows, self.side, 16)).astype(np.uint8)
        for reach, cost in ((1, 30), (HALO, 18)):
            near = np.zeros(out.shape, bool)
            for step in ((-reach, 0), (reach, 0), (0, -reach), (0, reach)):
                near |= part(labels, *step) != part(labels)
            out -= cost * near.view(np.uint8)
        return out - 34 * part(moved.view(np.uint8))


def _at(knots: Floats, y: Floats, x: Floats) -> Floats:
    """Straight lines between knots, at points given in knots; held at the edge."""
    y, x = (np.clip(v, 0, len(knots) - 1.001) for v in (y, x))
    i, j = y.astype(np.int64), x.astype(np.int64)
    a, b = y - i, x - j
    upper = knots[i, j] * (1 - b) + knots[i, j + 1] * b
    return upper * (1 - a) + (knots[i + 1, j] * (1 - b) + knots[i + 1, j + 1] * b) * a


def _plant(rng: np.random.Generator, radius: float) -> Points:
    """Pixels of one plant from above: four to seven leaves of unequal length."""
    leaves = rng.integers(4, 8)
    towards = (np.arange(leaves) + 0.5 * rng.random(leaves)) * 2 * np.pi / leaves + 6 * rng.random()
    lengths = radius * rng.uniform(0.6, 1.2, leaves)
    dy, dx = np.mgrid[-15:16, -15:16]
    along = dx[..., None] * np.cos(towards) + dy[..., None] * np.sin(towards)
    aside = np.abs(dy[..., None] * np.cos(towards) - dx[..., None] * np.sin(towards))
    broad = np.clip(0.75 * np.sqrt(np.clip(along * (lengths - along), 0, None)), 0, 0.28 * radius)
    inside = ((along > 0) & (aside <= broad)).any(-1) | (dx**2 + dy**2 < (0.42 * radius) ** 2)
    return np.argwhere(inside) - 15


def _blob(rng: np.random.Generator, radius: float) -> Points:
    """Pixels of one weed: a circle with three waves on it; one pixel when small."""
    dy, dx = np.mgrid[-15:16, -15:16]
    distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    waves = (0.22 * rng.random() * np.cos(k * angle + 6 * rng.random()) for k in (2, 3, 5))
    return np.argwhere((distance <= radius * (1 + sum(waves))) | (distance == 0)) - 15


def _stamp(
    raw: Labels, points: Points, stamps: list[Points], value: int, only: int | None = None
) -> None:
    """Set the pixels of each point's stamp to `value`; on request only those that are `only`."""
    flat, start = raw.ravel(), points[0] * raw.shape[1] + points[1]
    kind = points[2].clip(0, len(stamps) - 1)
    order = np.argsort(kind, kind="stable")
    ends = np.searchsorted(kind[order], np.arange(len(stamps) + 1))
    for stamp, first, last in zip(stamps, ends, ends[1:], strict=False):
        places = start[order[first:last], None] + stamp @ (raw.shape[1], 1)
        flat[places if only is None else places[flat[places] == only]] = value


def todays_way(
    class_path: Path, out_path: Path, simplify_m: float, *, min_pixels: int = 25
) -> dict[str, float]:
    """The usual recipe, all in memory; seconds a stage, what it made, and the process's peak."""
    seconds, clock = dict[str, float](), time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    with rasterio.open(class_path) as source:
        labels, transform, crs = source.read(1), source.transform, source.crs
    lap("read")
    labels = features.sieve(labels, min_pixels, mask=labels != NODATA, connectivity=4)
    lap("sieve")
    found = list(features.shapes(labels, mask=labels != NODATA, transform=transform))
    lap("shapes")
    shapes = [shapely.geometry.shape(geometry) for geometry, _ in found]
    frame = gpd.GeoDataFrame({"class": [int(v) for _, v in found]}, geometry=shapes, crs=crs)
    del found, shapes
    lap("frame")
    if simplify_m > 0:
        frame["geometry"] = frame.simplify(simplify_m)
    lap("simplify")
    frame.to_file(out_path, driver="GPKG")
    lap("write")
    seconds["total"] = sum(seconds.values())
    vertices = int(frame.count_coordinates().sum())
    return seconds | {"polygons": len(frame), "vertices": vertices, "peak_mib": peak_mib()}


def our_way(class_path: Path, out_path: Path, min_area_m2: float) -> dict[str, float]:
    """`agriseg.vectorize` with its defaults but for the smallest area; seconds a stage."""
    seconds, clock, stage = dict[str, float](), time.perf_counter(), "opening"

    def lap(following: str) -> None:
        nonlocal clock, stage
        seconds[stage], clock = time.perf_counter() - clock, time.perf_counter()
        stage = following

    segments = make_segments(
        class_path, out_path, PolygonOptions(min_area_m2=min_area_m2), on_stage=lap
    )
    lap("")
    seconds["total"] = sum(seconds.values())
    vertices = sum(
        int(shapely.get_num_coordinates(batch.geometry).sum()) for batch in segments.batches()
    )
    return seconds | {"polygons": len(segments), "vertices": vertices, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """The most memory this process held; getrusage would count its parent's at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def in_child(*command: object, limit_s: float | None = None) -> dict[str, float]:
    """Run a command of this module in a process of its own, so that the peak is its alone.

    Raises:
        subprocess.TimeoutExpired: It took more than `limit_s`.
    """
    line = [sys.executable, "-m", "tests.benchmarks.class_map", *map(str, command)]
    done = subprocess.run(
        line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s
    )
    return json.loads(done.stdout)


def coverage_faults(path: Path, class_path: Path | None = None) -> dict[str, float]:
    """Is a layer a coverage? Shares of edge length by how often the edge occurs, and areas.

    Between two polygons of a coverage every edge occurs twice, vertex for vertex; on its outline
    once. `area_ratio` is the polygons' summed area against the raster's valid area, and
    `outline_m` the length of the raster's outline, which `once_m` should not exceed.
    """
    parts = shapely.get_parts(np.asarray(gpd.read_file(path, columns=[]).geometry.values))
    points, ring = shapely.get_coordinates(shapely.get_rings(parts), return_index=True)
    joined = ring[1:] == ring[:-1]
    lengths = np.hypot(*(points[1:] - points[:-1]).T)[joined]
    keys = _mix(*np.ascontiguousarray(points.T).view(np.uint64))
    ends = keys[:-1][joined], keys[1:][joined]
    keys = _mix(np.minimum(*ends), np.maximum(*ends))
    _, edge, times = np.unique(keys, return_inverse=True, return_counts=True)
    by_times = np.bincount(np.minimum(times, 3)[edge], lengths, 4)
    sizes = shapely.get_num_coordinates(parts)
    invalid = ~shapely.is_valid(parts[sizes < 100_000])
    out = {"polygons": len(parts), "vertices": int(sizes.sum()), "invalid": int(invalid.sum())}
    out |= {"unchecked": len(parts) - len(invalid), "once_m": float(by_times[1])}
    for name, length in zip(("once", "shared", "more"), by_times[1:], strict=True):
        out[name] = float(length / lengths.sum())
    if class_path is not None:
        with rasterio.open(class_path) as source:
            valid, size = np.pad(source.read(1) != NODATA, 1), source.res[0]
        outline = sum(np.count_nonzero(np.diff(valid, axis=axis)) for axis in (0, 1))
        out["outline_m"] = float(outline * size)
        out["area_ratio"] = float(shapely.area(parts).sum() / (valid.sum() * size**2))
    return out


def _mix(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One 64-bit key for each pair of numbers; equal pairs, equal keys."""
    out = a
    for more in (b, np.uint64(0)):
        out = (out ^ (out >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        out = (out ^ (out >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + more
    return out ^ (out >> np.uint64(32))


def main(command: str, *given: str) -> None:
    started = time.perf_counter()
    if command == "write":
        confidence = Path(given[2]) if given[2:] else None
        write_class_map(Path(given[0]), int(given[1]), confidence=confidence)
        figures = {"total": time.perf_counter() - started, "peak_mib": peak_mib()}
    elif command == "today":
        figures = todays_way(Path(given[0]), Path(given[1]), float(given[2]))
    elif command == "ours":
        figures = our_way(Path(given[0]), Path(given[1]), float(given[2]))
    else:
        figures = coverage_faults(*map(Path, given))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
