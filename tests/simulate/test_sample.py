"""The files of the sample: their metadata and bytes, and that the shipped ones are up to date."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from agriseg.errors import OutputError
from agriseg.geobox import Window
from agriseg.simulate import LEGEND, FieldRecipe, render
from agriseg.simulate.__main__ import main
from agriseg.simulate.rasters import to_counts
from agriseg.simulate.sample import write_sample
from agriseg.simulate.spectra import SENSORS
from agriseg.simulate.strips import REFLECTANCE_NODATA, blocks

SMALL = FieldRecipe(width=139, height=611, border_m=0.2, weeds_per_m2=6.0)
SHIPPED = Path(__file__).parents[2] / "sample_data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "new" / "folder"
    assert write_sample(folder, SMALL) == folder / "field.tif"
    return folder


def test_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, SMALL)
    for name in ("field.tif", "field_labels.tif"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["field.tif", "field_labels.tif"]


def test_image_says_what_it_holds(folder: Path) -> None:
    with rasterio.open(folder / "field.tif") as raster:
        assert raster.descriptions == ("Blue", "Green", "Red", "Red edge", "NIR")
        assert raster.dtypes == ("uint16",) * 5
        assert raster.scales == (1e-4,) * 5
        assert raster.offsets == (0.0,) * 5
        assert raster.nodata == REFLECTANCE_NODATA
        assert ColorInterp.alpha not in raster.colorinterp
        wavelengths = [raster.tags(k, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"] for k in range(1, 6)]
        assert wavelengths == ["0.475", "0.560", "0.668", "0.717", "0.842"]
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["PREDICTOR"]) == ("COG", "2")
        assert raster.profile["compress"] == "deflate"
        assert raster.overviews(1)


def test_labels_lie_on_the_grid_of_the_image(folder: Path) -> None:
    with (
        rasterio.open(folder / "field.tif") as image,
        rasterio.open(folder / "field_labels.tif") as labels,
    ):
        assert (labels.crs, labels.transform, labels.shape) == (
            image.crs,
            image.transform,
            image.shape,
        )
        assert labels.transform == SMALL.geobox.transform
        assert (labels.dtypes, labels.nodata) == (("uint8",), 255)
        assert labels.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        for label in LEGEND:
            assert labels.colormap(1)[label.value][:3] == label.rgb
        bare = image.read() == REFLECTANCE_NODATA
        assert 0.05 < bare.mean() < 0.5
        for band in bare:
            assert np.array_equal(band, labels.read(1) == 255)


def test_overviews_are_means_of_valid_pixels(folder: Path) -> None:
    with rasterio.open(folder / "field.tif") as raster:
        fine = raster.read(1, masked=True)
    with rasterio.open(folder / "field.tif", overview_level=0) as raster:
        coarse = raster.read(1, masked=True)
    height, width = fine.shape[0] // 2, fine.shape[1] // 2
    blocks_of_four = fine[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    means = blocks_of_four.mean(axis=(1, 3))
    coarse = coarse[:height, :width]
    assert np.array_equal(np.ma.getmaskarray(means), np.ma.getmaskarray(coarse))
    assert np.abs(means - coarse).max() <= 16  # half a step of the blue band


def test_blocks_cover_a_field_once() -> None:
    seen = np.zeros((SMALL.height, SMALL.width), dtype=int)
    for window in blocks(SMALL, 50, 70):
        seen[window.slices] += 1
    assert (seen == 1).all()


def test_shipped_sample_is_what_the_script_makes() -> None:
    """Pixels and grid, not bytes: another GDAL may pack the same pixels differently."""
    recipe = FieldRecipe()
    if not (SHIPPED / "field.tif").is_file():
        pytest.skip(f"no sample in {SHIPPED}; make it with python -m agriseg.simulate sample_data")
    with (
        rasterio.open(SHIPPED / "field.tif") as image,
        rasterio.open(SHIPPED / "field_labels.tif") as labels,
    ):
        for raster in (image, labels):
            assert raster.transform == recipe.geobox.transform
            assert raster.crs == recipe.geobox.crs
            assert raster.shape == recipe.geobox.shape
        pixels, classes = image.read(), labels.read(1)
    # Corners, border, middle and shade of the trees: a third of the field, for a third of the time.
    for window in (
        Window(0, 100, 300, 400),
        Window(500, 400, 400, 400),
        Window(recipe.width - 300, recipe.height - 300, 300, 300),
        Window(700, 0, 300, 120),
    ):
        part = render(recipe, window)
        rows, columns = window.slices
        counts = to_counts(part.reflectance, part.valid, SENSORS[recipe.sensor])
        assert np.array_equal(pixels[:, rows, columns], counts)
        assert np.array_equal(classes[rows, columns], part.labels)
    share = [float((classes == value).sum() / (classes != 255).sum()) for value in (0, 1, 2)]
    assert 0.25 < share[1] < 0.35
    assert 0.04 < share[2] / (share[1] + share[2]) < 0.08
    assert (SHIPPED / "field.tif").stat().st_size < 5.5e6


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match=r"file.*cannot be written"):
        write_sample(tmp_path / "file", FieldRecipe(width=16, height=16))


def test_command_without_a_folder_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "FOLDER" in capsys.readouterr().err
    assert main(["--help"]) == 0
