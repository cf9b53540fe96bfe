"""Class rasters from anywhere: our own, and those of other programs, good and bad."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from agriseg import segment
from agriseg.errors import AgrisegError, InputError, OptionError, ReadError
from agriseg.geobox import GeoBox
from agriseg.legend import NODATA, Legend
from agriseg.raster.writer import ByteLayer, Piece, Window, write_cog, write_rows
from agriseg.vector.source import ClassRaster, ClassReader, open_classes
from tests.support import DATA, NORTH_UP, UTM, write_raster

LEGEND = Legend.of(("soil", "#c8a882"), ('crop <&> "Rübe"', "#1b6e2b"), ("weed", "#d81b9a"))
SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "field.tif"
HEIGHT, WIDTH = 90, 70


def classes_of(dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 4, (1, height, width)).astype(dtype)


def whole(raster: ClassRaster, height: int = 33) -> tuple[Any, Any, Any, Any]:
    """All rows, read in bands and laid under each other."""
    bands = [raster.read(*span) for span in raster.bands_of_rows(height)]
    has = [
        np.ones(band.valid.shape, bool) if band.has_steps is None else band.has_steps
        for band in bands
    ]
    steps = [band.steps for band in bands]
    return (
        np.concatenate([band.classes for band in bands]),
        np.concatenate([band.valid for band in bands]),
        None if steps[0] is None else np.concatenate([s for s in steps if s is not None]),
        np.concatenate(has),
    )


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """classes.tif and confidence.tif as a run leaves them, with a hole."""
    planes = np.concatenate([classes_of() % 3, classes_of() * 50])
    planes[:, :30, :20] = NODATA
    write_rows(tmp_path / "rows.tif", planes)
    pieces = [Piece(Window(0, 0, WIDTH, HEIGHT), tmp_path / "rows.tif")]
    box = GeoBox(UTM, NORTH_UP, WIDTH, HEIGHT)
    folder = tmp_path / "run"
    folder.mkdir()
    write_cog(folder / "classes.tif", pieces, box, [ByteLayer("class", 0, legend=LEGEND)])
    write_cog(folder / "confidence.tif", pieces, box, [ByteLayer("confidence", 1, 1 / 200)])
    return folder


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `segment` itself leaves of a corner of the sample field."""
    out = tmp_path_factory.mktemp("out")
    with rasterio.open(SAMPLE) as dataset:
        x, y = dataset.transform @ (500, 400)
    segment(SAMPLE, out, bounds=(x, y - 4, x + 5, y), name="corner")
    return out / "corner" / "classes.tif"


