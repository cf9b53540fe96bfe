"""`vectorize` from file to file: what comes out, what is refused, and what does not matter."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio.features
import rasterio.shutil
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyogrio import read_dataframe
from rasterio.crs import CRS

from agriseg.errors import AgrisegError, InputError, OptionError, OutputError, ReadError
from agriseg.geobox import GeoBox
from agriseg.vector import segments as segments_module
from agriseg.vector import strip as strip_module
from agriseg.vector.files import PolygonBatch
from agriseg.vector.network import Split, join
from agriseg.vector.segments import Confidence, PolygonOptions, Segments, build
from agriseg.vector.source import ClassRaster
from agriseg.vector.specks import merge_specks
from agriseg.vector.vectorize import vectorize
from tests.support import NORTH_UP, leftovers, write_raster
from tests.vector.truth import (
    NAMED,
    Map,
    assert_partition,
    assert_same,
    box_of,
    cut_maps,
    maps,
    pixel_edges,
    polygons_of,
    regions_of,
    ring_edges,
    strips_of,
    unit_edges,
    without_specks,
)

COLUMNS = {
    "segment_id": "int64",
    "class_id": "int64",
    "class_name": "str",
    "area_m2": "float64",
    "perimeter_m": "float64",
    "confidence": "float64",
}
PIXEL = NORTH_UP.a**2
NONE = 255


def field(height: int = 60, width: int = 45, seed: int = 0) -> Map:
    """Patches, flecks and a hole."""
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 3, (height // 6 + 1, width // 6 + 1)), np.ones((6, 6), int))
    classes = np.roll(classes, rng.integers(0, 6, 2), (0, 1))[:height, :width]
    flecks = rng.random((height, width)) < 0.03
    classes[flecks] = rng.integers(0, 3, flecks.sum())
    valid = rng.random((height, width)) > 0.01
    valid[height // 3 : height // 2, width // 4 : width // 2] = False
    return Map(classes.astype(np.uint8), valid)


def write(path: Path, map_: Map, dtype: str = "uint8", **profile: Any) -> Path:
    nodata = profile.pop("nodata", NONE if dtype == "uint8" else -9999)
    classes = np.where(map_.valid, map_.classes, nodata).astype(dtype)
    return write_raster(path, classes[None], **{"nodata": nodata, "blockysize": 1} | profile)


@pytest.fixture
def map_() -> Map:
    return field()


@pytest.fixture
def raster(tmp_path: Path, map_: Map) -> Path:
    return write(tmp_path / "map.tif", map_)


def cut_at(rows: Sequence[int]) -> Callable[[ClassRaster, int], list[tuple[int, int]]]:
    """Instead of `ClassRaster.bands_of_rows`."""

    def bands(self: ClassRaster, height: int) -> list[tuple[int, int]]:
        return [(a, b - a) for a, b in pairwise([0, *rows, self.geobox.height])]

    return bands


class TestFrame:
    def test_its_columns(self, raster: Path, map_: Map) -> None:
        frame = vectorize(raster)
        assert {name: str(frame[name].dtype) for name in frame.columns[:-1]} == COLUMNS
        assert frame.columns[-1] == "geometry"
        assert frame.crs.to_epsg() == 32633
        assert frame.index.tolist() == list(range(len(frame)))
        assert (frame.geom_type == "MultiPolygon").all()
        assert frame.confidence.isna().all()
        assert (frame.class_name == frame.class_id.astype(str)).all()

    def test_it_says_what_the_pixels_say(self, raster: Path, map_: Map) -> None:
        frame = vectorize(raster)
        truth = without_specks(map_, 4)
        labels = regions_of(truth)
        assert len(frame) == labels.max() + 1
        flat = labels.ravel().tolist()
        first = np.array([flat.index(k) for k in range(len(frame))])
        assert frame.segment_id.tolist() == (first + 1).tolist()
        assert frame.class_id.tolist() == truth.classes.ravel()[first].tolist()
        burnt = rasterio.features.rasterize(
            zip(frame.geometry, range(1, len(frame) + 1), strict=True),
            map_.shape,
            transform=NORTH_UP,
            dtype="int32",
        )
        assert (burnt == labels + 1).all()
        assert frame.area_m2.sum() == pytest.approx(map_.valid.sum() * PIXEL, rel=1e-12)
        np.testing.assert_allclose(frame.area_m2, frame.area, rtol=1e-6)
        np.testing.assert_allclose(frame.perimeter_m, frame.length, rtol=1e-6)

    def test_on_the_pixel_edges(self, raster: Path, map_: Map) -> None:
        frame = vectorize(raster, min_area_m2=0, simplify_m=0)
        labels = regions_of(map_)
        pixels = np.bincount(labels[labels >= 0])
        np.testing.assert_allclose(frame.area_m2, pixels * PIXEL, rtol=1e-12)
        cells = polygons_of(merge_specks(join(strips_of(map_)), 1))
        assert frame.perimeter_m.tolist() == pytest.approx(
            (shapely.length(cells) * NORTH_UP.a).tolist(), rel=1e-7
        )

    def test_a_file_holds_the_same(self, raster: Path, tmp_path: Path) -> None:
        frame = vectorize(raster)
        for ending in (".gpkg", ".fgb", ".parquet"):
            out = vectorize(raster, tmp_path / f"out{ending}")
            assert out == tmp_path / f"out{ending}"
            found = gpd.read_parquet(out) if ending == ".parquet" else read_dataframe(out)
            found = found.sort_values("segment_id").reset_index(drop=True)
            assert found.crs == frame.crs
            assert shapely.equals(found.geometry.values, frame.geometry.values).all()
            for name in ("segment_id", "class_id", "class_name", "area_m2", "perimeter_m"):
                assert found[name].tolist() == frame[name].tolist(), name
            assert found.confidence.isna().all()

    def test_ids_stay_when_others_go(self, raster: Path) -> None:
        every = vectorize(raster, min_area_m2=0).set_index("segment_id")
        some = vectorize(raster, min_area_m2=0, omit=1).set_index("segment_id")
        assert set(some.class_id) == {0, 2}
        assert every.loc[some.index].equals(some)
        merged = vectorize(raster, min_area_m2=9 * PIXEL).set_index("segment_id")
        kept = merged.index.intersection(every.index)
        assert len(kept) > 0.9 * len(merged)
        assert (merged.class_id[kept] == every.class_id[kept]).all()

    def test_stages(self, raster: Path, tmp_path: Path) -> None:
        seen: list[str] = []
        vectorize(raster, tmp_path / "out.gpkg", on_stage=seen.append, simplify_m=0.05)
        assert seen == ["borders", "joining", "specks", "lines", "simplifying", "writing"]

    def test_one_pixel(self, tmp_path: Path) -> None:
        frame = vectorize(write(tmp_path / "one.tif", Map.of("7")))
        assert frame.class_id.tolist() == [7]
        assert frame.segment_id.tolist() == [1]
        assert frame.area_m2.tolist() == pytest.approx([PIXEL])


class TestClasses:
    NAMES: ClassVar = {0: "soil", 1: "crop", 2: "weed", 9: "road"}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"classes": "weed"}, {2}),
            ({"classes": 2}, {2}),
            ({"classes": "2"}, {2}),
            ({"classes": ["weed", 0]}, {0, 2}),
            ({"classes": ("soil", "1"), "omit": "soil"}, {1}),
            ({"omit": "soil"}, {1, 2}),
            ({"omit": [0, "crop"]}, {2}),
            ({"classes": "road"}, set()),
            ({"classes": np.array([1, 2]).tolist()}, {1, 2}),
        ],
    )
    def test_chosen(self, raster: Path, options: dict[str, Any], expected: set[int]) -> None:
        frame = vectorize(raster, names=self.NAMES, **options)
        assert set(frame.class_id) == expected
        assert set(frame.class_name) == {self.NAMES[value] for value in expected}
        assert list(frame.columns) == [*COLUMNS, "geometry"]

    @pytest.mark.parametrize("option", ["classes", "omit"])
    @pytest.mark.parametrize("given", ["wheat", 7, "-1", "--1", "²", "1.5", "", "a\nb", -3])
    def test_unknown(self, raster: Path, option: str, given: str | int) -> None:
        with pytest.raises(OptionError) as caught:
            vectorize(raster, names=self.NAMES, **{option: given})
        assert f"--{option}" in str(caught.value)
        assert "soil, crop, weed, road" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_none_of_them_can_be_written(self, raster: Path, tmp_path: Path) -> None:
        out = vectorize(raster, tmp_path / "none.gpkg", names=self.NAMES, classes="road")
        assert len(read_dataframe(out)) == 0

    def test_names_that_are_numbers_of_others(self, raster: Path) -> None:
        frame = vectorize(raster, names={0: "1", 1: "0"}, classes="1")
        assert set(frame.class_id) == {0}
        assert set(vectorize(raster, names={0: "1", 1: "0"}, classes=1).class_id) == {1}


class TestValues:
    @pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
    def test_negative_classes(self, tmp_path: Path, dtype: str) -> None:
        classes = np.array([[-5, -5, 7], [-5, -5, 7], [-1, -1, 7]], dtype)
        path = write_raster(tmp_path / "map.tif", classes[None], nodata=-1)
        frame = vectorize(path, min_area_m2=0)
        assert frame.class_id.tolist() == [-5, 7]
        assert vectorize(path, min_area_m2=0, classes="-5").class_id.tolist() == [-5]
        assert vectorize(path, min_area_m2=0, omit=-5).class_id.tolist() == [7]

    def test_255_is_a_class_where_nothing_says_else(self, tmp_path: Path) -> None:
        classes = np.array([[255, 255, 0], [255, 1, 0]], np.uint8)
        path = write_raster(tmp_path / "map.tif", classes[None])
        frame = vectorize(path, min_area_m2=0)
        assert frame.class_id.tolist() == [255, 0, 1]
        assert vectorize(path, min_area_m2=0, nodata=255).class_id.tolist() == [0, 1]
        assert vectorize(path, min_area_m2=0, nodata=1).class_id.tolist() == [255, 0]

    def test_255_classes_and_nodata(self, tmp_path: Path) -> None:
        classes = np.arange(256, dtype=np.uint8).reshape(16, 16)
        frame = vectorize(
            write_raster(tmp_path / "map.tif", classes[None], nodata=255), min_area_m2=0
        )
        assert frame.class_id.tolist() == list(range(255))

    def test_gaps_between_values(self, tmp_path: Path) -> None:
        classes = np.array([[-(2**31), 0, 2**31 - 1]] * 4, np.int32)
        frame = vectorize(write_raster(tmp_path / "map.tif", classes[None]), min_area_m2=0)
        assert frame.class_id.tolist() == [-(2**31), 0, 2**31 - 1]
        assert frame.class_name.tolist() == ["-2147483648", "0", "2147483647"]


class TestArea:
    def test_specks_in_square_metres(self, raster: Path, map_: Map) -> None:
        for pixels in (1, 2, 7):
            frame = vectorize(raster, min_area_m2=pixels * PIXEL)
            assert len(frame) == regions_of(without_specks(map_, pixels)).max() + 1
        # A little more than that is one pixel more.
        frame = vectorize(raster, min_area_m2=7.01 * PIXEL)
        assert len(frame) == regions_of(without_specks(map_, 8)).max() + 1

    def test_on_the_ground_in_degrees(self, tmp_path: Path, map_: Map) -> None:
        transform = Affine(1e-5, 0, 13.3, 0, -1e-5, 60)
        path = write(tmp_path / "map.tif", map_, crs=CRS.from_epsg(4326), transform=transform)
        # At 60 degrees a pixel is half as wide as high: 0.55 m x 1.11 m.
        frame = vectorize(path, min_area_m2=6.9 * 0.559 * 1.114)
        assert len(frame) == regions_of(without_specks(map_, 7)).max() + 1

    def test_more_than_there_is(self, raster: Path) -> None:
        frame = vectorize(raster, min_area_m2=1e308)
        # Nothing but what lies apart from all others is left.
        assert not (
            shapely.STRtree(frame.geometry).query(frame.geometry, predicate="overlaps")
        ).size
        assert len(frame) < 12

    def test_simplified_by_metres_without_end(self, raster: Path) -> None:
        frame = vectorize(raster, simplify_m=1e308)
        assert shapely.is_valid(frame.geometry.values).all()


def refused(kind: type[AgrisegError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


class TestRefused:
    def test_numbers_that_are_not_whole(self, tmp_path: Path) -> None:
        path = write_raster(tmp_path / "map.tif", np.ones((1, 3, 3), np.float32))
        assert str(path) in refused(InputError, lambda: vectorize(path))

    def test_without_crs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "map.tif", Map.of("01"), crs=None)
        assert str(path) in refused(InputError, lambda: vectorize(path))

    @pytest.mark.parametrize("rows", [1, 8, 64])
    def test_what_is_no_class_map(
        self, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """300 values, also where each band alone holds fewer."""
        values = np.arange(300, dtype=np.int16).repeat(4).reshape(1, 60, 20)
        path = write_raster(tmp_path / "map.tif", values, blockysize=1)
        monkeypatch.setattr(ClassRaster, "bands_of_rows", cut_at(range(rows, 60, rows)))
        text = refused(InputError, lambda: vectorize(path))
        assert str(path) in text
        assert "255" in text

    def test_nothing_but_nodata(self, tmp_path: Path) -> None:
        path = write_raster(tmp_path / "map.tif", np.full((1, 3, 3), 255, np.uint8), nodata=255)
        out = tmp_path / "out.gpkg"
        assert str(path) in refused(InputError, lambda: vectorize(path, out))
        assert not out.exists()

    def test_an_unknown_ending(self, raster: Path, tmp_path: Path) -> None:
        text = refused(OutputError, lambda: vectorize(raster, tmp_path / "out.shp"))
        assert "out.shp" in text
        assert ".gpkg" in text

    def test_a_missing_file(self, tmp_path: Path) -> None:
        path = tmp_path / "missing.tif"
        assert str(path) in refused(InputError, lambda: vectorize(path))

    @pytest.mark.parametrize("value", [-1, -1e-9, float("nan"), float("inf")])
    @pytest.mark.parametrize("option", ["min_area_m2", "simplify_m"])
    def test_sizes_that_are_none(self, raster: Path, option: str, value: float) -> None:
        text = refused(OptionError, lambda: vectorize(raster, **{option: value}))
        assert f"--{option.replace('_', '-')}" in text

    def test_metres_without_crs(self) -> None:
        map_ = Map.of("01")
        box = box_of(map_, crs=None)
        for option in ("min_area_m2", "simplify_m"):
            options = PolygonOptions(**{option: 1.0})
            text = refused(
                OptionError,
                lambda options=options: build(strips_of(map_), box, {}, None, options),
            )
            assert f"--{option.replace('_', '-')}" in text

    def test_a_damaged_file(self, tmp_path: Path, map_: Map) -> None:
        path = write(tmp_path / "map.tif", map_, compress="deflate")
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        path.write_bytes(data)
        out = tmp_path / "out.gpkg"
        out.write_bytes(b"old")
        text = refused(ReadError, lambda: vectorize(path, out))
        assert str(path) in text
        assert out.read_bytes() == b"old"


class TestNothingIsLeft:
    @pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".geojson", ".parquet"])
    def test_behind(self, raster: Path, tmp_path: Path, ending: str) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        before = set(threading.enumerate())
        vectorize(raster, folder / f"map{ending}")
        assert leftovers(folder) == [f"map{ending}"]
        assert set(threading.enumerate()) <= before

    @pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".geojson", ".parquet"])
    def test_of_a_failure(
        self, raster: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        out = vectorize(raster, folder / f"map{ending}")
        old = out.read_bytes()
        before = set(threading.enumerate())

        batches = Segments.batches

        def broken(self: Segments) -> Iterator[PolygonBatch]:
            yield from batches(self)
            raise OutputError("the disk is full")

        monkeypatch.setattr(Segments, "batches", broken)
        assert "full" in refused(OutputError, lambda: vectorize(raster, out, min_area_m2=0))
        assert leftovers(folder) == [f"map{ending}"]
        assert out.read_bytes() == old
        assert set(threading.enumerate()) <= before

    def test_of_a_refusal(self, tmp_path: Path) -> None:
        values = np.arange(300, dtype=np.int16).reshape(1, 15, 20)
        path = write_raster(tmp_path / "map.tif", values)
        folder = tmp_path / "out"
        folder.mkdir()
        before = set(threading.enumerate())
        refused(InputError, lambda: vectorize(path, folder / "map.gpkg"))
        assert leftovers(folder) == []
        assert set(threading.enumerate()) <= before


class TestBands:
    @pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".geojson", ".parquet"])
    def test_files_are_the_same_to_the_byte(
        self, raster: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        height = field().shape[0]
        sums = set()
        for k, rows in enumerate(([], [1], [7, 8, 30], range(1, height), range(13, height, 13))):
            monkeypatch.setattr(ClassRaster, "bands_of_rows", cut_at(rows))
            folder = tmp_path / str(k)
            folder.mkdir()
            out = vectorize(raster, folder / f"map{ending}")
            sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
        assert len(sums) == 1

    def test_small_bands_are_taken(self, raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = vectorize(raster)
        monkeypatch.setattr(sys.modules["agriseg.vector.vectorize"], "_BAND_PIXELS", 45 * 7)
        assert vectorize(raster).equals(whole)


class TestConfidence:
    @pytest.fixture
    def steps(self, map_: Map) -> NDArray[np.uint8]:
        return np.random.default_rng(1).integers(0, 251, map_.shape).astype(np.uint8)

    def check(self, frame: gpd.GeoDataFrame, map_: Map, sure: NDArray[np.float64]) -> None:
        """`sure`: NaN where it is unknown."""
        labels = regions_of(without_specks(map_, 4))
        assert len(frame) == labels.max() + 1
        for k, mean in enumerate(frame.confidence.tolist()):
            mine = sure[labels == k]
            known = mine[~np.isnan(mine)]
            assert (mean == pytest.approx(known.mean(), abs=1e-12)) if len(known) else mean != mean

    @pytest.mark.parametrize("rows", [[], range(1, 60), [17]])
    def test_is_the_mean_of_the_pixels(
        self,
        raster: Path,
        map_: Map,
        steps: NDArray[np.uint8],
        rows: Sequence[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(ClassRaster, "bands_of_rows", cut_at(rows))
        sure = write_raster(raster.with_name("sure.tif"), steps[None], blockysize=1)
        with rasterio.open(sure, "r+") as dataset:
            dataset.scales, dataset.offsets = (1 / 250,), (0.125,)
        self.check(vectorize(raster, confidence=sure), map_, steps / 250 + 0.125)

    def test_of_the_known_pixels(self, raster: Path, map_: Map, steps: NDArray[np.uint8]) -> None:
        known = np.random.default_rng(2).random(map_.shape) < 0.5
        labels = regions_of(without_specks(map_, 4))
        known[labels == 3] = False
        data = np.where(known, steps, NONE).astype(np.uint8)
        sure = write_raster(raster.with_name("sure.tif"), data[None], nodata=NONE)
        frame = vectorize(raster, confidence=sure)
        assert np.isnan(frame.confidence[3])
        self.check(frame, map_, np.where(known, steps.astype(float), np.nan))

    def test_in_numbers_that_are_not_whole(self, raster: Path, map_: Map) -> None:
        rng = np.random.default_rng(3)
        sure = np.round(rng.random(map_.shape), 6)
        sure[rng.random(map_.shape) < 0.1] = np.nan
        path = write_raster(raster.with_name("sure.tif"), sure[None])
        self.check(vectorize(raster, confidence=path), map_, sure)

    def test_beside_the_classes_of_a_run(
        self, tmp_path: Path, map_: Map, steps: NDArray[np.uint8]
    ) -> None:
        classes = write(tmp_path / "classes.tif", map_)
        write_raster(tmp_path / "confidence.tif", steps[None])
        self.check(vectorize(classes), map_, steps.astype(float))
        assert vectorize(classes, confidence=False).confidence.isna().all()

    def test_goes_into_files(self, raster: Path, map_: Map, steps: NDArray[np.uint8]) -> None:
        sure = write_raster(raster.with_name("sure.tif"), steps[None])
        frame = vectorize(raster, confidence=sure)
        out = vectorize(raster, raster.with_suffix(".fgb"), confidence=sure)
        found = read_dataframe(out).sort_values("segment_id")
        assert found.confidence.tolist() == frame.confidence.tolist()


class TestGdal:
    """rasterio.features.shapes, which is GDAL's GDALPolygonize."""

    @given(maps(20))
    def test_finds_the_same_polygons(self, map_: Map) -> None:
        self.check(map_)

    @pytest.mark.parametrize("map_", NAMED.values(), ids=NAMED.keys())
    def test_finds_the_same_in_named_maps(self, map_: Map) -> None:
        self.check(map_)

    def check(self, map_: Map) -> None:
        options = PolygonOptions(min_area_m2=0, simplify_m=0)
        box = box_of(map_, Affine(1, 0, 0, 0, -1, 0))
        batches = list(build(strips_of(map_), box, {}, None, options).batches())
        ours = np.concatenate([batch.geometry for batch in batches])
        values = np.concatenate([batch.columns["class_id"] for batch in batches]).tolist()
        found = [
            (shapely.geometry.shape(shape), int(value))
            for shape, value in rasterio.features.shapes(
                map_.classes, mask=map_.valid, connectivity=4, transform=box.transform
            )
        ]
        assert len(found) == len(ours)
        theirs = np.array([polygon for polygon, _ in found])

        # Which pixels' edges a polygon runs along tells it from all others; their rings run the
        # other way, and have no vertex where others meet.
        def key(polygon: Any) -> frozenset[Any]:
            start, end = ring_edges(np.array([polygon]))
            return frozenset(frozenset(edge) for edge in unit_edges(start, end))

        by_edges = {key(polygon): k for k, polygon in enumerate(ours)}
        match = np.array([by_edges[key(polygon)] for polygon in theirs])
        assert sorted(match.tolist()) == list(range(len(ours)))
        assert [values[k] for k in match.tolist()] == [value for _, value in found]
        good = shapely.is_valid(theirs)
        assert shapely.equals(theirs[good], ours[match][good]).all()

    def test_areas_of_classes(self, raster: Path, map_: Map) -> None:
        frame = vectorize(raster, min_area_m2=0, simplify_m=0)
        area: dict[int, float] = {}
        count = 0
        with rasterio.open(raster) as dataset:
            for shape, value in rasterio.features.shapes(
                dataset.read(1), dataset.read_masks(1), connectivity=4, transform=dataset.transform
            ):
                area[int(value)] = area.get(int(value), 0.0) + shapely.geometry.shape(shape).area
                count += 1
        assert count == len(frame)
        assert frame.groupby("class_id").area_m2.sum().to_dict() == pytest.approx(area, rel=1e-6)


