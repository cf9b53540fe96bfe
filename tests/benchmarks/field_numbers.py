"""Numbers of parcels: a scene with its map and parcels, our way, and how people do it today.

    python -m tests.benchmarks.field_numbers write FOLDER 10000 5000
    python -m tests.benchmarks.field_numbers ours FOLDER
    python -m tests.benchmarks.field_numbers loop FOLDER
    python -m tests.benchmarks.field_numbers rasterstats FOLDER

All compute NDVI and NDRE in the pixels of crop (mean, standard deviation, median, 10th and 90th
percentile), the cover of the classes and the mean confidence. The loop reads each parcel with
`rasterio.mask` and takes pixels by their centre, whole or not at all; rasterstats does the same
from rasters of the indices, which have to be written first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.mask
import shapely
import shapely.affinity
from affine import Affine
from rasterio.windows import Window

from agriseg.fields.numbers import statistics
from agriseg.fields.numbers.coverage import bands_of_rows, covered, in_pixels
from agriseg.fields.numbers.planes import Layers, read_planes
from agriseg.indices import find_index
from agriseg.machine import peak_bytes
from agriseg.raster import open_scene
from agriseg.vector import open_classes

ROOT = Path(__file__).resolve().parents[2]
TRANSFORM = Affine(0.02, 0.0, 500_000.0, 0.0, -0.02, 5_600_000.0)
ROLES = ("blue", "green", "red", "rededge", "nir")
NAMES = {0: "soil", 1: "crop", 2: "weed"}
PAIRS = {"ndvi": (5, 3), "ndre": (5, 4)}
CROP, STEPS = 1, 200
ROWS, SPOT, TILT_DEG = 512, 8, 5


def in_child(*command: object, limit_s: float | None = None) -> dict[str, float]:
    """Run a command of this module in a process of its own, so that the peak is its alone."""
    line = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.field_numbers"]
    done = subprocess.run(
        [*line, *map(str, command)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=limit_s,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(folder: Path, side: int, parcels: int) -> None:
    """A scene of five bands, a class map with confidence, and parcels at an angle to the grid."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    profile = {
        **{"driver": "GTiff", "width": side, "height": side, "crs": "EPSG:32633"},
        **{"transform": TRANSFORM, "tiled": True, "blockxsize": ROWS, "blockysize": ROWS},
        "compress": "deflate",
    }
    scene = {"dtype": "uint16", "count": 5, "nodata": 65535, "interleave": "pixel", "predictor": 2}
    byte = {"dtype": "uint8", "count": 1, "nodata": 255}
    with (
        rasterio.open(folder / "scene.tif", "w", **profile, **scene) as light,
        rasterio.open(folder / "classes.tif", "w", **profile, **byte) as classes,
        rasterio.open(folder / "confidence.tif", "w", **profile, **byte) as sure,
    ):
        sure.scales = (1 / STEPS,)
        for index, role in enumerate(ROLES, 1):
            light.set_band_description(index, role)
        for top in range(0, side, ROWS):
            height = min(ROWS, side - top)
            window = Window(0, top, side, height)
            spots = random.choice(3, (height // SPOT + 1, side // SPOT + 1), p=[0.5, 0.45, 0.05])
            found = np.kron(spots, np.ones((SPOT, SPOT), np.uint8))[:height, :side]
            green = (found > 0)[None] * np.array([200, 300, -1000, 500, 2300])[:, None, None]
            values = green + np.array([400, 600, 1500, 2000, 2200])[:, None, None]
            values = values * (1 + 0.1 * random.standard_normal((height, side), np.float32))
            light.write(np.clip(values // 16 * 16, 16, 9999).astype(np.uint16), window=window)
            classes.write(found.astype(np.uint8), 1, window=window)
            sure.write(random.integers(150, 200, (height, side), np.uint8), 1, window=window)
    _parcels(side, parcels).to_file(folder / "parcels.gpkg")


def _parcels(side: int, count: int) -> gpd.GeoDataFrame:
    across = max(round(count**0.5), 1)
    step = side / across
    grid = np.arange(across) * step
    rows, cols = (each.ravel() for each in np.meshgrid(grid, grid, indexing="ij"))
    boxes = shapely.box(
        cols + 0.06 * step, rows + 0.06 * step, cols + 0.94 * step, rows + 0.94 * step
    )
    turned = [shapely.affinity.rotate(one, TILT_DEG) for one in boxes]
    t = TRANSFORM
    shapes = [shapely.affinity.affine_transform(one, (t.a, 0, 0, t.e, t.c, t.f)) for one in turned]
    return gpd.GeoDataFrame({"plot": range(len(shapes))}, geometry=shapes, crs="EPSG:32633")


def ours(folder: Path) -> dict[str, float]:
    """`count_fields`, and its stages alone: they overlap in it."""
    scene = open_scene(folder / "scene.tif", scale=1e-4)
    classes = open_classes(folder / "classes.tif", names=NAMES)
    indices = tuple(find_index(name, scene) for name in ("NDVI", "NDRE"))
    layers = Layers(classes, scene, indices)
    shapes = gpd.read_file(folder / "parcels.gpkg").geometry.to_numpy()
    started, used = time.perf_counter(), time.process_time()
    counts = statistics.count_fields(shapes, layers)
    total, cpu = time.perf_counter() - started, time.process_time() - used
    peak = peak_bytes() / 2**20
    polygons = in_pixels(shapes, classes.geobox)
    bands = list(bands_of_rows(classes.geobox, polygons))
    started = time.perf_counter()
    for _ in read_planes(layers, [window for window, _ in bands]):
        pass
    read = time.perf_counter() - started
    started = time.perf_counter()
    for window, which in bands:
        for _ in covered(window, polygons, which):
            pass
    coverage = time.perf_counter() - started
    medians = [one.median for one in counts.indices[0]]
    return {
        **{"total": total, "cpu": cpu, "read": read, "coverage": coverage, "peak_mib": peak},
        **{"fields": len(shapes), "ndvi": float(np.nanmean(medians))},
    }


def loop(folder: Path) -> dict[str, float]:
    """A loop over the parcels with `rasterio.mask`, as in many notebooks."""
    shapes = gpd.read_file(folder / "parcels.gpkg").geometry
    started, medians = (time.perf_counter(), time.process_time()), []
    with (
        rasterio.open(folder / "scene.tif") as light,
        rasterio.open(folder / "classes.tif") as classes,
        rasterio.open(folder / "confidence.tif") as sure,
    ):
        for shape in shapes:
            values, _ = rasterio.mask.mask(light, [shape], crop=True)
            found, _ = rasterio.mask.mask(classes, [shape], crop=True)
            steps, _ = rasterio.mask.mask(sure, [shape], crop=True)
            row: dict[str, Any] = {"cover": np.bincount(found[found != 255], minlength=3)}
            row["confidence"] = steps[steps != 255].mean() / STEPS
            is_crop = found[0] == CROP
            for name, pair in PAIRS.items():
                one, other = (values[band - 1][is_crop].astype(np.float32) for band in pair)
                row[name] = _numbers((one - other) / (one + other))
            medians.append(row["ndvi"]["median"])
    return _figures(started, medians)


def _numbers(values: np.ndarray[Any, Any]) -> dict[str, float]:
    low, median, high = np.percentile(values, [10, 50, 90])
    found = {"mean": values.mean(), "std": values.std(), "p10": low, "median": median, "p90": high}
    return {name: float(value) for name, value in found.items()}


def rasterstats(folder: Path) -> dict[str, float]:
    """rasterstats, on rasters of the indices in the crop."""
    from rasterstats import zonal_stats

    started = time.perf_counter(), time.process_time()
    with (
        rasterio.open(folder / "scene.tif") as light,
        rasterio.open(folder / "classes.tif") as map_,
    ):
        profile = light.profile | {"count": 1, "dtype": "float32", "nodata": -9, "predictor": 3}
        for name, pair in PAIRS.items():
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as out:
                for _, window in map_.block_windows(1):
                    one, other = light.read(pair, window=window).astype(np.float32)
                    is_crop = map_.read(1, window=window) == CROP
                    index = np.where(is_crop, (one - other) / (one + other), np.float32(-9))
                    out.write(index, 1, window=window)
    written = time.perf_counter() - started[0]
    parcels = str(folder / "parcels.gpkg")
    wanted = ["mean", "std", "median", "percentile_10", "percentile_90"]
    shapes = gpd.read_file(parcels).geometry
    found = {name: zonal_stats(shapes, str(folder / f"{name}.tif"), stats=wanted) for name in PAIRS}
    zonal_stats(shapes, str(folder / "classes.tif"), categorical=True)
    zonal_stats(shapes, str(folder / "confidence.tif"), stats=["mean"])
    medians = [one["median"] for one in found["ndvi"]]
    return {**_figures(started, medians), "indices": written}


def _figures(started: tuple[float, float], medians: list[float]) -> dict[str, float]:
    return {
        **{"total": time.perf_counter() - started[0], "peak_mib": peak_bytes() / 2**20},
        "cpu": time.process_time() - started[1],
        **{"fields": len(medians), "ndvi": float(np.mean(medians))},
    }


def main(command: str, folder: str, *given: str) -> None:
    if command == "write":
        write(Path(folder), *map(int, given))
        print("{}")
        return
    ways = {"ours": ours, "loop": loop, "rasterstats": rasterstats}
    print(json.dumps(ways[command](Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
