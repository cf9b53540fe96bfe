"""Folders and disks that do not take a file, and damaged row files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.errors import OutputError
from agriseg.geobox import GeoBox
from agriseg.raster.whole_file import replacing
from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows

CLASSES = ByteLayer("class", 0)
GRID = Affine(0.05, 0, 500_000, 0, -0.05, 5_600_000)


def noise_of(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Bytes that no compression makes smaller."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)


def write_map(rows: Path, height: int, width: int) -> None:
    """Make a map of one row file, beside it."""
    box = GeoBox(CRS.from_epsg(32633), GRID, width, height)
    write_cog(rows.with_name("map.tif"), [Piece(box.window, rows)], box, [CLASSES])


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.tif"
    write_rows(path, noise_of(1, 30, 40, seed=1))
    old = path.read_bytes()
    with open(path, "rb") as reader:
        write_rows(path, noise_of(1, 30, 40, seed=2))
        assert reader.read() == old
    assert path.read_bytes() != old


@pytest.mark.parametrize("lost", [1, 20_000])
def test_a_map_that_was_cut_off_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """What a full disk does not take when a file is closed, GDAL does not tell."""
    real_copy = rasterio.shutil.copy

    def cut(source: str, target: str, **options: str) -> None:
        real_copy(source, target, **options)
        os.truncate(target, os.path.getsize(target) - lost)

    monkeypatch.setattr(rasterio.shutil, "copy", cut)
    rows = tmp_path / "rows.tif"
    write_rows(rows, noise_of(1, 600, 700))
    with pytest.raises(OutputError, match=r"map\.tif cannot be written: .* no room left"):
        write_map(rows, 600, 700)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.tif"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"rows\.tif cannot be written: its folder is gone"):
        write_rows(tmp_path / "gone" / "rows.tif", noise_of(1, 3, 4))


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "rows.tif").mkdir()
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        write_rows(tmp_path / "rows.tif", noise_of(1, 3, 4))
    assert [p.name for p in tmp_path.iterdir()] == ["rows.tif"]


def write_half(path: Path, fault: Exception) -> None:
    with replacing(path) as beside:
        beside.write_text("half")
        beside.with_name(beside.name + ".aux.xml").write_text("half a sidecar")
        raise fault


@pytest.mark.parametrize("name", ["map.tif", "map[1]*?.tif"])
def test_a_fault_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises(OutputError, match="no more paper"):
        write_half(path, OSError(5, "no more paper"))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_other_faults_pass_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "map.tif", ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_row_file(tmp_path: Path) -> None:
    rows = tmp_path / "rows.tif"
    write_rows(rows, noise_of(1, 40, 50))
    rows.write_bytes(rows.read_bytes()[:-200])
    with pytest.raises(OutputError) as caught:
        write_map(rows, 40, 50)
    assert "map.tif cannot be written" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.tif"]


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    import numpy as np
    from affine import Affine
    from agriseg.errors import OutputError
    from agriseg.geobox import GeoBox, Window
    from agriseg.raster.writer import ByteLayer, Piece, write_cog, write_rows

    folder, what, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    # Noise does not compress: 1.6 MB.
    planes = np.random.default_rng(0).integers(0, 256, (1, 1000, 1600), dtype=np.uint8)
    write_rows(folder / "rows.tif", planes)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        if what == "rows":
            write_rows(folder / "again.tif", planes)
        else:
            piece = Piece(Window(0, 0, 1600, 1000), folder / "rows.tif")
            box = GeoBox(None, Affine.identity(), 1600, 1000)
            write_cog(folder / "again.tif", [piece], box, [ByteLayer("class", 0)])
    except OutputError as error:
        print(error)
        sys.exit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of this kind are POSIX")
@pytest.mark.parametrize("what", ["rows", "map"])
@pytest.mark.parametrize("limit", [0, 3000, 800_000, 1_610_000])
def test_a_full_disk(tmp_path: Path, what: str, limit: int) -> None:
    """The limit on file sizes stands for the disk; the last one cuts into the overviews."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path), what, str(limit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if what == "rows" and limit > 1_605_000:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 3, done.stderr
    assert "again.tif cannot be written" in done.stdout
    assert "free some room" in done.stdout
    assert done.stdout.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["rows.tif"]
