"""What several tests share: rasters made on the spot, and predictors that need no network."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from agriseg.legend import NODATA, Legend
from agriseg.models import BandInput, ModelCard

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.02, 0.0, 360123.4567, 0.0, -0.02, 5350000.25)

LEGEND = Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a"))

# Of a run whose map is looked at, and nothing that is made of it.
MAP_ONLY: dict[str, Any] = {"polygons": False, "fields": False, "qgis": False}

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "agriseg")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def fresh_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`agriseg` as a user types it, in a process of its own, which takes seconds to import."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`agriseg` as a user types it, in this process; of most commands one test has a fresh one.

    All is heard that a terminal would show: also what libraries write past Python, warnings, and
    logging without a handler.
    """
    from agriseg.cli import main

    line = ["agriseg", *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        texts = [stack.enter_context(_standard(stream)) for stream in ("stdout", "stderr")]
        stack.enter_context(contextlib.chdir(ROOT))
        stack.enter_context(mock.patch.object(sys, "argv", line))
        stack.enter_context(mock.patch.object(logging.root, "handlers", []))
        stack.enter_context(warnings.catch_warnings())
        warnings.resetwarnings()
        for quiet in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", quiet)
        warnings.showwarning = _show_warning
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        stdout, stderr = (text() for text in texts)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(line, code, stdout, stderr)


@contextlib.contextmanager
def _standard(stream: str) -> Iterator[Callable[[], str]]:
    """Standard output or error goes to a file, whose text can be asked for at the end."""
    number = {"stdout": 1, "stderr": 2}[stream]
    kept = os.dup(number)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:

        def text() -> str:
            file.flush()
            file.seek(0)
            return file.read()

        os.dup2(file.fileno(), number)
        try:
            with mock.patch.object(sys, stream, file):
                yield text
        finally:
            os.dup2(kept, number)
            os.close(kept)


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


def write_raster(
    path: Path,
    data: NDArray[Any],
    *,
    crs: CRS | None = UTM,
    transform: Affine = NORTH_UP,
    descriptions: Sequence[str] = (),
    **profile: Any,
) -> Path:
    """Write (bands, h, w) as a GeoTIFF; `profile` goes to rasterio."""
    count, height, width = data.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=data.dtype,
        count=count,
        height=height,
        width=width,
        crs=crs,
        transform=transform,
        **profile,
    ) as dataset:
        dataset.write(data)
        for index, text in enumerate(descriptions, 1):
            dataset.set_band_description(index, text)
    return path


def identity_card(**changes: Any) -> ModelCard:
    facts: dict[str, Any] = {
        "name": "identity",
        "architecture": "tests.identity",
        "bands": (BandInput("red"),),
        "legend": LEGEND,
        "chip_size": 16,
        "overlap": 4,
        "stride": 1,
        "radiometry": "any",
    }
    return ModelCard(**(facts | changes))


@dataclass(frozen=True)
class Identity:
    """Says of a pixel of value k that it is class k, with certainty."""

    card: ModelCard = field(default_factory=identity_card)
    batch: int = 1
    fingerprint: str = "identity"
    numerics: str = "numpy"

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        classes = np.arange(len(self.card.legend), dtype=np.float32)[:, None, None]
        return (np.rint(batch[:, :1]) == classes).astype(np.float32)


@dataclass(frozen=True)
class Smooth:
    """Probabilities that depend on a pixel's neighbours and its place in the chip.

    So chips disagree where they overlap, and the merge has something to do.
    """

    card: ModelCard = field(default_factory=identity_card)
    batch: int = 1
    fingerprint: str = "smooth"
    numerics: str = "numpy"
    seconds_per_chip: float = 0.0

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(self.seconds_per_chip)
        n, _, height, width = batch.shape
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        cols = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        level = batch.mean(axis=1, keepdims=True)
        logits = np.concatenate(
            [
                level + rows * cols,
                np.roll(level, 1, axis=2) * 0.7 + rows,
                1.5 - level - cols,
            ],
            axis=1,
        )
        assert logits.shape == (n, 3, height, width)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class WithSetting(Smooth):
    """`Smooth`, which works in no worker but where GDAL is set in one way."""

    setting: tuple[str, str] = ("", "")

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        name, value = self.setting
        if multiprocessing.parent_process() is not None:
            assert rasterio.env.getenv().get(name) == value, f"{name} is not set"
        return super().__call__(batch)


def class_field(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    """A (1, height, width) raster of class values 0, 1, 2, different everywhere."""
    return np.random.default_rng(seed).integers(0, 3, (1, height, width)).astype(np.float32)


def read_classes(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        classes: NDArray[np.uint8] = dataset.read(1)
    return classes


def result_bytes(folder: Path) -> dict[str, bytes]:
    """The rasters of a run and their sidecars, byte for byte."""
    names = json.loads((folder / "run.json").read_text())["outputs"]
    return {name: (folder / name).read_bytes() for name in names}


def leftovers(folder: Path) -> list[str]:
    """Everything in a run folder that a finished run has no business to leave."""
    kept = {"run.json", "result.qgz", "image.vrt"}
    kept |= {f"{raster}.qml" for raster in ("classes", "confidence", "probabilities")}
    if (folder / "run.json").exists():
        kept |= set(json.loads((folder / "run.json").read_text())["outputs"])
    return sorted(p.name for p in folder.rglob("*") if p.name not in kept)


assert NODATA == 255
