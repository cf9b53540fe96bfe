"""Fields out of maps of fields and boundaries."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy.ndimage import binary_dilation, gaussian_filter, label

from agriseg.errors import InputError, OptionError
from agriseg.fields.delineation import basins, merging
from agriseg.fields.delineation.delineate import delineate
from agriseg.fields.delineation.fiboa import to_fiboa
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.verb import simulate
from tests.support import write_raster

TEN_M = Affine(10.0, 0.0, 629840.0, 0.0, -10.0, 5345220.0)
Map = NDArray[np.uint8]


def write_map(
    folder: Path,
    kind: Map,
    *,
    names: tuple[str, ...] = ("background", "field", "boundary"),
    odds: NDArray[np.floating[Any]] | None = None,
    **place: Any,
) -> Path:
    """classes.tif as runs leave it; with `odds` also probabilities.tif of what is no background."""
    place = {"transform": TEN_M, "nodata": 255} | place
    path = write_raster(folder / "classes.tif", kind[None], **place)
    listed = "".join(f"<Category>{name}</Category>" for name in names)
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{listed}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>"
    )
    if odds is not None:
        planes = np.rint(np.stack([odds * 0, 200 - 200 * odds, 200 * odds])).astype(np.uint8)
        likely = write_raster(folder / "probabilities.tif", planes, descriptions=names, **place)
        with rasterio.open(likely, "r+") as dataset:
            dataset.scales = (0.005,) * 3
    return path


def burnt(fields: gpd.GeoDataFrame, shape: tuple[int, int], transform: Affine = TEN_M) -> Map:
    """Number of the field over each pixel's centre; 0 for none."""
    if fields.empty:
        return np.zeros(shape, np.int32)
    shapes = ((g, int(k)) for g, k in zip(fields.geometry, fields.field_id, strict=True))
    return rasterize(shapes, out_shape=shape, transform=transform, dtype="int32")


def two_fields() -> Map:
    """One field left and one right of a boundary in column 17; background all around."""
    kind = np.zeros((31, 40), np.uint8)
    kind[3:28, 4:36] = 1
    kind[3:28, 17] = 2
    return kind


def test_a_boundary_of_one_pixel_parts_two_fields(tmp_path: Path) -> None:
    fields = delineate(write_map(tmp_path, two_fields()), min_field_ha=0.0)
    assert list(fields.columns) == [
        *("field_id", "name", "area_ha", "perimeter_m", "confidence", "border_seen", "geometry")
    ]
    assert fields.field_id.tolist() == ["1", "2"]
    assert fields["name"].isna().all()
    assert fields.confidence.isna().all()
    assert fields.border_seen.tolist() == [1.0, 1.0]
    assert fields.crs == "EPSG:32633"
    # The boundary is theirs: nothing of the 25 x 32 pixels is lost.
    assert fields.area_ha.sum() == pytest.approx(25 * 32 / 100, rel=0.01)
    number = burnt(fields, (31, 40))
    assert set(number[4:27, 5:16].ravel()) == {1}
    assert set(number[4:27, 19:35].ravel()) == {2}


@pytest.mark.parametrize("gap", [slice(14, 16), slice(8, 14)])
def test_a_gap_in_the_boundary_changes_little(tmp_path: Path, gap: slice) -> None:
    kind = two_fields()
    kind[gap, 17] = 1
    assert label(kind == 1)[1] == 1
    fields = delineate(write_map(tmp_path, kind))
    assert len(fields) == 2
    whole = burnt(fields, kind.shape)
    assert (whole[5:26, 5:15] == 1).all()
    assert (whole[5:26, 20:35] == 2).all()
    assert (fields.border_seen < 1).all()


def test_a_short_spur_parts_nothing(tmp_path: Path) -> None:
    kind = two_fields()
    kind[8:, 17][kind[8:, 17] == 2] = 1
    assert len(delineate(write_map(tmp_path, kind))) == 1


