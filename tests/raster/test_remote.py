"""Rasters behind a network: results as from a disk, few requests, faults mended or told."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.errors import InputError, ReadError, redacted
from agriseg.geobox import Window
from agriseg.raster import open_scene, opener, remote
from agriseg.raster.opener import RasterFile
from agriseg.raster.reader import SceneReader
from agriseg.raster.source import gdal_settings
from agriseg.runs import remote_print
from agriseg.runs.key import file_print, fingerprint
from tests.file_server import FileServer, serve, serve_s3
from tests.support import result_bytes, write_raster

BANDS = ["blue", "green", "red", "rededge", "nir"]
SECRET = "?X-Amz-Signature=5ec2e7/a.b&X-Amz-Expires=60"
HOW: dict[str, Any] = {
    "model": "index-baseline",
    "chip": 128,
    "overlap": 16,
    "sensor": None,
    "scale": 1e-4,
    "polygons": False,
    "fields": False,  # they read the scene once more
    "qgis": False,
}


def field(seed: int = 0) -> np.ndarray[Any, Any]:
    """Rows of plants on soil, five bands of uint16, that do not compress to nothing."""
    rng = np.random.default_rng(seed)
    plants = (np.sin(np.arange(300) / 5) > 0.3)[None, :] & (rng.random((260, 300)) > 0.1)
    soil = np.array([700, 900, 1300, 1600, 1900])[:, None, None]
    leaf = np.array([300, 800, 400, 2500, 4800])[:, None, None]
    data = np.where(plants, leaf, soil) + rng.integers(0, 200, (5, 260, 300))
    data[:, 40:70, 100:180] = 0
    return data.astype(np.uint16)


def write(path: Path, seed: int = 0, **profile: Any) -> Path:
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, "nodata": 0} | profile
    return write_raster(path, field(seed), descriptions=BANDS, compress="deflate", **profile)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write(folder / "scene.tif")
    return folder


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What comes of the local file."""
    out = tmp_path_factory.mktemp("plain")
    agriseg.segment(root / "scene.tif", out, **HOW)
    return rasters(out / "scene")


def rasters(folder: Path) -> dict[str, bytes]:
    found = {name: data for name, data in result_bytes(folder).items() if name.endswith(".tif")}
    assert {"classes.tif", "confidence.tif"} <= set(found)
    return found


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[FileServer]:
    with serve(root) as server:
        yield server


