"""Four hundred TIFFs that others test with, good and broken: each opens, or is refused in one line.

Everything runs in one child process, so that a crash, a hang or a file that asks for all memory
fails this test with its name, and not the whole session.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "tiff-corpus"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"{CORPUS} is not there")

# Argument: a folder. One line of JSON for each raster in it, a line with its name before it is
# looked at. Peaks of memory are told apart by what they add to the one before.
LOOK = """
import json, math, resource, signal, sys, traceback
from pathlib import Path
from agriseg.errors import AgrisegError
from agriseg.geobox import Window
from agriseg.raster import SceneReader, describe_scene, open_scene

def slow(*_):
    raise TimeoutError("20 s are over")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

def windows(box):
    yield Window(box.width - 1, box.height - 1, 1, 1)
    yield Window(0, 0, min(64, box.width), min(64, box.height))
    col, row = box.width // 2, box.height // 2
    yield Window(col, row, min(33, box.width - col), min(17, box.height - row))

def look(path):
    scene = open_scene(path)
    box = scene.geobox
    report = describe_scene(scene)
    json.dumps(report.to_dict(), allow_nan=False)
    assert 0 <= report.valid_percent <= 100
    assert not any("\\n" in text for text in (*report.warnings, report.crs or "", report.format))
    with SceneReader(scene) as reader:
        for window in windows(box):
            pixels = reader.read(window)
            assert pixels.valid.shape == window.shape
            assert pixels.data.shape[1:] == window.shape
            values = pixels.data[:, pixels.valid]
            assert all(map(math.isfinite, values.ravel().tolist())), "valid, but not finite"
    return {
        "size": [box.width, box.height, len(scene.bands)],
        "transform": list(box.transform)[:6],
        "roles": [band.role for band in scene.bands],
    }

signal.signal(signal.SIGALRM, slow)
# The address space, of which Python and its libraries take 1.5 GB before anything is read.
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
root = Path(sys.argv[1])
for path in sorted(root.rglob("*")):
    if path.suffix.lower() not in (".tif", ".tiff", ".vrt"):
        continue
    name = path.relative_to(root).as_posix()
    print(json.dumps({"name": name, "begun": True}), flush=True)
    before = peak()
    signal.alarm(20)
    found = {"name": name}
    try:
        found |= look(str(path))
    except AgrisegError as error:
        found |= {"error": type(error).__name__, "message": str(error)}
    except BaseException:
        found["crash"] = traceback.format_exc()
    signal.alarm(0)
    print(json.dumps(found | {"grown_mb": peak() - before}), flush=True)
"""


def look_at(folder: Path) -> dict[str, dict[str, Any]]:
    """The outcome of every raster in a folder, by its path in it."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        # One thread: the stacks of many would count against the limit on memory.
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    last = lines[-1]["name"] if lines else "the first file"
    if done.returncode:
        pytest.fail(f"the child ended with {done.returncode} at {last}: {done.stderr[-2000:]}")
    return {line["name"]: line for line in lines if "begun" not in line}


def listing(folder: Path) -> list[tuple[str, int]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path), path.stat().st_size) for path in paths]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    """About 15 s: PROJ and GDAL take a while over odd coordinate systems."""
    before = listing(CORPUS)
    found = look_at(CORPUS)
    assert listing(CORPUS) == before
    return found


Outcomes = dict[str, dict[str, Any]]


def test_every_raster_is_looked_at(outcomes: Outcomes) -> None:
    endings = (".tif", ".tiff", ".vrt")
    rasters = [p for p in CORPUS.rglob("*") if p.suffix.lower() in endings]
    assert len(outcomes) == len(rasters) > 300
    assert sum("size" in found for found in outcomes.values()) > 250
    assert sum("error" in found for found in outcomes.values()) > 50


def test_nothing_crashes(outcomes: Outcomes) -> None:
    assert {name: found["crash"] for name, found in outcomes.items() if "crash" in found} == {}


def test_what_opens_has_sensible_facts(outcomes: Outcomes) -> None:
    for name, found in outcomes.items():
        if "size" in found:
            width, height, count = found["size"]
            assert min(width, height, count) >= 1, name
            a, b, _, d, e, _ = found["transform"]
            assert abs(a * e - b * d) > 0, name


