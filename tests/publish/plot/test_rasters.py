"""Images and class maps as maps: the right pixel at the right place, in the right colour."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import rasterio
from affine import Affine
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rasterio.crs import CRS

import agriseg
from agriseg.errors import BandError, InputError, OptionError
from agriseg.runs import Run
from tests.publish.runs import HEIGHT, WIDTH, classes, make_run
from tests.support import LEGEND, NORTH_UP, ROOT, UTM, write_raster

matplotlib.use("Agg")
plot = agriseg.plot

TURNED = Affine.translation(360123.4567, 5350000.25) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("plots") / "out")


def axes() -> Axes:
    return Figure(figsize=(4, 4), dpi=100).add_subplot()


def shown(ax: Axes, x: float, y: float) -> tuple[int, ...] | None:
    """The topmost picture's RGBA at a place in map coordinates; None outside of it."""
    image = ax.images[-1]
    left, right, bottom, top = image.get_extent()
    data = np.asarray(image.get_array())
    col = int(np.floor((x - left) / (right - left) * data.shape[1]))
    row = int(np.floor((y - top) / (bottom - top) * data.shape[0]))
    if not (0 <= col < data.shape[1] and 0 <= row < data.shape[0]):
        return None
    return tuple(int(v) for v in data[row, col])


def texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [one.get_text() for one in legend.get_texts()]


def check_places(ax: Axes, transform: Affine) -> None:
    """Every class where the raster has it, whatever way the raster is turned."""
    truth = classes()
    for row, col in ((3, 3), (10, 20), (26, 40), (19, 39), (2, 50), (36, 0)):
        x, y = transform @ (col + 0.5, row + 0.5)
        got = shown(ax, x, y)
        assert got is not None
        value = truth[row, col]
        if np.isnan(value):
            assert got[3] == 0
        else:
            assert got == (*LEGEND.classes[int(value)].rgb, 255)


def test_classes_lie_where_they_are(run: Run) -> None:
    ax = plot.classes(run, ax=axes())
    check_places(ax, NORTH_UP)
    assert ax.get_xlim()[0] < ax.get_xlim()[1]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (TURNED, UTM),
        (Affine.translation(360000, 5350000) @ Affine.scale(0.3, 0.3), UTM),  # south up
        (Affine(3e-6, 0, 16.7, 0, -2e-6, 48.2), CRS.from_epsg(4326)),
    ],
    ids=["turned", "south-up", "degrees"],
)
def test_north_is_up(tmp_path: Path, transform: Affine, crs: CRS) -> None:
    run = make_run(tmp_path / "out", transform=transform, crs=crs)
    ax = plot.classes(run, ax=axes())
    bottom, top = ax.get_ylim()
    assert bottom < top
    check_places(ax, transform)
    aspect = ax.get_aspect()
    assert isinstance(aspect, float)
    # A degree of latitude is longer than one of longitude, by about 1 / cos(48.2 degrees).
    expected = 1 / np.cos(np.radians(48.2)) if crs.is_geographic else 1.0
    assert aspect == pytest.approx(expected, rel=0.01)


def test_without_a_place(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        np.arange(60, dtype=np.uint8).reshape(1, 5, 12) % 3,
        crs=None,
        transform=Affine.identity(),
    )
    ax = plot.classes(path, ax=axes())
    bottom, top = ax.get_ylim()
    assert bottom > top  # rows count downwards
    assert not ax.texts  # nobody knows where north is, or how long a metre
    assert texts(ax) == ["class 0  (33.3 %)", "class 1  (33.3 %)", "class 2  (33.3 %)"]


def test_the_legend_has_names_and_areas(run: Run) -> None:
    ax = plot.classes(run, ax=axes())
    known = {row["name"]: row["area_ha"] * 1e4 for row in run.record["classes"]}
    lines = texts(ax)
    assert [line.split()[0] for line in lines] == list(LEGEND.names)
    for line in lines:
        name, area, unit = line.split()[:3]
        assert unit == "m²"
        assert float(area) == pytest.approx(known[name], rel=0.01)
    assert len(texts(plot.classes(run, only="crop", ax=axes()))) == 1


def test_a_raster_of_no_run_is_counted(tmp_path: Path) -> None:
    data = np.zeros((1, 7, 9), np.uint8)
    data[0, :2] = 4
    data[0, 2] = 255
    path = write_raster(tmp_path / "a.tif", data, nodata=255)
    lines = texts(plot.classes(path, ax=axes()))
    total = 6 * 9
    assert lines[0].startswith("class 0  0.0144 m²")  # 36 pixels of 2 cm
    assert lines[0].endswith(f"({100 * 36 / total:.1f} %)")
    assert lines[-1].endswith(f"({100 * 18 / total:.1f} %)")


