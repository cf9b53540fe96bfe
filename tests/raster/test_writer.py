"""Row files and maps: layout, georeference, palette and names."""

from __future__ import annotations

import struct
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from agriseg.geobox import GeoBox, Window
from agriseg.legend import NODATA, Legend
from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows

LEGEND = Legend.of(("soil", "#c8a882"), ('crop <&> "Rübe"', "#1b6e2b"), ("weed", "#d81b9a"))
CLASSES = ByteLayer("class", 0, legend=LEGEND)
CONFIDENCE = ByteLayer("confidence", 1, scale=1 / 200)
UTM = CRS.from_epsg(32633)
GRID = Affine(0.05, 0, 500_000.123456789, 0, -0.05, 5_600_000 + 1 / 3)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def planes_of(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Classes and confidences with a hole."""
    random = np.random.default_rng(seed)
    planes = random.integers(0, 3, (2, height, width), dtype=np.uint8)
    planes[1] = random.integers(0, 201, (height, width))
    planes[:, : height // 3, : width // 4] = NODATA
    return planes


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Cut planes into row files and write them as a map."""

    def make(
        planes: NDArray[np.uint8],
        *,
        name: str = "classes.tif",
        crs: CRS | None = UTM,
        transform: Affine = GRID,
        layers: Sequence[ByteLayer] = (CLASSES,),
        tags: dict[str, str] | None = None,
        cuts: Sequence[int] = (),
    ) -> Path:
        _, height, width = planes.shape
        pieces = []
        for number, (top, bottom) in enumerate(pairwise([0, *cuts, height])):
            path = tmp_path / f"rows {number}.tif"
            write_rows(path, planes[:, top:bottom])
            pieces.append(Piece(Window(0, top, width, bottom - top), path))
        path = tmp_path / name
        write_cog(path, pieces, GeoBox(crs, transform, width, height), layers, tags=tags)
        return path

    return make


# Row files.


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 900), (3, 600, 513), (1, 512, 512)])
def test_row_files_give_their_bytes_back(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    planes = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "rows.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_rows(path, planes)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), planes)
        assert set(dataset.nodatavals) == {NODATA}
    assert [p.name for p in tmp_path.iterdir()] == ["rows.tif"]


def test_row_files_are_the_same_bytes(tmp_path: Path) -> None:
    planes = planes_of(40, 50)
    for name in "ab":
        write_rows(tmp_path / name, planes)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# The layout of a Cloud Optimized GeoTIFF.


def directories(path: Path) -> list[dict[int, list[int]]]:
    """The image directories of a classic little-endian TIFF: tag to values, and where it stands.

    Key 0 holds the directory's own offset.
    """
    data = path.read_bytes()
    order, magic, offset = struct.unpack_from("<2sHI", data)
    assert (order, magic) == (b"II", 42)
    sizes = {1: "B", 3: "H", 4: "I", 16: "Q"}
    found = []
    while offset:
        tags: dict[int, list[int]] = {0: [offset]}
        (entries,) = struct.unpack_from("<H", data, offset)
        for k in range(entries):
            tag, kind, count = struct.unpack_from("<HHI", data, offset + 2 + 12 * k)
            if kind in sizes:
                size = struct.calcsize("<" + sizes[kind]) * count
                place = offset + 10 + 12 * k
                if size > 4:
                    (place,) = struct.unpack_from("<I", data, place)
                tags[tag] = list(struct.unpack_from(f"<{count}{sizes[kind]}", data, place))
        found.append(tags)
        (offset,) = struct.unpack_from("<I", data, offset + 2 + 12 * entries)
    return found


WIDTH, TILE_WIDTH, TILE_OFFSETS, TILE_BYTES = 256, 322, 324, 325


def check_cog(path: Path) -> int:
    """Hold a file against the rules for Cloud Optimized GeoTIFFs; gives the number of overviews.

    https://gdal.org/drivers/raster/cog.html and cogeo.org: a ghost header that announces the
    layout, tiles, all directories before all pixels, overviews from large to small in the
    directories and from small to large in the pixels.
    """
    data = path.read_bytes()
    assert data[8:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=")
    ghost = data[8:300]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in ghost
    assert b"BLOCK_ORDER=ROW_MAJOR" in ghost
    assert b"KNOWN_INCOMPATIBLE_EDITION=NO" in ghost
    found = directories(path)
    assert all(TILE_WIDTH in tags for tags in found)
    widths = [tags[WIDTH][0] for tags in found]
    assert widths == sorted(widths, reverse=True)
    places = [tags[0][0] for tags in found]
    assert places == sorted(places)
    firsts = [min(tags[TILE_OFFSETS]) for tags in found]
    assert max(places) < min(firsts)
    assert firsts == sorted(firsts, reverse=True)
    for tags in found:
        offsets, sizes = tags[TILE_OFFSETS], tags[TILE_BYTES]
        assert all(offsets)
        assert offsets == sorted(offsets)
        for start, size in zip(offsets, sizes, strict=True):
            # Each tile is led by its size, so that one request can fetch what it needs.
            assert struct.unpack_from("<I", data, start - 4) == (size,)
            assert start + size <= len(data)
    return len(found) - 1


@pytest.mark.parametrize(
    ("height", "width", "overviews"),
    [(1, 1, 0), (37, 53, 0), (512, 512, 0), (300, 700, 1), (1300, 5, 2), (1100, 2100, 3)],
)
def test_the_map_is_cloud_optimized(write: Write, height: int, width: int, overviews: int) -> None:
    planes = planes_of(height, width)
    path = write(planes, cuts=[height // 2] if height > 1 else ())
    assert check_cog(path) == overviews
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.dtypes == ("uint8",)
        np.testing.assert_array_equal(dataset.read(1), planes[0])


def test_pieces_lie_under_each_other(write: Write) -> None:
    planes = planes_of(97, 61)
    path = write(planes, cuts=[1, 13, 90], layers=[CLASSES, CONFIDENCE])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), planes)


def test_a_layer_takes_the_plane_that_it_names(write: Write) -> None:
    planes = planes_of(9, 11)
    path = write(planes, layers=[CONFIDENCE])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), planes[1])
        assert dataset.scales == (1 / 200,)
        assert dataset.descriptions == ("confidence",)
        assert dataset.nodata == NODATA
        assert dataset.colorinterp[0].name == "gray"


