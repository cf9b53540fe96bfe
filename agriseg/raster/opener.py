"""Opening raster files and reading from them, so that a fault of a network is mended or told."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # no RasterioError, and public nowhere
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from agriseg.errors import InputError, ReadError, RemoteReadError, redacted
from agriseg.geobox import Window
from agriseg.raster import remote, virtual

__all__ = [
    "OPEN_FAULTS",
    "READ_FAULTS",
    "RasterFile",
    "forget",
    "is_local",
    "open_raster",
    "read_bands",
    "read_error",
    "why_not",
]

READ_FAULTS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError)
"""What rasterio raises where GDAL fails."""

OPEN_FAULTS: tuple[type[Exception], ...] = (
    *READ_FAULTS,
    ValueError,
    TypeError,
    OverflowError,
    UnicodeError,
)
"""What else comes out of opening a file whose header makes no sense."""

# "https:", "GPKG:", but not the letter of a drive.
_PREFIX = re.compile(r"\w\w+:")

# Masks, and what GDAL keeps of a file: both decide pixels.
_SIDECARS = (".msk", ".aux.xml")
_has_sidecars: dict[str, bool] = {}


def _without_keys(record: logging.LogRecord) -> bool:
    """Take the keys of signed addresses out of what GDAL has to say, and let it pass."""
    record.msg, record.args = redacted(record.getMessage()), None
    return True


for _name in ("rasterio._env", "rasterio._err"):
    logging.getLogger(_name).addFilter(_without_keys)


@contextmanager
def open_raster(path: str, *, fresh: bool = False) -> Iterator[Any]:
    """Open a raster for reading; what GDAL says of a failure becomes one clear line.

    Args:
        path: A file or anything else that GDAL opens.
        fresh: Ask the server of a remote file, whatever GDAL remembers of it.

    Raises:
        InputError: GDAL cannot open it.
    """
    if fresh:
        _has_sidecars.pop(path, None)
    dataset = _opened(path, fresh=fresh)
    try:
        yield dataset
    except READ_FAULTS:
        if dataset.driver == "VRT":
            virtual.forget_parts()
        raise
    finally:
        dataset.close()


def _opened(path: str, *, fresh: bool = False) -> Any:
    if wrong := remote.unknown_scheme(path):
        raise InputError(wrong)
    if not remote.is_remote(path):
        try:
            return _open(path)
        except OPEN_FAULTS as error:
            raise InputError(why_not(path, error)) from error
    for is_last in remote.attempts():
        try:
            return _open_remote(path, fresh=fresh)
        except OPEN_FAULTS as error:
            said = remote.network_words(error)
            if is_last or remote.is_final(said):
                # Without the cause, which shows the address with all that is secret in it.
                raise InputError(remote.why_not_remote(path, said)) from None
        # GDAL remembers of a file that it failed, and would not ask again.
        fresh = True
    raise AssertionError("the last try returns or raises")


def _open(path: str, **how: Any) -> Any:
    # Inside an Env what GDAL has to say goes to the log, and not to the user's screen.
    with warnings.catch_warnings(), rasterio.Env():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, **how)


def _open_remote(path: str, *, fresh: bool) -> Any:
    """Open with as few requests as the right pixels allow."""
    if remote.looks_beside(path):
        with remote.remote_settings(beside=None, fresh=fresh):
            return _open(path)
    try:
        with remote.remote_settings(fresh=fresh):
            dataset = _open(path)
            if _stands_alone(dataset) and not _sidecars(path):
                return dataset
            dataset.close()
    except READ_FAULTS as error:
        # Perhaps a format of several files, of which the first means nothing alone.
        if "not recognized as being" not in str(error):
            raise
    with remote.remote_settings(beside=True, fresh=fresh):
        return _open(path)


def _stands_alone(dataset: Any) -> bool:
    """Whether the file itself says where on the ground it lies."""
    return not dataset.transform.is_identity or bool(dataset.gcps[0])


def _sidecars(path: str) -> bool:
    """Whether files lie beside a remote one that change its pixels; asked once in a process."""
    if path not in _has_sidecars:
        names = [remote.sidecar(path, ending) for ending in _SIDECARS]
        _has_sidecars[path] = any(_exists(name) for name in names if name)
    return _has_sidecars[path]


def _exists(path: str) -> bool:
    try:
        # Of one driver: each that is asked may ask the server for files of its own.
        _open(path, driver="GTiff").close()
    except READ_FAULTS as error:
        said = remote.network_words(error)
        if "not recognized as being" in said:
            return True
        if remote.is_final(said):  # a bucket may refuse what it does not have
            return False
        raise
    return True


def forget(path: str) -> None:
    """Let GDAL drop what it remembers of a remote file, perhaps from before it changed."""
    with suppress(*OPEN_FAULTS), remote.remote_settings(fresh=True):
        _open(path).close()


class RasterFile:
    """An open raster that heals: after a fault it is opened anew before the next read.

    After a fault GDAL may take what it could not read for empty, and give zeros: a fresh handle
    fails again. Of a remote file what failed is read again, block by block: so what has arrived
    counts, and each block takes one request that must go well, not some dozens.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.dataset = _opened(path)
        self._is_stale, self._has_failed = False, False
        # A virtual raster here may be made of files elsewhere.
        parts = self.dataset.files if self.dataset.driver == "VRT" else ()
        self._is_remote = any(map(remote.is_remote, (path, *parts)))
        self._facts = _header(self.dataset)

    def __enter__(self) -> RasterFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dataset.close()

    def read(self, indexes: Sequence[int], window: Window) -> NDArray[Any]:
        """Raw values (bands, h, w) of bands, in the type that holds all of them.

        Raises:
            ReadError: GDAL cannot read them; the message names file and window.
            RemoteReadError: The same of a file behind a network.
            InputError: The file is gone, or another by now.
        """
        return self._pixels(indexes, window, _values)

    def read_mask(self, window: Window) -> NDArray[np.uint8]:
        """GDAL's mask (h, w) of the first band, 0 where it is hidden. Raises as `read` does."""
        mask: NDArray[np.uint8] = self._pixels((1,), window, _masks)[0]
        return mask

    def read_shrunk(
        self, indexes: Sequence[int], shape: tuple[int, int], window: Window | None = None
    ) -> NDArray[Any]:
        """Raw values (bands, *shape) of the raster, from an overview where there is one.

        Args:
            indexes: Of the bands.
            shape: (rows, columns) to read.
            window: The part that is read; by default the whole.

        Raises as `read` does.
        """
        part = f"an overview of {shape[1]} x {shape[0]} pixels"
        how: dict[str, Any] = {"shape": shape, "at": None if window is None else _rasterio(window)}
        try:
            return self._once(part, lambda file: _shrunk(file, indexes, **how))
        except READ_FAULTS as error:
            self._told(part, error)
        one = [self._again(part, partial(_shrunk, indexes=[k], **how)) for k in indexes]
        return np.concatenate(one)

    def read_mask_shrunk(
        self, shape: tuple[int, int], window: Window | None = None
    ) -> NDArray[np.uint8]:
        """GDAL's mask of the first band, as `read_shrunk` reads pixels."""
        part = f"an overview of {shape[1]} x {shape[0]} pixels"
        at = None if window is None else _rasterio(window)
        read = partial(_mask_shrunk, shape=shape, at=at)
        try:
            return self._once(part, read)
        except READ_FAULTS as error:
            self._told(part, error)
        return self._again(part, read)

    def _pixels(self, indexes: Sequence[int], window: Window, read: _Read) -> NDArray[Any]:
        at = _rasterio(window)
        try:
            return self._once(window, lambda file: read(file, indexes, at))
        except READ_FAULTS as error:
            self._told(window, error)
        found = []
        for index in indexes:
            blocks = _blocks(window, self.dataset.block_shapes[index - 1])
            pieces = [(b, self._again(b, partial(_one, read, index, b))) for b in blocks]
            plane = np.empty(window.shape, pieces[0][1].dtype)
            for block, values in pieces:
                plane[block.shifted(-window.col_off, -window.row_off).slices] = values
            found.append(plane)
        return np.stack(found)

    def _told(self, part: object, error: Exception) -> None:
        if not self._is_remote:
            raise ReadError(read_error(self.path, part, error)) from error

    def _again(self, part: object, read: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        for tries, is_last in enumerate(remote.attempts(), 1):
            try:
                return self._once(part, read)
            except READ_FAULTS as error:
                if is_last:
                    line = _remote_error(self.path, part, error, tries)
                    raise RemoteReadError(line) from None
        raise AssertionError("the last try returns or raises")

    def _once(self, part: object, read: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        if self._is_stale:
            self._reopen(part)
        with self._settings():
            try:
                return read(self.dataset)
            except READ_FAULTS:
                if self.dataset.driver == "VRT":
                    virtual.forget_parts()
                self._is_stale = self._has_failed = True
                raise

    @contextmanager
    def _settings(self) -> Iterator[None]:
        if not self._is_remote:
            yield
            return
        # The parts of a virtual raster are opened as they are read.
        is_virtual = self.dataset.driver == "VRT"
        beside, fresh = None if is_virtual else False, is_virtual and self._has_failed
        with ExitStack() as stack:
            if is_virtual or self._has_failed:
                # Else GDAL decodes in threads, whose faults it may forget: their blocks stay zero.
                stack.enter_context(rasterio.Env(GDAL_NUM_THREADS="1"))
            stack.enter_context(remote.remote_settings(beside=beside, fresh=fresh))
            yield

    def _reopen(self, part: object) -> None:
        self.dataset.close()
        try:
            # GDAL keeps what arrived of an answer that was cut off as if it were all of it: without
            # a fresh start each further try would meet the same half block.
            self.dataset = _opened(self.path, fresh=self._is_remote)
        except InputError as error:
            if not self._is_remote:
                raise
            line = f"{self.path}: the pixels of {part} cannot be read, since {error}"
            raise RemoteReadError(line) from None
        if _header(self.dataset) != self._facts:
            raise InputError(
                f"{self.path} was changed while it was read; start again when it is complete"
            )
        self._is_stale = False


_Read = Callable[[Any, Sequence[int], RasterioWindow], NDArray[Any]]


def _values(dataset: Any, indexes: Sequence[int], at: RasterioWindow) -> NDArray[Any]:
    return read_bands(dataset, indexes, window=at)


def _masks(dataset: Any, indexes: Sequence[int], at: RasterioWindow) -> NDArray[Any]:
    masks: NDArray[Any] = dataset.read_masks(list(indexes), window=at)
    return masks


def _one(read: _Read, index: int, window: Window, dataset: Any) -> NDArray[Any]:
    """(h, w) of one band."""
    values: NDArray[Any] = read(dataset, [index], _rasterio(window))[0]
    return values


def _shrunk(
    dataset: Any, indexes: Sequence[int], shape: tuple[int, int], at: RasterioWindow | None
) -> NDArray[Any]:
    return read_bands(dataset, indexes, out_shape=(len(indexes), *shape), window=at)


def _mask_shrunk(
    dataset: Any, shape: tuple[int, int], at: RasterioWindow | None
) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = dataset.read_masks(1, out_shape=shape, window=at)
    return mask


def _rasterio(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col_off, window.row_off, window.width, window.height)


def _blocks(window: Window, shape: tuple[int, int]) -> list[Window]:
    """The parts of a window that lie in one block each."""
    high, wide = shape
    rows = range(window.row_off // high * high, window.row_end, high)
    cols = range(window.col_off // wide * wide, window.col_end, wide)
    blocks = [Window(col, row, wide, high).intersection(window) for row in rows for col in cols]
    return [block for block in blocks if block is not None]


def _header(dataset: Any) -> str:
    """What tells another raster from this one; a text, since no NaN equals another."""
    names = ("width", "height", "dtypes", "transform", "nodatavals")
    return repr([getattr(dataset, name) for name in names])


def why_not(path: str, error: Exception) -> str:
    """The line that says why a local raster cannot be opened."""
    if remote.is_remote(path):
        return remote.why_not_remote(path, remote.network_words(error))
    local = Path(path)
    if is_local(path) and not local.exists():
        return f"{path}: there is no such file; check the path"
    if is_local(path) and local.is_dir():
        return f"{path} is a folder, and GDAL knows no raster in it; give a raster file"
    if path.lower().endswith((".safetensors", ".onnx")):
        return f"{path} is a model, no raster; give the raster first, and the model with --model"
    said = " ".join(str(error).split()).rstrip(".")
    if "missing codec" in said:
        todo = "this GDAL lacks that compression: where it opens, rewrite it with gdal_translate"
        return f"{path} cannot be opened as a raster: {said}; {todo} -co COMPRESS=DEFLATE"
    return f"{path} cannot be opened as a raster: {said}; check it with gdalinfo"


def is_local(path: str) -> bool:
    """Whether GDAL takes it for the path of a file here: no address, no XML, no driver's words."""
    return not path.lstrip().startswith(("/vsi", "<")) and not _PREFIX.match(path)


def read_bands(dataset: Any, indexes: Sequence[int], **how: Any) -> NDArray[Any]:
    """Raw values (bands, h, w) in the type that holds all of these bands.

    A virtual raster may mix types, which rasterio does not read together.
    """
    if len({dataset.dtypes[index - 1] for index in indexes}) > 1:
        if "out_shape" in how:
            how["out_shape"] = how["out_shape"][1:]
        return np.stack([dataset.read(index, **how) for index in indexes])
    values: NDArray[Any] = dataset.read(list(indexes), **how)
    return values


def read_error(path: str, window: object, error: Exception) -> str:
    """The line that says which pixels of which file could not be read."""
    said = " ".join(str(error.__cause__ or error).split())
    return (
        f"{path}: the pixels of {window} cannot be read ({said}); the file is damaged or was cut "
        "off: fetch or export it again"
    )


def _remote_error(path: str, window: object, error: Exception, tries: int) -> str:
    """The same of a file behind a network."""
    times = "one try" if tries == 1 else f"{tries} tries"
    return (
        f"{path}: the pixels of {window} cannot be read in {times} "
        f"({remote.network_words(error)}); the server or the network fails, or the file is "
        "damaged: run the same command again to go on, or copy the file to this machine"
    )