def placed_at(code: int, lon: float, lat: float, linear: Affine) -> tuple[CRS, Affine]:
    crs = CRS.from_epsg(code)
    x, y = pyproj.Transformer.from_crs(4326, code, always_xy=True).transform(lon, lat)
    return crs, Affine.translation(x, y) @ linear


FLAT = {
    "turned": (32633, Affine.rotation(25) @ Affine.scale(0.3, -0.3), 1.0),
    "south up": (32633, Affine.scale(0.3, 0.3), 1.0),
    "mirrored": (32633, Affine.scale(-0.3, -0.3), 1.0),
    "turned by half": (32633, Affine.scale(-0.3, 0.3), 1.0),
    "sheared": (32633, Affine(0.5, 0.2, 0, -0.1, -0.7, 0), 1.0),
    "flat pixels": (32633, Affine.scale(3, -0.1), 1.0),
    "US feet": (2225, Affine.scale(1.5, -1.5), 1200 / 3937),
}
STRETCHED = {
    "degrees": (4326, Affine.scale(1e-5, -1e-5)),
    "degrees, south up and turned": (4326, Affine.rotation(12) @ Affine.scale(1e-5, 1e-5)),
    "Web Mercator": (3857, Affine.scale(0.8, -0.8)),
    "Web Mercator, turned": (3857, Affine.rotation(-40) @ Affine.scale(2, -0.7)),
}