@pytest.fixture
def server(
    running: FileServer, root: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> FileServer:
    """A server that behaves, under addresses of this test's own: GDAL remembers in a process."""
    monkeypatch.setattr(remote, "DELAYS_S", (0.02,) * 6)
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.05")
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")
    folder = root / f"t{abs(hash(request.node.nodeid))}"
    folder.mkdir()
    shutil.copy(root / "scene.tif", folder)
    running.behave()
    return FileServer(running.url, f"{running.url}/{folder.name}", folder)


@pytest.fixture(scope="module")
def s3(root: Path) -> Iterator[str]:
    """host:port of an S3 with the bucket `fields`, and the environment that leads there."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    with serve_s3() as host, pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "AWS_S3_ENDPOINT": host,
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_ACCESS_KEY_ID": "of-a-test",
            "AWS_SECRET_ACCESS_KEY": "of-a-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(key, value)
        bucket = boto3.client("s3", endpoint_url=f"http://{host}")
        bucket.create_bucket(Bucket="fields")
        bucket.upload_file(str(root / "scene.tif"), "fields", "scene.tif")
        yield host


def test_http_gives_what_the_disk_gives(
    server: FileServer, plain: dict[str, bytes], tmp_path: Path
) -> None:
    run = agriseg.segment(f"{server.files}/scene.tif", tmp_path, **HOW)
    asked = server.log()
    assert rasters(tmp_path / "scene") == plain
    assert not run.resumed
    # Four times it is opened, twice of these to hear news; the pixels come in 9 chips.
    assert len(asked) <= 40, asked
    assert not [line for line in asked if line.endswith("404") and "scene.tif." not in line]


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_one_request_in_three_fails(
    server: FileServer, plain: dict[str, bytes], tmp_path: Path, fault: str
) -> None:
    server.behave(fault, chance=3)
    agriseg.segment(f"{server.files}/scene.tif", tmp_path, **HOW)
    faults = [line for line in server.log() if line.endswith(fault)]
    assert len(faults) >= 5
    assert rasters(tmp_path / "scene") == plain


@pytest.mark.slow
def test_one_request_in_three_fails_on_workers(
    server: FileServer, plain: dict[str, bytes], tmp_path: Path
) -> None:
    server.behave("503", chance=3)
    agriseg.segment(f"{server.files}/scene.tif", tmp_path, workers=2, **HOW)
    assert len([line for line in server.log() if line.endswith("503")]) >= 5
    assert rasters(tmp_path / "scene") == plain


def test_a_stall_now_and_then(server: FileServer, plain: dict[str, bytes], tmp_path: Path) -> None:
    server.behave("stall", every=12, first=3, only="GET")
    agriseg.segment(f"{server.files}/scene.tif", tmp_path, **HOW)
    assert any(line.endswith("stall") for line in server.log())
    assert rasters(tmp_path / "scene") == plain


@pytest.mark.parametrize("fault", ["503", "cut", "stall"])
def test_a_server_that_fails_for_good_is_told(
    server: FileServer,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    monkeypatch.setattr(remote, "PATIENCE_S", 1)  # of a server that stalls, less than one try
    monkeypatch.setattr(remote, "DELAYS_S", (0.02,) * 3)
    scene = open_scene(f"{server.files}/scene.tif{SECRET}", scale=1e-4)
    with SceneReader(scene) as reader:
        server.behave(fault)
        started = time.monotonic()
        with pytest.raises(
            ReadError, match=r"scene\.tif: the pixels of .*200.* cannot be read"
        ) as told:
            reader.read(Window(200, 100, 64, 64))
        assert time.monotonic() - started < 30
        assert "5ec2e7" not in str(told.value)
        assert told.value.__cause__ is None
        assert "5ec2e7" not in caplog.text
        server.behave()
        pixels = reader.read(Window(200, 100, 64, 64))
    expected = field()[:, 100:164, 200:264] * np.float32(1e-4)
    np.testing.assert_array_equal(pixels.data, expected.astype(np.float32))


def test_no_pixel_is_left_out_of_a_sample(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file on a disk may be sampled without its damage; a server may recover."""
    address = f"{server.files}/scene.tif"
    scene = open_scene(address, scale=1e-4)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server.behave("503", first=8)
    with pytest.raises(InputError, match=r"scene\.tif"):
        agriseg.segment(scene, tmp_path, model="index-baseline", skip_unreadable=True)
    assert not list(tmp_path.rglob("classes.tif"))


def test_a_try_after_a_failed_opening_is_a_real_one(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    server.behave("503", every=100)
    with RasterFile(f"{server.files}/scene.tif") as file:
        assert file.dataset.count == 5
    # What was missing a moment ago may be there now.
    address = f"{server.files}/later.tif"
    with pytest.raises(InputError, match="no such file"):
        open_scene(address)
    shutil.copy(server.folder / "scene.tif", server.folder / "later.tif")
    assert len(open_scene(address).bands) == 5


def test_it_is_noticed_that_a_file_changed(server: FileServer, tmp_path: Path) -> None:
    address = f"{server.files}/scene.tif"
    first = agriseg.segment(address, tmp_path / "out", **HOW)
    again = agriseg.segment(address, tmp_path / "out", **HOW)
    assert not first.resumed
    assert again.resumed
    write(server.folder / "scene.tif", seed=1)
    agriseg.segment(server.folder / "scene.tif", tmp_path / "plain", **HOW)
    changed = agriseg.segment(address, tmp_path / "out", **HOW)
    assert not changed.resumed
    assert rasters(tmp_path / "out" / "scene") == rasters(tmp_path / "plain" / "scene")


def test_a_file_that_changes_while_it_is_read_is_refused(server: FileServer) -> None:
    scene = open_scene(f"{server.files}/scene.tif", scale=1e-4)
    with SceneReader(scene) as reader:
        reader.read(Window(0, 0, 8, 8))
        (server.folder / "scene.tif").write_bytes(b"")
        write_raster(server.folder / "scene.tif", field()[:3, :100])
        with pytest.raises(InputError, match=r"scene\.tif"):
            reader.read(Window(200, 200, 32, 32))


@pytest.mark.parametrize("tags", ["yes", "no"])
def test_a_print_is_of_the_content_alone(server: FileServer, tags: str) -> None:
    """With a version that the server names, and without one, where the pixels are looked at."""
    server.behave(tags=tags)
    address = f"{server.files}/scene.tif"
    first = fingerprint(address)
    assert fingerprint(f"/vsicurl/{address}") == first
    assert fingerprint(f"{address}{SECRET}") == first
    assert ("version" in first[0]) == (tags == "yes")
    stat = (server.folder / "scene.tif").stat()
    # Tiles of noise without compression, changed in one place: neither size nor ends change.
    write(server.folder / "scene.tif", seed=2)
    os.utime(server.folder / "scene.tif", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(address) != first


def test_a_signed_address_is_for_get_only(server: FileServer) -> None:
    server.behave(head="403")
    found = file_print(f"{server.files}/scene.tif{SECRET}")
    assert {"name", "bytes", "version", "ends"} <= set(found)


def test_a_key_in_an_address_goes_nowhere(server: FileServer, tmp_path: Path) -> None:
    run = agriseg.segment(f"{server.files}/scene.tif{SECRET}", tmp_path, **HOW)
    assert run.path == tmp_path / "scene"
    # The same file under another key is the same file.
    other = SECRET.replace("5ec2e7", "an0ther")
    assert agriseg.segment(f"{server.files}/scene.tif{other}", tmp_path, **HOW).resumed
    for file in tmp_path.rglob("*"):
        assert "5ec2e7" not in file.name
        if file.is_file():
            assert b"5ec2e7" not in file.read_bytes(), file
    assert json.loads((run.path / "run.json").read_text())["scene"]["files"].keys() == {
        f"{server.files}/scene.tif"
    }


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        ("https://u:p@h:80/a.tif?sig=x/y.z: the", "https://h:80/a.tif: the"),
        ("'/vsicurl/https://h/a.tif?s=1' is", "'/vsicurl/https://h/a.tif' is"),
        ("/vsicurl?url=https%3A//h/a.tif&s=1 is", "/vsicurl is"),
        ("is it? mail a@b", "is it? mail a@b"),
    ],
)
def test_addresses_in_messages(text: str, fit: str) -> None:
    assert redacted(text) == fit
    assert str(InputError(text)) == fit


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({}, "none.tif cannot be opened: there is no such file on the server"),
        ({"fault": "403"}, r"the server refuses it \(HTTP response code: 403\).*signed.*new one"),
        ({"fault": "401"}, "credentials"),
        ({"fault": "503"}, "none.tif cannot be opened: HTTP response code: 503"),
    ],
)
def test_what_a_server_refuses(
    server: FileServer, orders: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    server.behave(**orders)
    with pytest.raises(InputError, match=words) as told:
        open_scene(f"{server.files}/none.tif{SECRET}")
    assert "\n" not in str(told.value)
    assert "5ec2e7" not in str(told.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://no-such-host.invalid/a.tif", "no server called no-such-host.invalid"),
        ("http://127.0.0.1:1/a.tif", "127.0.0.1 does not answer .*try again later"),
        ("htps://127.0.0.1/a.tif", "no addresses that begin with htps://; did you mean http"),
        ("s3:///", "cannot be opened"),
    ],
)
def test_addresses_that_lead_nowhere(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "DELAYS_S", (0.01,))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InputError, match=words):
        open_scene(address)


