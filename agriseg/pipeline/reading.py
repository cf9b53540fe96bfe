"""Reading chips ahead of the prediction."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import rasterio

from agriseg.errors import ReadError
from agriseg.models import Predictor, about
from agriseg.models.inputs import network_input, present_keys
from agriseg.pipeline.job import SegmentOptions
from agriseg.pipeline.predicting import ChipPixels
from agriseg.raster import Scene
from agriseg.raster.reader import SceneReader
from agriseg.raster.source import gdal_settings
from agriseg.tiling import Chip

__all__ = ["Reads", "ahead", "read_chips", "read_here", "reading_environment"]

_AHEAD = 3
_MOST_DECODERS = 16
_T = TypeVar("_T")


class _Predicts(Protocol):
    """What has a predictor, such as a `Job`."""

    @property
    def predictor(self) -> Predictor: ...


class Reads(_Predicts, Protocol):
    """What says which pixels are read, and for whom, such as a `Job`."""

    @property
    def scene(self) -> Scene: ...
    @property
    def options(self) -> SegmentOptions: ...


def read_chips(job: Reads, chips: Iterable[Chip]) -> Generator[ChipPixels, None, None]:
    """Read chips in order, ready for the network, in a thread of its own and a few ahead."""
    return ahead(read_here(job, chips), _AHEAD)


def read_here(job: Reads, chips: Iterable[Chip]) -> Generator[ChipPixels, None, None]:
    """Read chips in order, ready for the network, each when it is asked for."""
    return _read(job, chips, reading_environment(job))


def reading_environment(job: _Predicts) -> dict[str, Any]:
    """GDAL's settings for reading: the caller's, and in how many threads blocks are decoded."""
    environment = gdal_settings()
    if "GDAL_NUM_THREADS" in {*environment, *os.environ}:
        return environment
    return {**environment, "GDAL_NUM_THREADS": str(_decoders(job))}


def _decoders(job: _Predicts) -> int:
    """Threads in which GDAL decodes the blocks of a chip.

    A core decodes some 25 Mpixel/s of five bands and predicts one or two: a fourth of them keeps up
    with small networks too. Where a GPU predicts, they have nothing else to do.
    """
    cores = os.cpu_count() or 1
    device = str(about(job.predictor).get("device", "cpu"))
    return min(max(cores if device.startswith("cuda") else cores // 4, 1), _MOST_DECODERS)


def _read(
    job: Reads, chips: Iterable[Chip], environment: Mapping[str, Any]
) -> Generator[ChipPixels, None, None]:
    card = job.predictor.card
    keys = present_keys(job.scene, card)
    with rasterio.Env(**environment), SceneReader(job.scene, keys) as reader:
        for chip in chips:
            try:
                pixels = reader.read(chip.window)
            except ReadError as error:
                if not job.options.skip_unreadable:
                    raise
                yield ChipPixels(chip, None, None, str(error))
                continue
            if not pixels.valid.any():
                yield ChipPixels(chip, None, None)
                continue
            yield ChipPixels(chip, network_input(pixels, keys, card), pixels.valid)


def ahead(items: Iterator[_T], depth: int) -> Generator[_T, None, None]:
    """Run an iterator in a thread of its own, at most `depth` items ahead."""
    filled: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop, end = threading.Event(), object()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                filled.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    break
            put(end)
        except BaseException as error:  # handed to the thread that waits for items
            put(error)
        finally:
            close = getattr(items, "close", None)
            if close:
                close()

    thread = threading.Thread(target=work, name="agriseg-read", daemon=True)
    thread.start()
    try:
        while (item := filled.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