class TestGround:
    @pytest.mark.parametrize("name", FLAT)
    @pytest.mark.parametrize("simplify_px", [0, None, 2])
    def test_maps_true_to_scale(
        self, tmp_path: Path, map_: Map, name: str, simplify_px: float | None
    ) -> None:
        code, linear, metre = FLAT[name]
        lon, lat = (-120.0, 40.0) if code == 2225 else (15.0, 48.0)
        crs, transform = placed_at(code, lon, lat, linear)
        path = write(tmp_path / "map.tif", map_, crs=crs, transform=transform)
        box = GeoBox(crs, transform, map_.shape[1], map_.shape[0])
        assert box.is_true_to_scale
        assert box.gsd_m is not None
        simplify = None if simplify_px is None else simplify_px * min(box.gsd_m)
        frame = vectorize(path, simplify_m=simplify)
        np.testing.assert_allclose(frame.area_m2, frame.area * metre**2, rtol=1e-5)
        np.testing.assert_allclose(frame.perimeter_m, frame.length * metre, rtol=1e-5)
        self.check_shapes(frame)
        pixel = abs(transform.determinant) * metre**2
        assert frame.area_m2.sum() == pytest.approx(map_.valid.sum() * pixel, rel=1e-9)

    @pytest.mark.parametrize("name", STRETCHED)
    @pytest.mark.parametrize("simplify_px", [0, None, 2])
    @pytest.mark.parametrize("lat", [12.0, 51.0, -72.0])
    def test_maps_that_stretch(
        self, tmp_path: Path, map_: Map, name: str, simplify_px: float | None, lat: float
    ) -> None:
        code, linear = STRETCHED[name]
        crs, transform = placed_at(code, 11.0, lat, linear)
        path = write(tmp_path / "map.tif", map_, crs=crs, transform=transform)
        box = GeoBox(crs, transform, map_.shape[1], map_.shape[0])
        assert box.gsd_m is not None
        simplify = None if simplify_px is None else simplify_px * min(box.gsd_m)
        frame = vectorize(path, simplify_m=simplify)
        self.check_shapes(frame)
        geod = pyproj.Geod(ellps="WGS84")
        to = pyproj.Transformer.from_crs(code, 4326, always_xy=True)
        for row in frame.itertuples():
            lonlat = shapely.transform(
                row.geometry, lambda xy: np.column_stack(to.transform(xy[:, 0], xy[:, 1]))
            )
            area, _ = geod.geometry_area_perimeter(lonlat)
            rings = shapely.get_rings(shapely.get_parts(lonlat))
            length = sum(geod.geometry_length(ring) for ring in rings)
            # geod itself is off by 0.2 cm2 and more: our own areas agree with theory to 1e-8.
            assert row.area_m2 == pytest.approx(area, rel=1e-6, abs=1e-3)
            assert row.perimeter_m == pytest.approx(length, rel=1e-6)

    @pytest.mark.parametrize("name", [*FLAT, *STRETCHED])
    @pytest.mark.parametrize("simplify_m", [0, None])
    def test_a_full_raster_has_the_area_of_its_grid(
        self, name: str, simplify_m: float | None
    ) -> None:
        code, linear = (FLAT.get(name) or STRETCHED[name])[:2]
        crs, transform = placed_at(code, -120.0 if code == 2225 else 14.0, 40.0, linear)
        map_ = Map(field().classes, np.ones(field().shape, bool))
        box = box_of(map_, transform, crs)
        segments = build(strips_of(map_), box, {}, None, PolygonOptions(simplify_m=simplify_m))
        assert segments.measures.areas_m2.sum() == pytest.approx(box.area_m2, rel=1e-6)
        rows = segments.summary()
        assert sum(row["area_m2"] for row in rows) == pytest.approx(box.area_m2, rel=1e-6)
        assert sum(row["polygons"] for row in rows) == len(segments)

    def check_shapes(self, frame: gpd.GeoDataFrame) -> None:
        polygons = frame.geometry.values
        assert shapely.is_valid(polygons).all()
        assert bool(shapely.coverage_is_valid(polygons))
        parts = shapely.get_geometry(polygons, 0)
        assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all()
        assert not any(ring.is_ccw for part in parts for ring in part.interiors)