@pytest.mark.parametrize("shape", ["bend", "hourglass", "strip"])
def test_a_field_without_a_boundary_in_it_stays_one(tmp_path: Path, shape: str) -> None:
    kind = np.zeros((60, 70), np.uint8)
    y, x = np.indices(kind.shape)
    if shape == "bend":
        kind[5:50, 5:20] = kind[35:50, 5:60] = 1
    elif shape == "hourglass":
        kind[(np.abs(x - 35) <= 4 + np.abs(y - 30)) & (np.abs(y - 30) < 22)] = 1
    else:
        kind[np.abs(y - 5 - 0.63 * x) < 4.2] = 1
    edge = binary_dilation(kind == 0, np.ones((3, 3))) & (kind == 1)
    kind[edge] = 2
    fields = delineate(write_map(tmp_path, kind))
    assert len(fields) == 1
    assert np.isnan(fields.border_seen[0])
    # The tips of sharp corners are all boundary, and too far from the field.
    assert ((burnt(fields, kind.shape) > 0) != (kind > 0)).sum() <= 4


def test_probabilities_show_a_boundary_that_is_nowhere_the_likeliest(tmp_path: Path) -> None:
    kind = np.zeros((31, 40), np.uint8)
    kind[3:28, 4:36] = 1
    odds = np.full(kind.shape, 0.1)
    odds[:, 16:19] = (0.5, 0.8, 0.5)
    path = write_map(tmp_path, kind, odds=odds)
    assert len(delineate(path)) == 2
    assert len(delineate(tmp_path)) == 2
    assert len(delineate(path, probabilities=False)) == 1
    moved = tmp_path / "likely.tif"
    (tmp_path / "probabilities.tif").rename(moved)
    assert len(delineate(path)) == 1
    assert len(delineate(path, probabilities=moved)) == 2


def test_small_fields_go_and_small_holes_close(tmp_path: Path) -> None:
    kind = two_fields()
    kind[10:12, 25:28] = 0  # a pond of 6 pixels
    kind[14:16, 17] = 0  # a hut in the boundary
    kind[29:31, 1:4] = 1  # a garden
    fields = delineate(write_map(tmp_path, kind), min_field_ha=0.08)
    assert len(fields) == 2
    assert not any(g.interiors for g in fields.geometry)
    assert len(delineate(write_map(tmp_path, kind), min_field_ha=0.05)) == 3
    kept = delineate(write_map(tmp_path, kind), min_field_ha=0.0)
    assert sum(len(g.interiors) for g in kept.geometry) == 1


def test_huts_along_a_boundary_open_no_way(tmp_path: Path) -> None:
    kind = two_fields()
    rows = np.flatnonzero(np.arange(31) % 4 != 3)
    kind[rows[(rows > 3) & (rows < 27)], 17] = 0
    assert len(delineate(write_map(tmp_path, kind))) == 2
    # Within a field the same huts are only holes.
    kind[:, 17][kind[:, 17] == 2] = 1
    fields = delineate(write_map(tmp_path, kind))
    assert len(fields) == 1
    assert not fields.geometry[0].interiors


def test_fields_go_on_over_many_rows(tmp_path: Path) -> None:
    kind = np.ones((2100, 13), np.uint8)
    kind[:, 6] = 2
    kind[700:1500, 6] = 0
    kind[700:1500, 5:8:2] = 2
    fields = delineate(write_map(tmp_path, kind), simplify_m=0.0)
    assert len(fields) == 2
    assert fields.geometry.is_valid.all()
    # Corners are where outlines turn or meet, and nowhere else: the odd column is the left field's.
    assert shapely.get_num_coordinates(fields.geometry.values).tolist() == [8 + 1, 6 + 1]
    assert fields.area_ha.sum() == pytest.approx((2100 * 13 - 800) / 100)


def test_no_field_at_all(tmp_path: Path) -> None:
    for value in (0, 2, 255):
        fields = delineate(write_map(tmp_path, np.full((9, 11), value, np.uint8)))
        assert fields.empty
        assert {"field_id", "name", "area_ha"} <= set(fields.columns)
        assert fields.crs == "EPSG:32633"


def test_a_field_fills_the_map(tmp_path: Path) -> None:
    for shape in ((9, 11), (1, 40), (40, 1)):
        fields = delineate(write_map(tmp_path, np.ones(shape, np.uint8)))
        assert len(fields) == 1
        assert fields.area_ha[0] == pytest.approx(shape[0] * shape[1] / 100)