def test_refusals_are_one_line_that_names_the_file(outcomes: Outcomes) -> None:
    for name, found in outcomes.items():
        if "error" in found:
            message = found["message"]
            assert "\n" not in message, name
            assert Path(name).name in message
            assert not message.endswith((":", ";", " ")), message
            # Nothing of Python's or ours shows through.
            for inside in ("Traceback", "rasterio.", "agriseg.", "<class", "object at", "NoneType"):
                assert inside not in message, message


def test_no_file_takes_much_memory(outcomes: Outcomes) -> None:
    grown = {name: found["grown_mb"] for name, found in outcomes.items()}
    assert max(grown.values()) < 1000, max(grown, key=lambda name: grown[name])


REFUSED = {
    "gdal/arcgis93_geodataxform_gcp.tif": "16 ground control points; warp it first: gdalwarp -tps",
    "rio-tiler/cog_gcps.tif": "210 ground control points; warp it first: gdalwarp -tps",
    "rasterio/RGB.byte.rpc.vrt": "(RPC); warp it first: gdalwarp -rpc",
    "gdal/sstgeo.vrt": "arrays of coordinates; warp it first: gdalwarp -geoloc",
    "gdal/cfloat64.tif": "complex numbers (complex128)",
    "rio-cogeo/slc.tif": "complex numbers (complex_int16)",
    "gdal/many_blocks_truncated.tif": "damaged or was cut off",
    "gdal/byte_zstd_corrupted2.tif": "damaged or was cut off",
    "gdal/corrupted_deflate_singlestrip.tif": "damaged or was cut off",
    "gdal/scanline_more_than_2GB.tif": "at most 1 GiB is read: rewrite it with gdal_translate",
    "gdal/toomanyblocks.tif": "Too many blocks",
    "gdal/block_width_above_32bit.tif": "Too large block size",
    "gdal/image_width_above_32bit.tif": "Too large image size",
    "gdal/unknown_compression.tif": "rewrite it with gdal_translate -co COMPRESS=DEFLATE",
    "gdal/uint33.tif": "BitsPerSample(=33)",
    "gdal/utmsmall.vrt": "utmsmall.tif is missing",
    "image-tiff/seq-4c-8b-rgba-unassoc-50969cda.tiff": "band 4 is tagged as alpha, but",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(outcomes: Outcomes, name: str) -> None:
    if name not in outcomes:
        pytest.skip(f"{CORPUS / name} is not there")
    assert REFUSED[name] in outcomes[name]["message"]


OPENED = {
    # South up, rotated pixels, masks, palette, many types, BigTIFF and big-endian files.
    "rio-tiler/inverted_lat.tif": [None],
    "rasterio/RGB.byte.tif": ["red", "green", "blue"],
    "rasterio/RGBA.byte.tif": ["red", "green", "blue"],
    "rasterio/all-nodata.tif": ["blue", "green", "red", "nir"],
    "rio-tiler/cog_uint8_rgb_mask.tif": ["red", "green", "blue"],
    "rio-cogeo/image_nan.tif": [None],
    "image-tiff/int8.tif": [None],
    "image-tiff/BigTIFFMotorola.tif": ["red", "green", "blue"],
    "image-tiff/gradient-1c-64b-float.tiff": [None],
    "gdal/epsg4326_geotiff1_1.tif": [None],
}


@pytest.mark.parametrize("name", OPENED)
def test_what_opens_and_as_what(outcomes: Outcomes, name: str) -> None:
    if name not in outcomes:
        pytest.skip(f"{CORPUS / name} is not there")
    assert outcomes[name].get("roles") == OPENED[name], outcomes[name].get("message")


def test_nothing_is_left_where_it_could_be(tmp_path: Path) -> None:
    """GDAL puts statistics beside rasters where it may write; looking must not make it."""
    for name in (*OPENED, "gdal/byte.tif", "rio-tiler/cog_nodata.tif", "rio-tiler/nocog.tif"):
        if (CORPUS / name).exists():
            shutil.copyfile(CORPUS / name, tmp_path / Path(name).name)
    before = listing(tmp_path)
    assert len(before) > 5
    assert all("error" not in found for found in look_at(tmp_path).values())
    assert listing(tmp_path) == before