def test_where_no_piece_lies_is_nodata(tmp_path: Path) -> None:
    rows = tmp_path / "rows.tif"
    write_rows(rows, np.ones((1, 10, 20), np.uint8))
    path = tmp_path / "map.tif"
    write_cog(path, [Piece(Window(0, 30, 20, 10), rows)], GeoBox(UTM, GRID, 20, 50), [CLASSES])
    with rasterio.open(path) as dataset:
        read = dataset.read(1)
    assert (read[30:40] == 1).all()
    assert (read[:30] == NODATA).all()
    assert (read[40:] == NODATA).all()


# Palette and names.


def test_palette_and_names_in_the_file(write: Write) -> None:
    with rasterio.open(write(planes_of(20, 30))) as dataset:
        assert dataset.nodata == NODATA
        assert dataset.colorinterp[0].name == "palette"
        colors = dataset.colormap(1)
        assert [colors[k][:3] for k in range(3)] == [label.rgb for label in LEGEND]
        assert dataset.descriptions == ("class",)


def test_palette_and_names_in_the_sidecar(write: Write) -> None:
    path = write(planes_of(20, 30))
    root = ET.parse(path.with_name("classes.tif.aux.xml")).getroot()
    assert [each.text for each in root.iter("Category")] == list(LEGEND.names)
    entries = [tuple(int(e.attrib[f"c{k}"]) for k in (1, 2, 3)) for e in root.iter("Entry")]
    assert entries == [label.rgb for label in LEGEND]
    rows = [[f.text for f in row.iter("F")] for row in root.iter("Row")]
    assert [row[:2] for row in rows] == [[str(k), LEGEND.names[k]] for k in range(3)]
    usages = [e.text for e in root.iter("Usage")]
    # GDAL's numbers for value (min and max), name, red, green, blue, alpha.
    assert usages == ["5", "2", "6", "7", "8", "9"]


def test_classes_that_xml_cannot_hold(write: Write) -> None:
    odd = Legend.of(("bell\x07 and \x00 more", "#c8a882"), ("two\ud800", "#1b6e2b"))
    path = write(planes_of(4, 5), layers=[ByteLayer("class\x08", 0, legend=odd)])
    root = ET.parse(path.with_name("classes.tif.aux.xml")).getroot()
    assert [each.text for each in root.iter("Category")] == ["bell and  more", "two"]


# Overviews.


def test_overviews_of_classes_take_the_most_frequent(write: Write) -> None:
    planes = np.full((1, 600, 1024), 2, np.uint8)
    planes[0, :, ::2] = 0  # of each four pixels two are 0 and two 2: never 1
    planes[0, :300] = 2
    planes[0, :300:2, ::2] = 0  # of each four pixels one is 0
    with rasterio.open(write(planes), OVERVIEW_LEVEL=0) as dataset:
        read = dataset.read(1)
    assert set(np.unique(read)) <= {0, 2}
    assert (read[:149] == 2).all()