def test_nodata_is_no_background(tmp_path: Path) -> None:
    kind = two_fields()
    kind[:, 22:25] = 255
    fields = delineate(write_map(tmp_path, kind), min_field_ha=0.0)
    assert len(fields) == 3
    number = burnt(fields, kind.shape)
    assert not number[:, 22:25].any()
    assert (number[4:27, 25:35] == 3).all()
    # Along nodata outlines stay on the pixel edges.
    left = TEN_M.c + 25 * 10
    assert fields.geometry[2].bounds[0] == left


def test_areas_are_true_in_degrees(tmp_path: Path) -> None:
    step = 0.0001
    at = Affine(step, 0.0, 16.0, 0.0, -step, 48.2)
    path = write_map(tmp_path, two_fields(), crs=CRS.from_epsg(4326), transform=at)
    fields = delineate(path, simplify_m=0.0)
    assert len(fields) == 2
    geod = pyproj.Geod(ellps="WGS84")
    for row in fields.itertuples():
        dense = shapely.segmentize(row.geometry, step / 4)
        area, length = geod.geometry_area_perimeter(dense)
        assert row.area_ha == pytest.approx(abs(area) / 1e4, rel=1e-6)
        assert row.perimeter_m == pytest.approx(length, rel=1e-6)


def test_confidence_is_the_mean_over_the_field(tmp_path: Path) -> None:
    kind = two_fields()
    path = write_map(tmp_path, kind)
    sure = np.where(np.arange(40) < 17, 100, 180).astype(np.uint8) * np.ones((31, 1), np.uint8)
    beside = write_raster(tmp_path / "confidence.tif", sure[None], transform=TEN_M, nodata=255)
    with rasterio.open(beside, "r+") as dataset:
        dataset.scales = (0.005,)
    fields = delineate(path)
    assert fields.confidence[0] == pytest.approx(0.5, abs=0.03)
    assert fields.confidence[1] == pytest.approx(0.9, abs=0.03)


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    path = write_map(tmp_path, two_fields(), names=("soil", "crop", "weed"))
    with pytest.raises(OptionError, match="no such class; it has soil, crop, weed"):
        delineate(path)
    assert len(delineate(path, field="crop", boundary="Weed")) == 2
    assert len(delineate(path, field="crop")) == 2  # background between them
    with pytest.raises(OptionError, match="--boundary hedge"):
        delineate(path, field="crop", boundary="hedge")
    with pytest.raises(OptionError, match="min-field-ha"):
        delineate(path, field="crop", min_field_ha=-1)
    with pytest.raises(InputError, match=r"no probabilities\.tif"):
        delineate(path, field="crop", boundary="weed", probabilities=True)
    with pytest.raises(InputError, match=r"holds no classes\.tif"):
        delineate(tmp_path.parent)
    other = write_raster(tmp_path / "other.tif", np.zeros((3, 5, 5), np.uint8), transform=TEN_M)
    with pytest.raises(InputError, match="different grids"):
        delineate(path, field="crop", boundary="weed", probabilities=other)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_map(tmp_path, two_fields())
    monkeypatch.setattr("agriseg.fields.delineation.farmland.memory_bytes", lambda: 30_000)
    with pytest.raises(InputError, match="memory"):
        delineate(path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(3, 40), st.booleans())
def test_any_map_gives_whole_fields(
    tmp_path: Path, seed: int, height: int, width: int, rough: bool
) -> None:
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(3, height, width)), (0, *(2 * [0.3 if rough else 2])))
    kind = noise.argmax(axis=0).astype(np.uint8)
    kind[rng.random(kind.shape) < 0.02] = 255
    path = write_map(tmp_path, kind)
    fields = delineate(path, min_field_ha=0.04, simplify_m=0.0)
    assert fields.field_id.is_unique
    assert fields.geometry.is_valid.all()
    number = burnt(fields, kind.shape)
    for row in fields.itertuples():
        mine = number == int(row.field_id)
        assert mine.sum() >= 4
        assert label(mine)[1] == 1
        assert row.geometry.area == pytest.approx(100 * mine.sum())
        assert row.area_ha == pytest.approx(mine.sum() / 100)
    assert not number[kind == 255].any()
    # The same in any strips.
    with pytest.MonkeyPatch.context() as patch:
        for module in (basins, merging):
            patch.setattr(module, "_CHUNK", 20)
        again = delineate(path, min_field_ha=0.04, simplify_m=0.0)
    assert again.equals(fields)


