"""Reading chips ahead of the prediction."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import rasterio

from agriseg.errors import ReadError
from agriseg.models import Predictor, about
from agriseg.models.inputs import network_input, present_keys
from agriseg.pipeline.job import SegmentOptions
from agriseg.pipeline.predicting import ChipPixels
from agriseg.raster import Pixels, Scene
from agriseg.raster.reader import SceneReader
from agriseg.raster.source import gdal_settings
from agriseg.threads import in_threads
from agriseg.tiling import Chip

__all__ = ["Reads", "ahead", "read_chips", "read_here", "reading_environment"]

_AHEAD = 3
_MOST_DECODERS = 16
_MOST_FINISHERS = 6
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
    """Read chips in order, ready for the network, in threads of their own and a few ahead.

    One thread reads all of them, so that blocks which chips share are decoded once. What is then
    to be computed of them is done there too, or where that would not keep up in others.
    """
    threads = _finishers(job)
    if threads == 1:
        yield from ahead(read_here(job, chips), _AHEAD)
        return
    fetched = ahead(_fetch(job, chips, reading_environment(job)), _AHEAD)
    found = in_threads(partial(_finish, job), fetched, threads, "ready")
    with closing(fetched), closing(found):
        for _, pixels in found:
            yield pixels


def read_here(job: Reads, chips: Iterable[Chip]) -> Generator[ChipPixels, None, None]:
    """Read chips in order, ready for the network, each when it is asked for."""
    fetched = _fetch(job, chips, reading_environment(job))
    with closing(fetched):
        for one in fetched:
            yield _finish(job, one)


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
    return min(max(cores if _on_gpu(job) else cores // 4, 1), _MOST_DECODERS)


def _finishers(job: _Predicts) -> int:
    """Threads in which pixels are made ready for the network: 25 Mpixel/s of five bands in each.

    On a CPU one is enough for eight that predict. A GPU may take a hundred Mpixel/s.
    """
    cores = os.cpu_count() or 1
    return min(max(cores // (4 if _on_gpu(job) else 8), 1), _MOST_FINISHERS)


def _on_gpu(job: _Predicts) -> bool:
    return str(about(job.predictor).get("device", "cpu")).startswith("cuda")


@dataclass(frozen=True)
class _Fetched:
    """A chip that was read: what gives its pixels, or why it could not be read."""

    chip: Chip
    pixels: Callable[[], Pixels] | None
    unreadable: str | None = None


def _fetch(
    job: Reads, chips: Iterable[Chip], environment: Mapping[str, Any]
) -> Generator[_Fetched, None, None]:
    keys = present_keys(job.scene, job.predictor.card)
    with rasterio.Env(**environment), SceneReader(job.scene, keys) as reader:
        for chip in chips:
            try:
                yield _Fetched(chip, reader.fetch(chip.window))
            except ReadError as error:
                if not job.options.skip_unreadable:
                    raise
                yield _Fetched(chip, None, str(error))


def _finish(job: Reads, fetched: _Fetched) -> ChipPixels:
    if fetched.pixels is None:
        return ChipPixels(fetched.chip, None, None, fetched.unreadable)
    pixels, card = fetched.pixels(), job.predictor.card
    if not pixels.valid.any():
        return ChipPixels(fetched.chip, None, None)
    ready = network_input(pixels, present_keys(job.scene, card), card)
    return ChipPixels(fetched.chip, ready, pixels.valid)


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
