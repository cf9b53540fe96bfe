"""Two runs beside each other, against what numpy makes of the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

import agriseg
from agriseg.errors import BandError, InputError, OptionError, OutputError
from agriseg.farm import change
from agriseg.legend import Legend
from tests.farm.material import make_run, write_fields
from tests.support import NORTH_UP, UTM

HEIGHT, WIDTH = 75, 83
GENERATOR = np.random.default_rng(8)
BEFORE = GENERATOR.integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
AFTER = np.where(
    GENERATOR.random(BEFORE.shape) < 0.6, BEFORE, GENERATOR.integers(0, 3, BEFORE.shape)
)
AFTER = AFTER.astype(np.uint8)
BEFORE[3:9, 2:20] = 255
AFTER[5:12, 15:30] = 255
NIR = GENERATOR.random((2, HEIGHT, WIDTH)).astype(np.float32) + 0.2
LEFT, RIGHT = (0, 0, 40, 75), (44, 10, 83, 60)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[agriseg.Run, agriseg.Run]:
    folder = tmp_path_factory.mktemp("runs")
    a = make_run(folder, "may", BEFORE, nir=NIR[0], date="2026-05-04")
    b = make_run(folder, "june", AFTER, nir=NIR[1], date="2026-06-20")
    write_fields(a, [LEFT, RIGHT], field_id=["7", "9"], name=["left", None])
    return a, b


def ndvi(classes: NDArray[np.uint8], nir: NDArray[np.float32]) -> NDArray[np.float32]:
    red = classes.astype(np.float32)
    found: NDArray[np.float32] = (nir - red) / (nir + red)
    return found


def test_the_table_is_what_the_pixels_say(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    found = agriseg.compare(*runs, tmp_path / "out")
    both = (BEFORE != 255) & (AFTER != 255)
    assert found.table.field_id.tolist() == ["7", "9"]
    assert found.table.name.tolist() == ["left", ""]
    for k, (left, top, right, bottom) in enumerate((LEFT, RIGHT)):
        row, part = found.table.iloc[k], np.s_[top:bottom, left:right]
        seen = both[part]
        assert row.area_ha == pytest.approx(seen.size * 0.0004 / 1e4)
        assert row.compared_percent == pytest.approx(100 * seen.mean())
        assert (row.date_a, row.date_b) == ("2026-05-04", "2026-06-20")
        for value, name in enumerate(("soil", "crop", "weed")):
            shares = [100 * (one[part][seen] == value).mean() for one in (BEFORE, AFTER)]
            assert row[f"cover_{name}_percent_a"] == pytest.approx(shares[0])
            assert row[f"cover_{name}_percent_b"] == pytest.approx(shares[1])
            assert row[f"cover_{name}_percent_change"] == pytest.approx(shares[1] - shares[0])
        means = [
            float(ndvi(one, nir)[part][seen].mean())
            for one, nir in ((BEFORE, NIR[0]), (AFTER, NIR[1]))
        ]
        assert row.ndvi_mean_a == pytest.approx(means[0], abs=1e-5)
        assert row.ndvi_mean_b == pytest.approx(means[1], abs=1e-5)
        assert row.ndvi_mean_change == pytest.approx(means[1] - means[0], abs=1e-5)


def test_the_maps_are_what_the_pixels_say(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    found = agriseg.compare(str(runs[0].path), runs[1].path, tmp_path)
    both = (BEFORE != 255) & (AFTER != 255)
    with rasterio.open(tmp_path / "transitions.tif") as dataset:
        assert (dataset.crs, dataset.transform, dataset.nodata) == (UTM, NORTH_UP, 255)
        codes = dataset.read(1)
        colors = dataset.colormap(1)
    np.testing.assert_array_equal(codes, np.where(both, BEFORE * 3 + AFTER, 255))
    assert len({colors[code] for code in range(9)}) == 9
    with rasterio.open(tmp_path / "change.tif") as dataset:
        assert dataset.descriptions == ("NDVI",)
        assert np.isnan(dataset.nodata)
        values = dataset.read(1)
    np.testing.assert_array_equal(np.isnan(values), ~both)
    wanted = ndvi(AFTER, NIR[1]) - ndvi(BEFORE, NIR[0])
    np.testing.assert_allclose(values[both], wanted[both], atol=1e-5)
    ha = 0.0004 / 1e4
    assert found.transitions_ha["soil > crop"] == pytest.approx((codes == 1).sum() * ha)
    assert found.transitions_ha["weed"] == pytest.approx((codes == 8).sum() * ha)
    text = (tmp_path / "transitions.tif.aux.xml").read_text()
    assert "<Category>soil</Category>" in text
    assert "<Category>weed &gt; crop</Category>" in text


def test_files_that_other_programs_read(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    found = agriseg.compare(*runs, tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*found.files, "transitions.tif.aux.xml"])
    frame = gpd.read_file(tmp_path / "change.gpkg", layer="change")
    assert frame.field_id.tolist() == ["7", "9"]
    assert frame.ndvi_mean_change.tolist() == pytest.approx(found.table.ndvi_mean_change.tolist())
    table = pd.read_csv(tmp_path / "change.csv", dtype={"field_id": str})
    assert list(table) == list(found.table.drop(columns="geometry"))
    record = json.loads((tmp_path / "compare.json").read_text())
    assert record["a"]["about"] == {"date": "2026-05-04"}
    assert record["grid"]["width"] == WIDTH
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    agriseg.compare(*runs, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_many_tiles_are_as_one(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = agriseg.compare(*runs, tmp_path / "whole").table.drop(columns="geometry")
    monkeypatch.setattr(change, "_BLOCK", 19)
    shares: list[float] = []
    parts = agriseg.compare(*runs, tmp_path / "parts", on_share=shares.append)
    pd.testing.assert_frame_equal(parts.table.drop(columns="geometry"), whole)
    assert len(shares) == 20
    assert shares[-1] == 1
    for name in ("transitions.tif", "change.tif"):
        with (
            rasterio.open(tmp_path / "whole" / name) as one,
            rasterio.open(tmp_path / "parts" / name) as other,
        ):
            np.testing.assert_array_equal(one.read(), other.read())


def test_overlapping_outlines_and_pixels_of_none(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    """A pixel may be in two fields; outlines of another CRS, and one far away."""
    frame = write_fields(runs[0], [LEFT, RIGHT], field_id=["7", "9"], name=["left", None])
    frame = pd.concat([frame, frame.iloc[:1], frame.translate(1e5, 0).to_frame("geometry")])
    frame["field_id"] = ["7", "9", "again", "far", "farther"]
    frame = gpd.GeoDataFrame(frame, geometry="geometry", crs=frame.crs).to_crs("EPSG:4326")
    found = agriseg.compare(*runs, tmp_path, fields=frame, indices=())
    assert found.table.field_id.tolist() == ["7", "9", "again"]
    columns = [name for name in found.table if name.startswith("cover_")]
    assert found.table[columns].iloc[0].tolist() == found.table[columns].iloc[2].tolist()
    with pytest.raises(InputError, match="none of the 2 fields"):
        agriseg.compare(*runs, tmp_path, fields=frame.iloc[3:])


def test_without_outlines_all_common_ground_is_one_field(tmp_path: Path) -> None:
    a = make_run(tmp_path, "a", BEFORE)
    east = NORTH_UP @ Affine.translation(11, -6)
    b = make_run(tmp_path, "b", AFTER, transform=east)
    found = agriseg.compare(a, b, tmp_path / "out", indices=())
    assert found.table.field_id.tolist() == ["all"]
    assert (found.grid.width, found.grid.height) == (WIDTH - 11, HEIGHT - 6)
    one, other = BEFORE[: HEIGHT - 6, 11:], AFTER[6:, : WIDTH - 11]
    both = (one != 255) & (other != 255)
    with rasterio.open(tmp_path / "out" / "transitions.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), np.where(both, one * 3 + other, 255))
    assert found.files == ("change.gpkg", "change.csv", "transitions.tif", "compare.json")


def test_a_coarser_run_gives_the_grid_and_covers_stay(tmp_path: Path) -> None:
    """The finer one is counted in blocks, whichever comes first."""
    fine = make_run(tmp_path, "fine", BEFORE)
    coarse_classes = AFTER[:25, :27]
    coarse = make_run(tmp_path, "coarse", coarse_classes, transform=NORTH_UP @ Affine.scale(3))
    found = agriseg.compare(fine, coarse, tmp_path / "out", indices=())
    assert found.grid.mean_gsd_m == pytest.approx(0.06)
    blocks = BEFORE[:75, :81].reshape(25, 3, 27, 3)
    counts = np.stack([(blocks == k).sum(axis=(1, 3)) for k in range(3)])
    total = counts.sum(axis=0)
    both = (total >= 4.5) & (coarse_classes != 255)
    shares = np.where(both, counts / np.maximum(total, 1), 0)
    row = found.table.iloc[0]
    for k, name in enumerate(("soil", "crop", "weed")):
        assert row[f"cover_{name}_percent_a"] == pytest.approx(
            100 * shares[k][both].mean(), abs=1e-3
        )
        assert row[f"cover_{name}_percent_b"] == pytest.approx(
            100 * (coarse_classes[both] == k).mean()
        )
    with rasterio.open(tmp_path / "out" / "transitions.tif") as dataset:
        codes = dataset.read(1)
    np.testing.assert_array_equal(
        codes, np.where(both, counts.argmax(axis=0) * 3 + coarse_classes, 255)
    )
    back = agriseg.compare(coarse, fine, tmp_path / "back", indices=())
    assert back.grid == found.grid
    assert back.table.cover_crop_percent_a[0] == row.cover_crop_percent_b


def test_another_crs_of_the_same_ground(tmp_path: Path) -> None:
    """Large even patches, so that a turned grid moves nothing but their edges."""
    import pyproj

    patches = np.kron(np.uint8([[0, 1, 2], [2, 0, 1]]), np.ones((40, 30), np.uint8))
    later = np.kron(np.uint8([[1, 1, 2], [2, 0, 0]]), np.ones((40, 30), np.uint8))
    a = make_run(tmp_path, "a", patches)
    other = CRS.from_epsg(32632)
    turn = pyproj.Transformer.from_crs(UTM.to_wkt(), other.to_wkt(), always_xy=True)
    # The affine map nearest to the turn from one zone into the other.
    (x0, y0), (x1, y1), (x2, y2) = (
        turn.transform(*(NORTH_UP @ p)) for p in ((0, 0), (90, 0), (0, 80))
    )
    there = Affine((x1 - x0) / 90, (x2 - x0) / 80, x0, (y1 - y0) / 90, (y2 - y0) / 80, y0)
    b = make_run(tmp_path, "b", later, crs=other, transform=there)
    found = agriseg.compare(a, b, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "transitions.tif") as dataset:
        codes = dataset.read(1)
    wanted = patches * 3 + later
    assert codes.shape == wanted.shape
    inner = np.zeros(wanted.shape, bool)
    for row in (0, 40):
        for col in (0, 30, 60):
            inner[row + 2 : row + 38, col + 2 : col + 28] = True
    np.testing.assert_array_equal(codes[inner], wanted[inner])
    assert found.table.ndvi_mean_a[0] == pytest.approx(
        np.mean(ndvi(patches, np.float32(0.5))), abs=0.01
    )


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    a = make_run(tmp_path, "a", BEFORE)
    turned = Legend.of(("weed", "#d81b9a"), ("soil", "#c8a882"), ("crop", "#1b6e2b"))
    again = np.uint8([1, 2, 0])[np.where(AFTER == 255, 0, AFTER)]
    again[AFTER == 255] = 255
    b = make_run(tmp_path, "b", again, legend=turned)
    agriseg.compare(a, b, tmp_path / "out", indices=())
    both = (BEFORE != 255) & (AFTER != 255)
    with rasterio.open(tmp_path / "out" / "transitions.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), np.where(both, BEFORE * 3 + AFTER, 255))


def test_other_legends_have_no_transitions(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    legend = Legend.of(("soil", "#c8a882"), ("vegetation", "#1b6e2b"), ("x y", "#000000"))
    other = make_run(tmp_path, "other", AFTER, legend=legend, nir=NIR[1])
    agriseg.compare(*runs, tmp_path / "out")
    found = agriseg.compare(runs[0], other, tmp_path / "out")
    assert "transitions.tif" not in found.files
    assert not list((tmp_path / "out").glob("transitions*"))
    assert found.transitions_ha == {}
    row = found.table.iloc[0]
    assert "cover_crop_percent_a" in row.index
    assert "cover_crop_percent_change" not in row.index
    assert "cover_x_y_percent_b" in row.index
    assert "cover_soil_percent_change" in row.index
    (note,) = [note for note in found.notes if "legends" in note]
    assert "only soil can be compared" in note


def test_levels_that_differ_are_refused(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    numbers = make_run(tmp_path, "numbers", AFTER, nir=NIR[1] * 1000, scale=None)
    with pytest.raises(InputError, match=r"are reflectance.* DN .*--no-indices.*--ignore-levels"):
        agriseg.compare(runs[0], numbers, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    covers = agriseg.compare(runs[0], numbers, tmp_path / "out", indices=())
    assert covers.indices == ()
    forced = agriseg.compare(runs[0], numbers, tmp_path / "out", ignore_levels=True)
    assert forced.indices == ("NDVI",)
    assert any("no change of the field alone" in note for note in forced.notes)
    same = make_run(tmp_path, "same", BEFORE, nir=NIR[0] * 1000, scale=None)
    both = agriseg.compare(same, numbers, tmp_path / "out")
    assert any("both scenes hold DN values" in note for note in both.notes)


def test_no_overlap_is_refused_with_both_extents(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    away = make_run(tmp_path, "away", AFTER, transform=Affine.translation(500, 0) @ NORTH_UP)
    with pytest.raises(
        InputError, match=r"may and \S+away do not overlap: .*may spans .*away spans"
    ):
        agriseg.compare(runs[0], away, tmp_path / "out")
    kept = tmp_path / "out" / "change.gpkg"
    with pytest.raises(OutputError, match=r"change\.gpkg holds the outlines"):
        agriseg.compare(*runs, tmp_path / "out", fields=kept)
    with pytest.raises(InputError, match="given twice"):
        agriseg.compare(runs[0], runs[0].path, tmp_path / "out")
    with pytest.raises(BandError, match="NDRE"):
        agriseg.compare(*runs, tmp_path / "out", indices=["NDRE"])
    assert not (tmp_path / "out").exists()


def test_scenes_that_are_gone_leave_the_classes(tmp_path: Path) -> None:
    a = make_run(tmp_path, "a", BEFORE, date="2026-06-04")
    b = make_run(tmp_path, "b", AFTER, date="2026-05-20")
    (tmp_path / "scenes" / "b.tif").unlink()
    found = agriseg.compare(a, b, tmp_path / "out")
    assert (found.indices, found.shift) == ((), None)
    assert any("neither indices nor the shift are told" in note for note in found.notes)
    assert any("backwards in time" in note for note in found.notes)
    for options in ({"indices": ["NDVI"]}, {"align": True}):
        with pytest.raises(InputError, match=r"b\.tif"):
            agriseg.compare(a, b, tmp_path / "out", **options)


@pytest.fixture
def textured(tmp_path: Path) -> tuple[agriseg.Run, agriseg.Run]:
    """One ground of even patches under texture, twice; the second file lies (7, -4) pixels off."""
    generator = np.random.default_rng(2)
    classes = np.kron(generator.integers(0, 3, (16, 18)), np.ones((10, 10), int)).astype(np.uint8)
    nir = generator.random(classes.shape).astype(np.float32) + 0.2
    a = make_run(tmp_path, "a", classes, nir=nir)
    b = make_run(tmp_path, "b", classes, nir=nir, transform=NORTH_UP @ Affine.translation(7, -4))
    return a, b


def test_a_shift_is_told_and_taken_back(
    textured: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    write_fields(textured[0], [(20, 20, 150, 140)], row_spacing_m=[0.25])
    found = agriseg.compare(*textured, tmp_path / "apart", indices=())
    assert found.shift is not None
    assert found.shift.east_m == pytest.approx(0.14, abs=0.002)
    assert found.shift.north_m == pytest.approx(0.08, abs=0.002)
    (note,) = found.notes
    assert "0.161 m apart, 8.1 pixels" in note
    assert "half of the rows' 0.25 m" in note
    assert not {"soil", "crop", "weed"} >= set(found.transitions_ha)
    aligned = agriseg.compare(*textured, tmp_path / "aligned", indices=(), align=True)
    assert set(aligned.transitions_ha) == {"soil", "crop", "weed"}
    assert aligned.notes == ()
    assert aligned.table.cover_crop_percent_change[0] == 0
    record = json.loads((tmp_path / "aligned" / "compare.json").read_text())
    assert record["aligned"] is True
    assert record["shift"]["east_m"] == pytest.approx(0.14, abs=0.002)


def test_what_cannot_be_told_cannot_be_taken_back(
    runs: tuple[agriseg.Run, agriseg.Run], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="--align: the shift between the two cannot be told"):
        agriseg.compare(*runs, tmp_path / "out", align=True)