def built(map_: Map, cuts: Sequence[int], options: PolygonOptions) -> Any:
    """Polygons in columns and rows, and their table."""
    box = box_of(map_, Affine.scale(1, 1))
    segments = build(strips_of(map_, cuts), box, {}, Confidence(), options)
    batches = list(segments.batches())
    geometry = np.concatenate([batch.geometry for batch in batches])
    return geometry, segments.regions


def split_at(monkeypatch: pytest.MonkeyPatch, rows: int, edges: int) -> None:
    for module in (segments_module, strip_module):
        monkeypatch.setattr(module, "SPLIT_ROWS", rows)
    monkeypatch.setattr(segments_module, "_LARGE_EDGES", edges)


class TestSplit:
    @settings(max_examples=60)
    @given(cut_maps(16), st.integers(1, 9), st.integers(0, 60), st.sampled_from([1, 4]))
    def test_cuts_large_polygons_and_no_others(
        self, cut: tuple[Map, list[int]], rows: int, edges: int, least: int
    ) -> None:
        map_, cuts = cut
        height = map_.shape[0]
        marks = range(rows, height, rows)
        split = Split(rows, edges)
        networks = [
            merge_specks(join(strips_of(map_, sorted({*marks, *extra}))), least, split)
            for extra in ((), cuts, range(1, height))
        ]
        assert_same(networks[0], networks[1])
        assert_same(networks[0], networks[2])
        truth = regions_of(without_specks(map_, least))
        # The truth: a large region's pixels, labelled between the marks.
        labels = np.full(map_.shape, -1)
        count = 0
        for region in range(truth.max() + 1):
            mine = truth == region
            bands = [0, *marks, height] if len(pixel_edges(mine)) > edges else [0, height]
            for a, b in pairwise(bands):
                part = np.zeros_like(mine)
                part[a:b] = mine[a:b]
                found = regions_of(Map(part.astype(np.uint8), part))
                labels[found >= 0] = found[found >= 0] + count
                count += found.max() + 1
        regions = networks[0].regions
        assert len(regions) == count
        for k in range(count):
            number = labels.ravel()[regions.first[k]]
            assert regions.pixels[k] == (labels == number).sum()
            assert regions.first[k] == np.flatnonzero(labels == number)[0]
        for limit in (0, 0.5):
            polygons = polygons_of(networks[0], limit)
            assert_partition(polygons, map_.valid)
            burnt = rasterio.features.rasterize(
                zip(polygons, labels.ravel()[regions.first] + 1, strict=True),
                map_.shape,
                dtype="int32",
            )
            assert (burnt == labels + 1).all()

    def test_parts_are_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        map_ = field(80, 60, 3)
        split_at(monkeypatch, 16, 80)
        marks = range(16, 80, 16)
        whole, table = built(map_, (), PolygonOptions(simplify_m=0))
        parts, cut = built(map_, marks, PolygonOptions(simplify_m=0, split_large=True))
        assert len(parts) > len(whole)
        points = shapely.point_on_surface(parts)
        owner = shapely.STRtree(whole).query(points, predicate="within")[1]
        assert len(owner) == len(parts)
        for k, polygon in enumerate(whole):
            mine = parts[owner == k]
            assert shapely.equals(shapely.union_all(mine), polygon)
            assert table.pixels[k] == cut.pixels[owner == k].sum()
            assert len(mine) == 1 or shapely.length(polygon) > 80  # pixel edges

    def test_files(self, tmp_path: Path, raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        split_at(monkeypatch, 16, 60)
        sums = set()
        for rows in ([], [5, 16, 33], range(1, 60)):
            monkeypatch.setattr(ClassRaster, "bands_of_rows", cut_at(rows))
            out = vectorize(raster, tmp_path / "out.fgb", split_large=True)
            sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
        assert len(sums) == 1
        split, whole = read_dataframe(out), vectorize(raster)
        assert len(split) > len(whole)
        assert shapely.coverage_is_valid(split.geometry.values)
        assert split.area_m2.sum() == pytest.approx(whole.area_m2.sum(), rel=1e-9)
        # As usual where nothing is large.
        split_at(monkeypatch, 16, 10**6)
        assert vectorize(raster, split_large=True).equals(whole)

    def test_what_nothing_can_draw_is_always_cut(
        self, raster: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = vectorize(raster)
        split_at(monkeypatch, 16, 60)
        monkeypatch.setattr(segments_module, "_MOST_EDGES", 60)
        assert len(vectorize(raster)) > len(whole)


def test_simplified_beyond_half_a_pixel(raster: Path, map_: Map) -> None:
    usual = vectorize(raster)
    for pixels in (1, 3):
        frame = vectorize(raster, simplify_m=pixels * NORTH_UP.a)
        assert shapely.coverage_is_valid(frame.geometry.values)
        assert shapely.is_valid(frame.geometry.values).all()
        assert frame.segment_id.tolist() == usual.segment_id.tolist()
        assert shapely.get_num_coordinates(frame.geometry.values).sum() < (
            shapely.get_num_coordinates(usual.geometry.values).sum()
        )
        flat = shapely.transform(
            frame.geometry.values,
            lambda xy: np.round(np.column_stack(~NORTH_UP @ (xy[:, 0], xy[:, 1])) * 2) / 2,
        )
        assert shapely.area(flat).sum() == map_.valid.sum()


def test_neither_do_chunks_nor_piles_on_disk(
    raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done for large maps only: a part at a time, with corners in a file."""
    folder = tmp_path / "out"
    folder.mkdir()
    files = []
    for options in ({}, {"simplify_m": 0}, {"simplify_m": 0.05}, {"split_large": True}):
        split_at(monkeypatch, 16, 60)
        files.append(vectorize(raster, folder / "map.fgb", **options).read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            for name, module in list(sys.modules.items()):
                for limit in ("_CHUNK", "_BATCH", "_SMALL"):
                    if name.startswith("agriseg.vector.") and hasattr(module, limit):
                        patch.setattr(module, limit, 0 if limit == "_SMALL" else 9)
            files.append(vectorize(raster, folder / "map.fgb", **options).read_bytes())
            assert leftovers(folder) == ["map.fgb"]
        assert files[-1] == files[-2], options
    assert len(set(files)) == 4


def test_threads_do_not_matter(raster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows, of which the first ones take longest."""
    frames, module = [], sys.modules["agriseg.vector.vectorize"]
    find, done = module.trace_band, []

    def dawdle(classes: np.ndarray, valid: np.ndarray, row_off: int, **steps: object) -> object:
        time.sleep(0.03 if row_off == 0 else 0)
        found = find(classes, valid, row_off, **steps)
        done.append(row_off)
        return found

    with rasterio.open(raster) as dataset:
        height = dataset.height
    bands = [(row, min(5, height - row)) for row in range(0, height, 5)]
    monkeypatch.setattr(module.ClassRaster, "bands_of_rows", lambda self, rows: bands)
    monkeypatch.setattr(module, "trace_band", dawdle)
    for cores in (1, 7):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        frames.append(vectorize(raster))
    assert frames[0].equals(frames[1])
    assert done[: len(bands)] == sorted(done[: len(bands)])
    assert done[len(bands) :] != sorted(done[len(bands) :])


def test_the_raster_itself_is_not_overwritten(raster: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.gpkg"
    with rasterio.open(raster) as dataset:
        rasterio.shutil.copy(dataset, out, driver="GPKG")
    content = out.read_bytes()
    with pytest.raises(OutputError, match="is the raster itself"):
        vectorize(out, out)
    assert out.read_bytes() == content


def test_no_class_left_is_told(raster: Path, tmp_path: Path) -> None:
    there = sorted({int(v) for v in vectorize(raster).class_id})
    with pytest.raises(OptionError, match="leave no class over"):
        vectorize(raster, tmp_path / "x.gpkg", omit=there)
    with pytest.raises(OptionError, match="--classes is empty"):
        vectorize(raster, classes=[])
    assert not (tmp_path / "x.gpkg").exists()