def found_and_mixed(number: NDArray[np.int32], true: NDArray[np.int32]) -> tuple[float, float]:
    """Share of fields matched at an IoU of one half, and of those found that hold two or more."""
    pairs, both = np.unique(np.stack([true.ravel(), number.ravel()]), axis=1, return_counts=True)
    size_true, size = np.bincount(true.ravel()), np.bincount(number.ravel())
    iou = both / (size_true[pairs[0]] + size[pairs[1]] - both)
    real = (pairs[0] > 0) & (pairs[1] > 0) & (size_true[pairs[0]] >= 20)
    found = np.unique(pairs[0][real & (iou >= 0.5)])
    held = pairs[1][real & (both >= size_true[pairs[0]] / 2)]
    mixed = (np.bincount(held) > 1).sum() / (np.unique(number).size - 1)
    return len(found) / (size_true[1:] >= 20).sum(), float(mixed)


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> tuple[Map, NDArray[np.int32]]:
    """Kinds, and the number of the true field of each pixel."""
    out = tmp_path_factory.mktemp("land")
    simulate(SatelliteRecipe(seed=7, width=300, height=260, cloud_share=0.0), out, workers=1)
    with rasterio.open(out / "boundaries.tif") as dataset:
        kind, at = dataset.read(1), dataset.transform
    shapes = ((g, k + 1) for k, g in enumerate(gpd.read_file(out / "fields.gpkg").geometry))
    return kind, rasterize(shapes, out_shape=kind.shape, transform=at, dtype="int32")


def test_a_landscape(tmp_path: Path, landscape: tuple[Map, NDArray[np.int32]]) -> None:
    kind, true = landscape
    found, mixed = found_and_mixed(burnt(delineate(write_map(tmp_path, kind)), kind.shape), true)
    assert found > 0.9
    assert mixed < 0.01
    # Polygons of the class alone.
    plain, _ = found_and_mixed(label(kind == 1)[0].astype(np.int32), true)
    assert plain < 0.85


def test_a_landscape_with_broken_boundaries(
    tmp_path: Path, landscape: tuple[Map, NDArray[np.int32]]
) -> None:
    kind, true = landscape
    rng = np.random.default_rng(5)
    holes = np.zeros(kind.shape, bool)
    y, x = np.nonzero(kind == 2)
    some = rng.integers(0, len(y), len(y) // 50)
    holes[y[some], x[some]] = True
    kind = np.where(binary_dilation(holes, np.ones((3, 3))) & (kind == 2), 1, kind)
    kind = kind.astype(np.uint8)
    plain, _ = found_and_mixed(label(kind == 1)[0].astype(np.int32), true)
    found, mixed = found_and_mixed(burnt(delineate(write_map(tmp_path, kind)), kind.shape), true)
    assert plain < 0.35
    assert found > 0.84
    assert mixed < 0.06


def test_a_landscape_with_noise(tmp_path: Path, landscape: tuple[Map, NDArray[np.int32]]) -> None:
    kind, true = landscape
    rng = np.random.default_rng(6)
    soft = np.stack([gaussian_filter((kind == k).astype(float), 0.6) + 0.05 for k in range(3)])
    noise = [gaussian_filter(rng.normal(size=kind.shape), 1.0) * 1.75 for _ in range(3)]
    likely = np.exp(np.log(soft) + noise)
    odds = likely[2] / (likely[1] + likely[2])
    path = write_map(tmp_path, likely.argmax(axis=0).astype(np.uint8), odds=odds)
    found, mixed = found_and_mixed(burnt(delineate(path), kind.shape), true)
    assert found > 0.85
    assert mixed < 0.04


def test_fiboa_names(tmp_path: Path) -> None:
    fields = delineate(write_map(tmp_path, two_fields()))
    table = to_fiboa(fields, when=date(2024, 6, 1))
    table.to_parquet(tmp_path / "fields.parquet")
    back = gpd.read_parquet(tmp_path / "fields.parquet")
    assert back.id.tolist() == ["1", "2"]
    assert set(back["determination:method"]) == {"auto-imagery"}
    assert str(back["determination:datetime"][0]) == "2024-06-01 00:00:00+00:00"
    assert "determination:datetime" not in to_fiboa(fields)
    with pytest.raises(OptionError, match="auto-imagery"):
        to_fiboa(fields, method="guessed")