def test_overviews_of_confidence_take_the_mean(write: Write) -> None:
    planes = np.full((2, 600, 1024), 100, np.uint8)
    planes[1, :, ::2] = 50
    planes[1, :20] = NODATA
    with rasterio.open(write(planes, layers=[CONFIDENCE]), OVERVIEW_LEVEL=0) as dataset:
        read = dataset.read(1)
    assert (read[:10] == NODATA).all()
    assert (read[10:] == 75).all()


# Georeference, bit for bit.

SYSTEMS = {
    "UTM": UTM,
    "geographic": CRS.from_epsg(4326),
    "northing first": CRS.from_epsg(31467),
    "feet": CRS.from_epsg(2853),
    "LAEA Europe": CRS.from_epsg(3035),
    "own projection": CRS.from_string(
        "+proj=laea +lat_0=51.1234567 +lon_0=11.7 +x_0=1000 +y_0=2000 +ellps=GRS80 +units=m"
    ),
    "oblique": CRS.from_string(
        "+proj=omerc +lat_0=4 +lonc=102.25 +alpha=323.0257964666666 +k=0.99984 +x_0=804671 +y_0=0 "
        "+gamma=323.1301023611111 +ellps=GRS80"
    ),
    # A GeoTIFF cannot hold this one at all; it lives in the sidecar.
    "turned pole": CRS.from_string(
        "+proj=ob_tran +o_proj=longlat +lon_0=-162 +o_lat_p=39.25 +o_lon_p=0"
    ),
    "local": CRS.from_wkt('LOCAL_CS["drone, relative",UNIT["metre",1]]'),
    "none": None,
}
TRANSFORMS = {
    "north up": GRID,
    "rotated": Affine(0.05, 0.02, 500_000.1, 0.021, -0.05, 5.6e6 / 3),
    "south up": Affine(0.05, 0, 500_000.1, 0, 0.05, 5.6e6 / 3),
    "mirrored": Affine(-0.05, 0, 500_000.1, 0, -0.05, 5.6e6 / 3),
    "thirds of a degree": Affine(1e-7 / 3, 0, 11.1 / 7, 0, -1e-7 / 3, 51.7 / 3),
    "none": Affine.identity(),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_georeference(write: Write, system: str) -> None:
    crs = SYSTEMS[system]
    for number, (kind, transform) in enumerate(TRANSFORMS.items()):
        path = write(planes_of(5, 7), name=f"{number}.tif", crs=crs, transform=transform)
        with rasterio.open(path) as dataset:
            assert dataset.transform == transform, kind
            assert dataset.crs == crs, kind
    assert not [p.name for p in path.parent.iterdir() if "part" in p.name]


def test_georeference_of_a_file_comes_back(write: Write, tmp_path: Path) -> None:
    """What GDAL makes of a system when it reads it once stays the same, letter by letter."""
    for crs in filter(None, SYSTEMS.values()):
        first = write(planes_of(5, 7), name="first.tif", crs=crs)
        with rasterio.open(first) as dataset:
            seen = dataset.crs
        with rasterio.open(write(planes_of(5, 7), name="again.tif", crs=seen)) as dataset:
            assert dataset.crs.to_wkt() == seen.to_wkt()


# Tags.


def test_tags_of_every_kind(write: Write) -> None:
    tags = {
        "field": "Müllers Höhe",
        "note": "a \"quoted\" <b>&amp; b</b> 'c'",
        "lines": "one\ntwo\ttabbed",
        "leaf": "🌱",
        "equals": "a=b=c",
    }
    with rasterio.open(write(planes_of(5, 7), tags=tags)) as dataset:
        read = dataset.tags()
    assert {key: read[key] for key in tags} == tags


def test_tags_that_xml_cannot_hold(write: Write) -> None:
    tags = {"note": "bell\x07, nothing\x00, half\ud800", "all\x01": "kept"}
    with rasterio.open(write(planes_of(5, 7), tags=tags)) as dataset:
        read = dataset.tags()
    assert read["note"] == "bell, nothing, half"
    assert read["all"] == "kept"


def test_the_same_map_is_the_same_bytes(write: Write) -> None:
    planes = planes_of(700, 600)
    bytes_of = []
    for name, cuts in (("a.tif", [10]), ("b.tif", [300, 500]), ("a.tif", [])):
        path = write(planes, name=name, cuts=cuts, tags={"field": "Süd"})
        sidecar = path.with_name(path.name + ".aux.xml")
        bytes_of.append((path.read_bytes(), sidecar.read_bytes()))
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]


def test_nothing_warns(write: Write) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        write(planes_of(5, 7), crs=None, transform=Affine.identity())