class TestOurOwn:
    def test_a_real_run(self, real_run: Path) -> None:
        raster = open_classes(real_run)
        assert raster.names
        assert raster.confidence == str(real_run.with_name("confidence.tif"))
        classes, valid, steps, has = whole(raster)
        assert classes.dtype == raster.dtype == np.uint8
        assert valid.any()
        assert set(np.unique(classes[valid]).tolist()) <= set(raster.names)
        confidence = steps[has & valid] * raster.step + raster.step_offset
        assert 0 <= confidence.min() <= confidence.max() <= 1

    def test_values_and_names(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif")
        assert raster.path == str(run_folder / "classes.tif")
        assert raster.geobox == GeoBox(UTM, NORTH_UP, WIDTH, HEIGHT)
        assert raster.names == dict(enumerate(LEGEND.names))
        assert raster.name_of(1) == 'crop <&> "Rübe"'
        assert raster.name_of(np.uint8(7)) == "7"
        assert (raster.step, raster.step_offset) == (pytest.approx(1 / 200), 0)
        classes, valid, steps, has = whole(raster)
        assert (valid == (classes != NODATA)).all()
        assert (classes[valid] == (classes_of() % 3)[0][valid]).all()
        assert (steps[valid] == (classes_of() * 50)[0][valid]).all()
        assert has.all()

    def test_it_is_plain(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif")
        again = pickle.loads(pickle.dumps(raster))
        assert again == raster
        assert (again.read(3, 5).classes == raster.read(3, 5).classes).all()

    def test_without_confidence(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif", confidence=False)
        assert raster.confidence is None
        rows = raster.read(0, 5)
        assert rows.steps is None
        assert rows.has_steps is None

    def test_another_name_takes_no_confidence(self, run_folder: Path) -> None:
        for name in ("classes.tif", "classes.tif.aux.xml"):
            (run_folder / name).rename(run_folder / name.replace("classes", "map"))
        assert open_classes(run_folder / "map.tif").confidence is None
        given = open_classes(run_folder / "map.tif", confidence=run_folder / "confidence.tif")
        assert given.confidence is not None

    def test_a_strangers_confidence_is_left_alone(self, run_folder: Path) -> None:
        (run_folder / "confidence.tif").unlink()
        write_raster(run_folder / "confidence.tif", classes_of(height=HEIGHT + 1))
        assert open_classes(run_folder / "classes.tif").confidence is None


class TestForeign:
    @pytest.mark.parametrize(
        "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64"]
    )
    def test_types(self, tmp_path: Path, dtype: str) -> None:
        data = classes_of(dtype)
        data[0, 0, :2] = np.iinfo(dtype).max, np.iinfo(dtype).min
        raster = open_classes(write_raster(tmp_path / "c.tif", data))
        assert not raster.names
        classes, valid, steps, _ = whole(raster)
        assert classes.dtype == raster.dtype == dtype
        assert (classes == data[0]).all()
        assert valid.all(), "without nodata all values are classes"
        assert steps is None

    @pytest.mark.parametrize(
        ("dtype", "nodata"), [("int16", -1), ("uint16", 65535), ("uint8", 0), ("int32", -(2**31))]
    )
    def test_nodata(self, tmp_path: Path, dtype: str, nodata: int) -> None:
        data = classes_of(dtype)
        data[0, 5:9, 7:50] = nodata
        raster = open_classes(write_raster(tmp_path / "c.tif", data, nodata=nodata))
        _, valid, *_ = whole(raster)
        assert (valid == (data[0] != nodata)).all()

    def test_nodata_that_the_type_cannot_hold(self, tmp_path: Path) -> None:
        write_raster(tmp_path / "c.tif", classes_of())
        rasterio.shutil.copy(tmp_path / "c.tif", tmp_path / "c.vrt", driver="VRT")
        text = (tmp_path / "c.vrt").read_text()
        for value in ("-9999", "nan", "2.5", "1e300"):
            declared = text.replace(
                "<ColorInterp>", f"<NoDataValue>{value}</NoDataValue><ColorInterp>"
            )
            assert declared != text
            (tmp_path / "n.vrt").write_text(declared)
            assert whole(open_classes(tmp_path / "n.vrt"))[1].all(), value

    def test_nodata_of_the_user(self, tmp_path: Path) -> None:
        data = classes_of("int16")
        raster = open_classes(write_raster(tmp_path / "c.tif", data, nodata=3), nodata=0)
        assert (whole(raster)[1] == np.isin(data[0], (1, 2))).all()
        for wrong in (40_000, 0.5, float("nan")):
            with pytest.raises(OptionError, match=r"int16.*give one of them"):
                open_classes(tmp_path / "c.tif", nodata=wrong)

    def test_alpha(self, tmp_path: Path) -> None:
        data = np.concatenate([classes_of(), np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
        data[1, 10:20, 10:20] = 0
        path = write_raster(tmp_path / "c.tif", data, nodata=3)
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        _, valid, *_ = whole(open_classes(path))
        assert (valid == ((data[1] != 0) & (data[0] != 3))).all()

    @pytest.mark.parametrize("inside", [True, False])
    def test_mask(self, tmp_path: Path, inside: bool) -> None:
        path = write_raster(tmp_path / "c.tif", classes_of())
        hidden = np.zeros((HEIGHT, WIDTH), bool)
        hidden[40:60, 3:9] = True
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
            rasterio.open(path, "r+") as dataset,
        ):
            dataset.write_mask(~hidden)
        assert (tmp_path / "c.tif.msk").exists() is not inside
        assert (whole(open_classes(path))[1] == ~hidden).all()

    @pytest.mark.parametrize(
        "transform",
        [
            NORTH_UP @ Affine.rotation(30),
            Affine(0.5, 0, 4e5, 0, 0.5, 5e6),
            Affine(0, 0.5, 4e5, 0.5, 0, 5e6),
        ],
    )
    def test_any_grid(self, tmp_path: Path, transform: Affine) -> None:
        raster = open_classes(write_raster(tmp_path / "c.tif", classes_of(), transform=transform))
        assert raster.geobox.transform.almost_equals(transform, 1e-9)

    def test_a_local_crs(self, tmp_path: Path) -> None:
        crs = CRS.from_wkt('LOCAL_CS["field",UNIT["metre",1]]')
        raster = open_classes(write_raster(tmp_path / "c.tif", classes_of(), crs=crs))
        assert raster.geobox.is_true_to_scale

    def test_a_path_that_only_gdal_knows(self, tmp_path: Path) -> None:
        import zipfile

        write_raster(tmp_path / "classes.tif", classes_of())
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
            archive.write(tmp_path / "classes.tif", "classes.tif")
        raster = open_classes(f"/vsizip/{tmp_path}/z.zip/classes.tif")
        assert (whole(raster)[0] == classes_of()[0]).all()


class TestRows:
    @pytest.mark.parametrize(
        ("profile", "asked", "cut"),
        [
            ({"tiled": True, "blockxsize": 256, "blockysize": 256}, 1300, 1024),
            ({"tiled": True, "blockxsize": 256, "blockysize": 256}, 300, 256),
            ({"tiled": True, "blockxsize": 512, "blockysize": 512}, 200, 512),
            ({"tiled": True, "blockxsize": 1024, "blockysize": 1024}, 100, 100),
            ({"blockysize": 1}, 100, 100),
            ({"blockysize": 1}, 700, 512),
            ({"blockysize": 24}, 100, 96),
            ({"blockysize": 1400, "compress": "deflate"}, 1000, 1400),
        ],
    )
    def test_bands_end_where_blocks_end(
        self, tmp_path: Path, profile: dict[str, Any], asked: int, cut: int
    ) -> None:
        data = classes_of(height=1500, width=40)
        raster = open_classes(write_raster(tmp_path / "c.tif", data, **profile))
        bands = raster.bands_of_rows(asked)
        assert bands[0] == (0, cut)
        assert [row for row, _ in bands] == list(range(0, 1500, cut))
        assert sum(height for _, height in bands) == 1500
        assert (whole(raster, asked)[0] == data[0]).all()

    def test_confidence_in_other_blocks(self, tmp_path: Path) -> None:
        data = classes_of(height=900)
        write_raster(tmp_path / "c.tif", data, blockysize=24)
        tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
        write_raster(tmp_path / "k.tif", data, **tiles)
        raster = open_classes(tmp_path / "c.tif", confidence=tmp_path / "k.tif")
        assert raster.bands_of_rows(400)[0] == (0, 384)
        assert raster.bands_of_rows(48)[0] == (0, 192)
        assert raster.bands_of_rows(30)[0] == (0, 24)

    def test_threads(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif")
        wanted = whole(raster)[0]
        spans = [(row, min(7, HEIGHT - row)) for row in range(0, HEIGHT, 7)] * 8
        with ThreadPoolExecutor(4) as pool:
            for rows in pool.map(lambda span: raster.read(*span), spans):
                part = wanted[rows.row_off : rows.row_off + len(rows.classes)]
                assert (rows.classes == part).all()

    def test_one_reader_for_many_bands(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif")
        with ClassReader(raster) as reader:
            for row in (0, 40, 20):
                ours, other = reader.read(row, 9), raster.read(row, 9)
                assert (ours.classes == other.classes).all()
                assert ours.steps is not None
                assert (ours.steps == other.steps).all()

    def test_rows_that_are_not_there(self, run_folder: Path) -> None:
        raster = open_classes(run_folder / "classes.tif")
        for span in ((HEIGHT - 1, 2), (-1, 2)):
            with pytest.raises(ValueError, match="reaches out"):
                raster.read(*span)

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        data = np.random.default_rng(0).integers(0, 200, (1, 600, 500)).astype(np.uint8)
        path = write_raster(tmp_path / "c.tif", data, compress="deflate", blockysize=50)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        raster = open_classes(path)
        assert (raster.read(0, 50).classes == data[0, :50]).all()
        with ClassReader(raster) as reader:
            for _ in range(2):
                with pytest.raises(ReadError, match=r"c\.tif.*rows 500..599.*damaged"):
                    reader.read(500, 100)
            assert (reader.read(0, 50).classes == data[0, :50]).all()


class TestConfidence:
    def read(self, tmp_path: Path, data: NDArray[Any], **profile: Any) -> tuple[Any, Any]:
        """(confidence with NaN where it is unknown, raster)."""
        scales = profile.pop("scales", None)
        write_raster(tmp_path / "c.tif", classes_of())
        path = write_raster(tmp_path / "k.tif", data, **profile)
        if scales:
            with rasterio.open(path, "r+") as dataset:
                dataset.scales, dataset.offsets = [[value] for value in scales]
        raster = open_classes(tmp_path / "c.tif", confidence=path)
        _, _, steps, has = whole(raster)
        assert steps.dtype.kind in "iu"
        return np.where(has, steps * raster.step + raster.step_offset, np.nan), raster

    def test_whole_numbers_are_steps(self, tmp_path: Path) -> None:
        data = classes_of("uint16") * 300
        found, raster = self.read(tmp_path, data, nodata=900, scales=(0.001, 0.05))
        wanted = np.where(data[0] == 900, np.nan, data[0] * 0.001 + 0.05)
        assert found == pytest.approx(wanted, nan_ok=True)
        assert raster.read(0, 9).steps.dtype == np.uint16

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_fractions_are_millionths(self, tmp_path: Path, dtype: str) -> None:
        data = np.random.default_rng(1).random((1, HEIGHT, WIDTH)).astype(dtype)
        data[0, 0, :5] = np.nan, np.inf, -9999, 0, 1
        data[0, 1, 0] = -3e38  # a missing value that nobody declared
        found, _ = self.read(tmp_path, data, nodata=-9999, scales=(0.5, 0.25))
        wanted = np.where(np.abs(data[0]) <= 1, data[0] * 0.5 + 0.25, np.nan)
        assert np.isnan(found).sum() == 4
        assert found == pytest.approx(wanted, abs=1e-6, nan_ok=True)

    def test_known_everywhere_is_said_so(self, tmp_path: Path) -> None:
        data = np.full((1, HEIGHT, WIDTH), 0.5, np.float32)
        _, raster = self.read(tmp_path, data)
        assert raster.read(0, 9).has_steps is None
        data[0, 3, 3] = np.nan
        _, raster = self.read(tmp_path, data)
        assert (~raster.read(0, 9).has_steps).sum() == 1

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"height": HEIGHT - 1}, f"{WIDTH} x {HEIGHT - 1} pixels"),
            ({"transform": NORTH_UP @ Affine.translation(0.5, 0)}, "360123.4667"),
            ({"transform": NORTH_UP @ Affine.scale(1.001)}, "of 0.02002 from"),
            ({"crs": CRS.from_epsg(32634)}, "EPSG:32634"),
            ({"crs": None}, "no CRS"),
        ],
    )
    def test_another_grid(self, tmp_path: Path, changes: Mapping[str, Any], said: str) -> None:
        options = dict(changes)
        data = classes_of(height=options.pop("height", HEIGHT))
        write_raster(tmp_path / "k.tif", data, **options)
        write_raster(tmp_path / "c.tif", classes_of())
        with pytest.raises(InputError) as error:
            open_classes(tmp_path / "c.tif", confidence=tmp_path / "k.tif")
        assert said in str(error.value)
        assert f"{WIDTH} x {HEIGHT} pixels of 0.02" in str(error.value)
        assert "EPSG:32633" in str(error.value)

    def test_a_grid_that_differs_by_rounding_only(self, tmp_path: Path) -> None:
        write_raster(tmp_path / "c.tif", classes_of())
        moved = NORTH_UP @ Affine.translation(1e-6, -1e-6)
        write_raster(tmp_path / "k.tif", classes_of(), transform=moved)
        assert open_classes(tmp_path / "c.tif", confidence=tmp_path / "k.tif").confidence

    def test_no_confidence_at_all(self, tmp_path: Path) -> None:
        path = write_raster(tmp_path / "c.tif", classes_of())
        with pytest.raises(InputError, match="no such file"):
            open_classes(path, confidence=tmp_path / "k.tif")
        write_raster(tmp_path / "k.tif", np.repeat(classes_of(), 2, axis=0))
        with pytest.raises(InputError, match="has 2 bands, and a confidence raster has one"):
            open_classes(path, confidence=tmp_path / "k.tif")


def table(columns: list[tuple[str, int]], rows: list[list[str]]) -> str:
    """An attribute table in GDAL's XML, from (title, usage) and cells."""
    heads = "".join(
        f'<FieldDefn index="{k}"><Name>{name}</Name><Type>2</Type><Usage>{use}</Usage></FieldDefn>'
        for k, (name, use) in enumerate(columns)
    )
    lines = "".join(
        f'<Row index="{k}">{"".join(f"<F>{cell}</F>" for cell in row)}</Row>'
        for k, row in enumerate(rows)
    )
    return f"<GDALRasterAttributeTable>{heads}{lines}</GDALRasterAttributeTable>"


class TestNames:
    def names(self, tmp_path: Path, inner: str, **options: Any) -> ClassRaster:
        path = write_raster(tmp_path / "c.tif", classes_of("int16"))
        (tmp_path / "c.tif.aux.xml").write_text(
            f'<PAMDataset><PAMRasterBand band="1">{inner}</PAMRasterBand></PAMDataset>',
            encoding="utf-8",
        )
        return open_classes(path, **options)

    def test_categories(self, tmp_path: Path) -> None:
        inner = "".join(f"<Category>{n}</Category>" for n in ("a &amp; b", "", " b\n c ", "d", "d"))
        raster = self.names(tmp_path, f"<CategoryNames>{inner}</CategoryNames>")
        assert raster.names == {0: "a & b", 2: "b c", 3: "d", 4: "d"}
        assert [raster.name_of(value) for value in (0, 1, -3)] == ["a & b", "1", "-3"]

    def test_names_of_the_user_win(self, tmp_path: Path) -> None:
        inner = "<CategoryNames><Category>a</Category><Category>b</Category></CategoryNames>"
        raster = self.names(tmp_path, inner, names={1: "maize", 7: "rye", 0: " "})
        assert raster.names == {0: "a", 1: "maize", 7: "rye"}

    @pytest.mark.parametrize(
        ("columns", "rows", "names"),
        [
            ([("Value", 5), ("Class", 2)], [["-7", "a"], ["300", "b"]], {-7: "a", 300: "b"}),
            ([("x", 2), ("n", 1), ("v", 5)], [["a", "9", "4.0"]], {4: "a"}),
            ([("VALUE", 0), ("Count", 1), ("Class_Name", 0)], [["3", "9", "a"]], {3: "a"}),
            ([("Histogram", 1), ("Class_Names", 2)], [["9", "a"], ["9", "b"]], {0: "a", 1: "b"}),
            ([("lo", 3), ("hi", 4), ("Label", 0)], [["2", "2", "a"]], {2: "a"}),
            ([("Value", 5), ("Class", 2)], [["1.5", "a"], ["x", "b"], ["nan", "c"], [], ["1"]], {}),
            ([("Value", 5), ("Red", 6)], [["1", "200"]], {}),
        ],
    )
    def test_attribute_table(
        self,
        tmp_path: Path,
        columns: list[tuple[str, int]],
        rows: list[list[str]],
        names: dict[int, str],
    ) -> None:
        assert self.names(tmp_path, table(columns, rows)).names == names

    def test_categories_before_the_table(self, tmp_path: Path) -> None:
        inner = "<CategoryNames><Category>a</Category></CategoryNames>"
        inner += table([("Value", 5), ("Class", 2)], [["0", "b"], ["-1", "c"]])
        assert self.names(tmp_path, inner).names == {0: "a", -1: "c"}

    @pytest.mark.parametrize("driver", ["ENVI", "HFA", "VRT"])
    def test_names_in_other_formats(self, run_folder: Path, driver: str) -> None:
        path = run_folder / f"copy.{'vrt' if driver == 'VRT' else 'img'}"
        rasterio.shutil.copy(run_folder / "classes.tif", path, driver=driver)
        assert open_classes(path).names == dict(enumerate(LEGEND.names))

    def test_a_sidecar_that_means_no_good(self, tmp_path: Path) -> None:
        bomb = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY c "&a;&a;&a;&a;&a;&a;">]>'
        path = write_raster(tmp_path / "c.tif", classes_of())
        for text in (
            f'{bomb}<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>&c;</Category>'
            "</CategoryNames></PAMRasterBand></PAMDataset>",
            "<PAMDataset><PAMRasterBand",
            "no xml at all",
            "",
        ):
            (tmp_path / "c.tif.aux.xml").write_text(text)
            raster = open_classes(path)
            assert all(len(name) < 10 for name in raster.names.values())
            assert whole(raster)[1].all()


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "options", "said"),
        [
            (classes_of("float32"), {}, r"float32.*classes are whole numbers.*-ot Byte"),
            (classes_of("complex64"), {}, r"complex.*class raster are real"),
            (classes_of(), {"crs": None}, r"no CRS.*gdal_edit.py -a_srs"),
            (classes_of(), {"transform": Affine.identity()}, r"no geotransform.*-a_ullr"),
            (np.repeat(classes_of(), 3, axis=0), {}, r"3 bands.*gdal_translate -b 1"),
            (np.repeat(classes_of(), 2, axis=0), {}, r"2 bands.*gdal_translate -b 1"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_in_one_line(
        self, tmp_path: Path, data: NDArray[Any], options: dict[str, Any], said: str
    ) -> None:
        path = write_raster(tmp_path / "c.tif", data, **options)
        with pytest.raises(InputError, match=said) as error:
            open_classes(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_control_points(self, tmp_path: Path) -> None:
        from rasterio.control import GroundControlPoint

        points = [GroundControlPoint(r, c, 4e5 + c, 5e6 - r) for r, c in ((0, 0), (0, 9), (9, 0))]
        path = write_raster(tmp_path / "c.tif", classes_of(), transform=Affine.identity())
        with rasterio.open(path, "r+") as dataset:
            dataset.gcps = points, UTM
        with pytest.raises(InputError, match=r"3 ground control points.*-r near"):
            open_classes(path)

    def test_what_is_no_raster(self, tmp_path: Path) -> None:
        (tmp_path / "c.txt").write_text("no raster")
        with pytest.raises(InputError, match="cannot be opened as a raster"):
            open_classes(tmp_path / "c.txt")
        with pytest.raises(InputError, match="no such file"):
            open_classes(tmp_path / "gone.tif")
        with pytest.raises(InputError, match="folder"):
            open_classes(tmp_path)


CORPUS = DATA / "tiff-corpus"


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"{CORPUS} is not there")
@pytest.mark.parametrize("part", ["gdal", "image-tiff", "rasterio", "rio-cogeo", "rio-tiler"])
def test_the_files_of_others(part: str) -> None:
    """Each is read, or refused in one line; those of a few pixels, for the sake of time."""
    files = [p for p in sorted((CORPUS / part).rglob("*")) if p.suffix in (".tif", ".tiff", ".vrt")]
    assert files
    for path in files:
        said = ""
        try:
            raster = open_classes(path)
            spans = raster.bands_of_rows(256)
            if raster.geobox.width * spans[0][1] > 4_000_000:
                continue
            for span in (spans[0], spans[-1]):
                rows = raster.read(*span)
                assert rows.classes.shape == rows.valid.shape == (span[1], raster.geobox.width)
                assert rows.classes.dtype == raster.dtype
        except AgrisegError as error:
            said = str(error)
        assert "\n" not in said, path