def test_a_page_is_no_raster(server: FileServer) -> None:
    (server.folder / "page.tif").write_text("<html>log in</html>")
    with pytest.raises(InputError, match="no raster that GDAL knows, perhaps a page to log in"):
        open_scene(f"{server.files}/page.tif")


def test_masks_beside_a_file_are_found(server: FileServer, root: Path) -> None:
    with rasterio.open(root / "scene.tif") as dataset:
        shown = np.full(dataset.shape, 255, np.uint8)
    shown[10:50] = 0
    path = server.folder / "masked.tif"
    write_raster(path, field(), descriptions=BANDS, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(shown)
    assert Path(f"{path}.msk").exists()
    local = open_scene(path, scale=1e-4).read()
    far = open_scene(f"{server.files}/masked.tif", scale=1e-4).read()
    assert not local.valid[10:50].any()
    np.testing.assert_array_equal(far.valid, local.valid)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_local_mosaic_of_remote_files(
    server: FileServer, root: Path, tmp_path: Path, threads: str
) -> None:
    shutil.copy(root / "scene.tif", server.folder / "other.tif")
    west, east = f"/vsicurl/{server.files}/scene.tif", f"/vsicurl/{server.files}/other.tif"
    path = mosaic(tmp_path / "mosaic.vrt", {west: (0, 100), east: (100, 200)})
    scene = open_scene(path, scale=1e-4)
    prints = fingerprint(str(path))
    assert "version" in prints[-1]
    # As long as one is open, GDAL remembers of the parts of all others which did not open.
    another = mosaic(tmp_path / "another.vrt", {str(root / "scene.tif"): (0, 300)})
    with rasterio.open(another) as dataset:
        dataset.read(1)
        server.behave("cut", chance=4, only="GET")
        with rasterio.Env(GDAL_NUM_THREADS=threads):
            pixels = scene.read(Window(3, 5, 200, 200))
    np.testing.assert_array_equal(
        pixels.data, (field()[:, 5:205, 3:203] * np.float32(1e-4)).astype(np.float32)
    )


def mosaic(path: Path, parts: dict[str, tuple[int, int]]) -> Path:
    """A virtual raster on the grid of the scene; of each part so many columns from one on."""
    bands = ""
    for index, name in enumerate(BANDS, 1):
        bands += (
            f'<VRTRasterBand dataType="UInt16" band="{index}"><Description>{name}</Description>'
        )
        for part, (col, width) in parts.items():
            rect = f'xOff="{col}" yOff="0" xSize="{width}" ySize="260"'
            bands += (
                f"<SimpleSource><SourceFilename>{part}</SourceFilename>"
                f"<SourceBand>{index}</SourceBand><SrcRect {rect}/><DstRect {rect}/></SimpleSource>"
            )
        bands += "</VRTRasterBand>"
    box = "<GeoTransform>500000,0.1,0,5700000,0,-0.1</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="300" rasterYSize="260">{box}{bands}</VRTDataset>')
    return path


def test_settings_are_for_remote_files_alone_and_the_user_wins(
    server: FileServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def look(*_: Any, **__: Any) -> np.ndarray[Any, Any]:
        for key in ("GDAL_HTTP_MAX_RETRY", "VSI_CACHE", "GDAL_DISABLE_READDIR_ON_OPEN"):
            seen[key] = rasterio.env.get_gdal_config(key)
        return np.zeros((1, 8, 8))

    monkeypatch.setattr(opener, "read_bands", look)
    with RasterFile(str(root / "scene.tif")) as file:
        file.read([1], Window(0, 0, 8, 8))
    assert set(seen.values()) == {None}
    monkeypatch.setenv("VSI_CACHE", "FALSE")
    with (
        rasterio.Env(GDAL_HTTP_MAX_RETRY=7),
        RasterFile(f"{server.files}/scene.tif") as file,
    ):
        file.read([1], Window(0, 0, 8, 8))
    assert seen == {
        "GDAL_HTTP_MAX_RETRY": 7,
        "VSI_CACHE": "FALSE",
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    }
    assert rasterio.env.get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") is None


def test_a_file_replaced_between_two_chips_is_refused(
    server: FileServer, tmp_path: Path, root: Path
) -> None:
    class Replacing:
        """Puts another file in the place of the one that is read, as soon as that begins."""

        def start(self, total_pixels: int, done_pixels: int) -> None:
            write(server.folder / "scene.tif", seed=5)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    address = f"{server.files}/scene.tif"
    with pytest.raises(InputError, match=r"scene\.tif.*(changed while|cannot be read)"):
        agriseg.segment(address, tmp_path / "out", listener=Replacing(), **HOW)
    assert not (tmp_path / "out" / "scene" / "run.json").exists()
    agriseg.segment(server.folder / "scene.tif", tmp_path / "plain", **HOW)
    agriseg.segment(address, tmp_path / "out", **HOW)
    assert rasters(tmp_path / "out" / "scene") == rasters(tmp_path / "plain" / "scene")


def test_blocks_tell_of_a_change_that_no_sample_meets(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_print, "_VALUES", 64 * 5)
    server.behave(tags="no")
    path = server.folder / "scene.tif"
    first = fingerprint(f"{server.files}/scene.tif")[0]["content"]
    with rasterio.open(path) as dataset:
        data, profile = dataset.read(), dataset.profile
    data[:, 100:110, 150:160] = 1234
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(data)
        dataset.descriptions = BANDS
    assert fingerprint(f"{server.files}/scene.tif")[0]["content"] != first


def test_keys_of_the_environment_go_into_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-a-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-a-test")
    with rasterio.Env(GDAL_CACHEMAX=64 << 20):
        settings = gdal_settings()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with rasterio.Env(**settings):
        assert rasterio.env.getenv()["AWS_ACCESS_KEY_ID"] == "of-a-test"


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["s3://fields", "/vsis3/fields"])
def test_s3_gives_what_the_disk_gives(
    s3: str, plain: dict[str, bytes], tmp_path: Path, prefix: str
) -> None:
    """Slow: an S3 server is started."""
    address = f"{prefix}/scene.tif"
    run = agriseg.segment(address, tmp_path, **HOW)
    assert rasters(tmp_path / "scene") == plain
    assert "of-a-test" not in (run.path / "run.json").read_text()
    assert agriseg.segment(address, tmp_path, **HOW).resumed


@pytest.mark.slow
def test_it_is_noticed_that_an_object_changed(s3: str, tmp_path: Path) -> None:
    """Slow: an S3 server is started."""
    import boto3

    bucket = boto3.client("s3", endpoint_url=f"http://{s3}")
    bucket.upload_file(str(write(tmp_path / "a.tif")), "fields", "new.tif")
    first = fingerprint("s3://fields/new.tif")
    assert fingerprint("s3://fields/new.tif") == first
    assert "content" in first[0]
    data = field()
    data[2, 200, 7] += 1  # one value in a corner, and not one that is sampled
    write_raster(
        tmp_path / "b.tif",
        data,
        descriptions=BANDS,
        compress="deflate",
        nodata=0,
        tiled=True,
        blockxsize=64,
        blockysize=64,
    )
    bucket.upload_file(str(tmp_path / "b.tif"), "fields", "new.tif")
    assert fingerprint("s3://fields/new.tif") != first
    with pytest.raises(InputError, match="there is no such file on the server"):
        open_scene("s3://fields/none.tif")
    with pytest.raises(InputError, match="there is no such"):
        open_scene("s3://no-bucket/none.tif")
