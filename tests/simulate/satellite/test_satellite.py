"""Farmland from a satellite: the same however it is cut, and its truth agrees with its pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from scipy import ndimage

import agriseg
from agriseg.errors import OptionError
from agriseg.geobox import Window
from agriseg.simulate.recipe_file import read_recipe, recipe_from, recipe_text
from agriseg.simulate.satellite.clouds import CLOUD, SHADOW, shift_m
from agriseg.simulate.satellite.landscape import landscape_in
from agriseg.simulate.satellite.landuse import GRASS, LEGEND
from agriseg.simulate.satellite.lattice import blocks_in
from agriseg.simulate.satellite.paint import lay_things, paint_cells
from agriseg.simulate.satellite.parcels import cut_blocks, inset
from agriseg.simulate.satellite.recipe import SatelliteRecipe
from agriseg.simulate.satellite.render import render
from agriseg.simulate.satellite.things import Quads
from agriseg.simulate.scene import draw, outputs_of
from agriseg.simulate.spectra import SENSORS

CONFIG = Path(__file__).parents[3] / "configs" / "satellite.yaml"
SMALL = SatelliteRecipe(seed=5, width=331, height=547, cloud_share=0.12, field_ha=1.8)


class Silent:
    def begin(self, plan: object) -> None: ...
    def advance(self, pixels: int) -> None: ...
    def assembling(self) -> None: ...
    def end(self, made: object) -> None: ...


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("satellite")
    draw(SMALL, folder, Silent(), threads=2)
    return folder


@pytest.fixture(scope="module")
def fields(made: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(made / "fields.gpkg")


def band(folder: Path, name: str, number: int = 1) -> np.ndarray:
    with rasterio.open(folder / f"{name}.tif") as raster:
        return raster.read(number)


def ndvi(folder: Path, date: int) -> np.ndarray:
    roles = [b.role for b in SENSORS[SMALL.sensor]]
    first = (date - 1) * len(roles) + 1
    red = band(folder, "scene", first + roles.index("red")).astype(float)
    nir = band(folder, "scene", first + roles.index("nir")).astype(float)
    return (nir - red) / (nir + red)


def burned(fields: gpd.GeoDataFrame) -> np.ndarray:
    shapes = zip(fields.geometry, fields["field"], strict=True)
    box = SMALL.geobox
    return rasterio.features.rasterize(
        shapes, (box.height, box.width), transform=box.transform, dtype="int32"
    )


def test_another_cut_of_the_work_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == sorted(outputs_of(SMALL))
    draw(SMALL, tmp_path, Silent(), block=150, threads=1)
    for name in outputs_of(SMALL):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name


def test_workers_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    draw(SMALL, tmp_path, Silent(), block=128, workers=2)
    for name in outputs_of(SMALL):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name


def test_any_window_shows_the_same_pixels() -> None:
    whole, part = Window(40, 60, 90, 70), Window(71, 83, 13, 9)
    large, small = render(SMALL, whole), render(SMALL, part)
    for name in ("reflectance", "labels", "boundaries", "clouds"):
        inside = getattr(large, name)[..., 23:32, 31:44]
        assert np.array_equal(getattr(small, name), inside), name


def test_both_dates_are_found_without_options(made: Path) -> None:
    scene = agriseg.open_scene(made / "scene.tif")
    assert [b.key for b in scene.bands] == [
        f"{b.role}@{date}" for date in (1, 2) for b in SENSORS[SMALL.sensor]
    ]
    assert scene.radiometry.level == "reflectance"
    assert scene.geobox == SMALL.geobox


def test_polygons_agree_with_labels(made: Path, fields: gpd.GeoDataFrame) -> None:
    ids, labels, edges = burned(fields), band(made, "labels"), band(made, "boundaries")
    classes = np.zeros(len(fields) + 1, dtype=int)
    classes[fields["field"]] = fields["class_id"]
    inside = edges == 1
    assert inside.mean() > 0.4
    assert (ids[inside] > 0).all()
    assert np.array_equal(classes[ids[inside]], labels[inside])
    # Polygons lie beside each other, not on each other.
    assert fields.geometry.is_valid.all()
    overlap = fields.geometry.area.sum() - fields.geometry.union_all().area
    assert overlap < 1e-4 * fields.geometry.area.sum()
    assert np.allclose(fields["area_m2"], fields.geometry.area)
    left, bottom, right, top = fields.total_bounds
    box = SMALL.geobox.transform
    assert left >= box.c - 1e-6
    assert top <= box.f + 1e-6
    assert right <= box.c + SMALL.width * 10 + 1e-6
    assert bottom >= box.f - SMALL.height * 10 - 1e-6


def test_a_boundary_encloses_each_field(made: Path, fields: gpd.GeoDataFrame) -> None:
    """Parts of class 1 that hang together belong to one field each."""
    ids, edges = burned(fields), band(made, "boundaries")
    parts, count = ndimage.label(edges == 1, structure=np.ones((3, 3)))
    assert count > 200
    low = ndimage.minimum(ids, parts, np.arange(1, count + 1))
    high = ndimage.maximum(ids, parts, np.arange(1, count + 1))
    assert np.array_equal(low, high)
    # And nothing but a field: next to the background there is always a boundary.
    near = ndimage.binary_dilation(edges == 0, structure=np.ones((3, 3)))
    assert not (near & (edges == 1)).any()


def test_fields_have_the_size_of_the_recipe(fields: gpd.GeoDataFrame) -> None:
    whole = fields[fields["area_m2"] > 2000]
    assert 0.75 < whole["area_m2"].median() / 1e4 / SMALL.field_ha < 1.3


@pytest.mark.parametrize("form", [1.2, 4.0])
def test_fields_have_the_form_of_the_recipe(form: float) -> None:
    recipe = replace(SMALL, elongation=form, wood_share=0.0, settlement_share=0.0)
    parcels, _ = cut_blocks(recipe, blocks_in(recipe, 0.0, 0.0, 5000.0, 5000.0))
    shapes = inset(parcels.shapes)
    shapes = shapes[shapes.size > 0]
    ratio = []
    for corners, size in zip(shapes.corners, shapes.size, strict=True):
        box = shapely.oriented_envelope(shapely.Polygon(corners[:size]))
        sides = np.hypot(*np.diff(np.array(box.exterior.coords)[:3], axis=0).T)
        ratio.append(sides.max() / sides.min())
    assert 0.7 < np.median(ratio) / form < 1.5
    assert 0.75 < np.median(shapes.area) / 1e4 / recipe.field_ha < 1.3
    # Strips lie beside squares, small fields beside large ones.
    assert np.percentile(shapes.area, 90) > 4 * np.percentile(shapes.area, 10)


def test_parcels_leave_no_gap_and_overlap_nowhere() -> None:
    blocks = blocks_in(SMALL, 0.0, 0.0, 3000.0, 3000.0)
    parcels, _ = cut_blocks(SMALL, blocks)
    u0, v0, u1, v1 = blocks.rectangle.T
    assert np.isclose(parcels.shapes.area.sum(), ((u1 - u0) * (v1 - v0)).sum(), rtol=1e-9)
    assert (inset(parcels.shapes).area <= parcels.shapes.area + 1e-6).all()
    assert len(np.unique(parcels.key)) == len(parcels)


def test_samples_see_what_lies_there() -> None:
    """Each sample is looked up among the outlines, and among quads on top."""
    window = Window(-3, 5, 60, 40)
    land = landscape_in(SMALL, -30.0, 50.0, 570.0, 450.0)
    number = np.arange(len(land.count), dtype=np.int32)
    cells = paint_cells(land.points, land.count, number, window, 10.0)
    seen = cells.copy()
    quads = Quads(land.things.corners, land.things.entry + 10_000)
    lay_things(seen, quads, window, 10.0)
    first = np.array([1.0, 5.0, 3.0, 7.0]) / 16.0
    row, column = np.indices(cells.shape)
    x = (column / 2 + first[row % 4] + window.col_off) * 10.0
    y = ((row + 0.5) / 4 + window.row_off) * 10.0
    ends = np.cumsum(land.count)
    rings = [land.points[e - n : e] for e, n in zip(ends, land.count, strict=True)]
    wrong = 0
    for k in np.unique(cells):
        here = cells == k
        # Neighbours bend by decimetres otherwise between their corners.
        shape = shapely.Polygon(rings[k]).buffer(0.3)
        wrong += (~shapely.contains_xy(shape, x[here], y[here])).sum()
    assert wrong <= 0.0005 * cells.size
    covered = np.zeros(cells.shape, dtype=bool)
    for shape in shapely.polygons(quads.corners):
        covered |= shapely.contains_xy(shape, x, y)
    assert covered.any()
    assert np.array_equal(seen >= 10_000, covered)


@pytest.mark.parametrize("seed", [11, 12])
def test_other_seeds_have_their_clouds_and_seasons(seed: int) -> None:
    recipe = replace(SMALL, seed=seed, width=500, height=400, cloud_share=0.2)
    part = render(recipe, Window(0, 0, 500, 400))
    roles = [b.role for b in SENSORS[recipe.sensor]]
    for date in (0, 1):
        assert abs((part.clouds[date] == CLOUD).mean() - 0.2) < 0.03
        first = date * len(roles)
        red = part.reflectance[first + roles.index("red")]
        nir = part.reflectance[first + roles.index("nir")]
        index = (nir - red) / (nir + red)
        clear = (part.clouds[date] == 0) & (part.boundaries == 1)
        wheat = np.median(index[clear & (part.labels == LEGEND.names.index("winter wheat"))])
        maize = np.median(index[clear & (part.labels == LEGEND.names.index("maize"))])
        assert (wheat > 0.7 and maize < 0.35) if date == 0 else (wheat < 0.45 and maize > 0.7)


@pytest.mark.parametrize("date", [1, 2])
def test_clouds_cover_their_share_and_throw_shadows(made: Path, date: int) -> None:
    mask = band(made, "clouds", date)
    cloud, shadow = mask == CLOUD, mask == SHADOW
    assert abs(cloud.mean() - SMALL.cloud_share) < 0.02
    east, south = shift_m(SMALL, date - 1)
    # The sun stands in the south south-east: shadows lie in the north north-west.
    assert east < 0
    assert south < 0
    length = math.hypot(east, south) * math.tan(math.radians(SMALL.sun_elevation_deg))
    assert 600 < length < 1800
    step = round(south / 10), round(east / 10)
    moved = ndimage.shift(cloud.astype(float), step, order=0) > 0.5
    assert (shadow & ndimage.binary_dilation(moved, iterations=2)).sum() > 0.9 * shadow[
        60:-200
    ].sum()
    roles = [b.role for b in SENSORS[SMALL.sensor]]
    nir = band(made, "scene", (date - 1) * len(roles) + roles.index("nir") + 1)
    assert np.median(nir[cloud]) > np.median(nir[mask == 0])
    if shadow.sum() > 100:
        assert np.median(nir[shadow]) < 0.8 * np.median(nir[mask == 0])


def test_the_season_goes_on(made: Path) -> None:
    """Mid May and August: wheat goes, maize comes, beet stays, woods are green."""
    labels, edges = band(made, "labels"), band(made, "boundaries")
    green = {}
    for date in (1, 2):
        clear = (band(made, "clouds", date) == 0) & (edges == 1)
        index = ndvi(made, date)
        for name in ("winter wheat", "maize", "sugar beet", "winter barley"):
            green[name, date] = np.median(index[clear & (labels == LEGEND.names.index(name))])
    assert green["winter wheat", 1] > 0.75
    assert green["winter wheat", 2] < 0.4
    assert green["winter barley", 1] > 0.7
    assert green["maize", 1] < 0.35
    assert green["maize", 2] > 0.75
    assert green["sugar beet", 2] > 0.75


def test_columns_say_how_fields_stand(fields: gpd.GeoDataFrame) -> None:
    wheat = fields[fields["class_name"] == "winter wheat"]
    assert (wheat["sown_day"] < 0).all()
    assert (wheat["lai_1"] > 1.5).all()
    assert set(wheat["stage_2"]) <= {"stubble", "tilled", "catch crop", "ripe"}
    maize = fields[fields["class_name"] == "maize"]
    assert (maize["ndvi_2"] > maize["ndvi_1"]).all()
    assert fields["field"].tolist() == list(range(1, len(fields) + 1))


def test_shares_are_those_of_the_recipe() -> None:
    recipe = replace(
        SMALL, width=600, height=600, cloud_share=0.0, wood_share=0.3, settlement_share=0.0
    )
    labels = render(recipe, Window(0, 0, 600, 600)).labels
    assert abs((labels == 2).mean() - 0.3) < 0.09
    # Roads and tracks only.
    assert (labels == 0).mean() < 0.05
    bare = replace(recipe, wood_share=0.0, grass_share=0.0, noise=0.0, blur_px=0.0, haze=0.0)
    part = render(bare, Window(0, 0, 200, 150))
    assert np.isfinite(part.reflectance).all()
    assert part.reflectance.min() > 0
    assert (part.labels > GRASS).mean() > 0.8
    assert not part.clouds.any()


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_camera_draws(sensor: str, tmp_path: Path) -> None:
    recipe = {"kind": "satellite", "sensor": sensor, "width": 40, "height": 33}
    scene = agriseg.simulate(recipe, tmp_path)
    assert len(scene.bands) == 2 * len(SENSORS[sensor])
    assert all(b.date in ("1", "2") for b in scene.bands)


@pytest.mark.parametrize(
    ("width", "height", "gsd"), [(16, 16, 10.0), (600, 16, 10.0), (120, 90, 2.5)]
)
def test_odd_rasters_draw(width: int, height: int, gsd: float, tmp_path: Path) -> None:
    # Of this seed a field lies in the upper left corner.
    recipe = {"kind": "satellite", "width": width, "height": height, "gsd_m": gsd, "seed": 5}
    scene = agriseg.simulate(recipe, tmp_path)
    assert (scene.geobox.width, scene.geobox.height) == (width, height)
    assert len(gpd.read_file(tmp_path / "fields.gpkg")) >= 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"field_size": 3}, ["field_size", "did you mean field_ha"]),
        ({"gsd_m": 0.02}, ["gsd_m is 0.02", "2.5 to 30"]),
        ({"first_date": 200, "second_date": 100}, ["first_date is 200", "earlier one first"]),
        ({"first_date": 0}, ["first_date is 0", "day of the year"]),
        ({"first_date": "May"}, ["first_date is 'May'", "a whole number"]),
        ({"wood_share": 0.6, "grass_share": 0.5}, ["come to 1.14", "smaller shares"]),
        ({"cloud_share": 1.5}, ["cloud_share is 1.5"]),
        ({"field_ha": 0.3, "gsd_m": 30}, ["nine pixels", "larger fields"]),
        ({"sensor": "landsat"}, ["'landsat' is unknown", "sentinel-2"]),
        ({"kind": "satelite"}, ["kind is 'satelite'", "satellite"]),
    ],
)
def test_a_wrong_value_is_one_line(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        recipe_from({"kind": "satellite", **values})
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_config_is_the_default(tmp_path: Path) -> None:
    recipe = read_recipe(CONFIG)
    assert recipe == SatelliteRecipe()
    path = tmp_path / "again.yaml"
    path.write_text(recipe_text(recipe))
    assert read_recipe(path) == recipe