def test_another_nodata_is_not_drawn(tmp_path: Path) -> None:
    data = np.zeros((1, 4, 6), np.uint8)
    data[0, 1:3] = 1
    path = write_raster(tmp_path / "a.tif", data, nodata=0)
    ax = plot.classes(path, ax=axes())
    assert shown(ax, *(NORTH_UP @ (0.5, 0.5)))[3] == 0  # type: ignore[index]
    assert shown(ax, *(NORTH_UP @ (0.5, 1.5)))[3] == 255  # type: ignore[index]


def test_overlay_has_image_and_one_class(run: Run) -> None:
    ax = plot.overlay(run, only="weed", alpha=0.5, ax=axes())
    assert len(ax.images) == 2
    assert shown(ax, *(NORTH_UP @ (40.5, 26.5))) == (*LEGEND.classes[2].rgb, 128)
    assert shown(ax, *(NORTH_UP @ (20.5, 10.5)))[3] == 0  # type: ignore[index]


def test_scenes_in_other_bands(run: Run, tmp_path: Path) -> None:
    one = np.asarray(plot.scene(run, bands="true", ax=axes()).images[0].get_array())
    other = np.asarray(plot.scene(run, bands="nir,red,green", ax=axes()).images[0].get_array())
    assert one.shape == other.shape
    assert (one != other).any()
    grey = np.asarray(plot.scene(run, bands="nir", ax=axes()).images[0].get_array())
    assert (grey[..., 0] == grey[..., 1]).all()
    with pytest.raises(BandError, match="rededge"):
        plot.scene(run, bands="rededge,red,green", ax=axes())
    with pytest.raises(OptionError, match="three"):
        plot.scene(run, bands="red,green", ax=axes())


def test_index_values(run: Run, tmp_path: Path) -> None:
    ax = axes()
    plot.index(run, "NDVI", ax=ax)
    drawn = np.ma.filled(np.ma.asarray(ax.images[0].get_array()), np.nan)
    # Computed by hand, from the pixels of the file.
    with rasterio.open(next(iter(run.record["scene"]["files"]))) as dataset:
        red, nir = dataset.read(3).astype(float), dataset.read(4).astype(float)
    expected = (nir - red) / (nir + red)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert drawn.shape == (HEIGHT, WIDTH)
    written = agriseg.indices(next(iter(run.record["scene"]["files"])), "NDVI", tmp_path / "i.tif")
    other = axes()
    plot.index(written, ax=other)
    again = np.ma.filled(np.ma.asarray(other.images[0].get_array()), np.nan)
    np.testing.assert_allclose(again, expected, atol=1e-5)
    with pytest.raises(OptionError, match="NDVI"):
        plot.index(written, "NDRE", ax=axes())


def test_a_large_raster_is_small_in_memory(tmp_path: Path) -> None:
    data = np.zeros((1, 3000, 4100), np.uint8)
    data[0, :1500] = 1
    path = write_raster(tmp_path / "a.tif", data, compress="deflate")
    picture = np.asarray(plot.classes(path, ax=axes()).images[0].get_array())
    assert max(picture.shape[:2]) <= 1500
    assert picture.shape[1] / picture.shape[0] == pytest.approx(4100 / 3000, rel=0.01)


def test_faults_say_what_to_do(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"crop.*weed"):
        plot.classes(run, only="wheat", ax=axes())
    with pytest.raises(OptionError, match="image="):
        plot.overlay(run.confidence, ax=axes())
    with pytest.raises(InputError, match="no such file"):
        plot.classes(tmp_path / "none.tif", ax=axes())
    floats = write_raster(tmp_path / "f.tif", np.zeros((1, 3, 4), np.float32))
    with pytest.raises(InputError, match="float32"):
        plot.classes(floats, ax=axes())


def test_pyplot_stays_away(run: Run) -> None:
    """Where axes are given, and where agriseg is only imported."""
    code = f"""
import sys
import agriseg
assert "matplotlib" not in sys.modules
agriseg.plot
assert "matplotlib" not in sys.modules
from matplotlib.figure import Figure
figure = Figure()
one, other = figure.subplots(1, 2)
agriseg.plot.overlay({str(run.path)!r}, ax=one)
agriseg.plot.index({str(run.path)!r}, ax=other)
agriseg.plot.run({str(run.path)!r}, axes=figure.subplots(1, 2))
figure.savefig({str(run.path.parent / "a.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
