"""Fingerprints of files behind a network: cheap, and another one as soon as the content changes."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from agriseg._version import __version__
from agriseg.errors import InputError, redacted
from agriseg.raster import remote
from agriseg.raster.opener import forget
from agriseg.raster.sample import sample_values
from agriseg.raster.source import Source, inspect, open_raster

__all__ = ["ENDS", "remote_print"]

ENDS = 1 << 16
"""Bytes at both ends of a file that are hashed."""

_TIMEOUT_S = 30
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
# Along each side of the lattice of blocks that are looked up in the index of a GeoTIFF.
_BLOCKS = 16
# A raster of so many values is looked at as a whole.
_VALUES = 2_000_000
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


def remote_print(path: str) -> dict[str, Any]:
    """What tells the content of a remote file, without any key that its address holds.

    Of https:// and http:// that is its size, what the server calls its version (ETag, else
    Last-Modified), and a hash of both ends: two requests. Where a server names no version, asks for
    what only GDAL knows to say (a password, a header), or is no web server (s3://, gs://, ...), it
    is the raster's profile, where its compressed blocks lie, which tells the size of each, and a
    sample of its pixels. Of what is no raster only the name is known.

    Raises:
        InputError: The server does not answer.
    """
    facts: dict[str, Any] = {"name": remote.file_name(path)}
    address = remote.http_address(path)
    answer = None if address is None else _ends(address)
    if answer is not None:
        facts |= {"bytes": answer.size, "ends": answer.digest}
        if answer.version:
            forget(path)
            return facts | {"version": answer.version}
    return facts | _pixels(path)


@dataclass(frozen=True)
class _Answer:
    """What a web server says of a file."""

    size: int
    version: str | None
    digest: str


def _ends(address: str) -> _Answer | None:
    """Size, version and a hash of both ends; None where the server says no to us."""
    head = _get(address, f"bytes=0-{ENDS - 1}")
    if head is None:
        return None
    body, headers = head
    found = _TOTAL.match(headers.get("Content-Range", ""))
    size = int(found.group(1) if found else headers.get("Content-Length") or -1)
    if size < 0:
        return None
    if found and size > ENDS:
        tail = _get(address, f"bytes={max(size - ENDS, ENDS)}-{size - 1}")
        body += tail[0] if tail else b""
    version = headers.get("ETag") or headers.get("Last-Modified")
    return _Answer(size, version, hashlib.blake2b(body, digest_size=16).hexdigest())


def _get(address: str, span: str) -> tuple[bytes, Mapping[str, str]] | None:
    """At most `ENDS` bytes of a range, and the headers; None where the server refuses.

    A GET and no HEAD: a signed address is for one of them only, and that one is GET.
    """
    fault = ""
    for _ in remote.attempts():
        try:
            return _ask(address, span)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _WORTH_ANOTHER_TRY:
                return None
            fault = f"HTTP response code: {error.code}"
        except (OSError, http.client.HTTPException) as error:
            fault = redacted(" ".join(str(getattr(error, "reason", error)).split()))
        except ValueError:  # an address that urllib takes for none
            return None
    raise InputError(
        f"{address}: the server does not say whether the file has changed ({fault}), however often "
        "it is asked; try again later, or copy the file to this machine"
    )


def _ask(address: str, span: str) -> tuple[bytes, Mapping[str, str]]:
    # Compressed on the way it would have another size.
    headers = {"Range": span, "Accept-Encoding": "identity", "User-Agent": f"agriseg/{__version__}"}
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        body = answer.read(ENDS)
        length = answer.headers.get("Content-Length")
        if length is not None and len(body) < min(int(length), ENDS):
            raise http.client.IncompleteRead(body)
        return body, answer.headers


def _pixels(path: str) -> dict[str, Any]:
    """What GDAL alone can tell of a raster's content; nothing of what is no raster."""
    try:
        source = inspect(path, fresh=True)
    except InputError:
        return {}
    found = hashlib.blake2b(digest_size=16)
    found.update(repr(_profile(source)).encode())
    with open_raster(path) as dataset:
        found.update(repr(_index(source, dataset)).encode())
    found.update(sample_values(source, max_values=_VALUES).tobytes())
    return {"content": found.hexdigest()}


def _profile(source: Source) -> tuple[Any, ...]:
    box = source.geobox
    return (
        source.driver,
        (box.width, box.height, box.transform.to_gdal()),
        None if box.crs is None else box.crs.to_wkt(),
        (source.dtypes, source.descriptions, source.colors, source.nodata),
        (source.scales, source.offsets, source.block_shapes, source.overviews),
        (source.compression, source.dataset_mask, sorted(source.tags.items())),
    )


def _index(source: Source, dataset: Any) -> list[str | None]:
    """Where blocks of a GeoTIFF lie, in each band.

    Compressed blocks lie one after the other, so a block that became longer or shorter moves all
    that follow; a lattice with the last block in it is enough.
    """
    if source.driver not in ("GTiff", "COG"):
        return []
    rows, cols = source.block_shapes[0]
    box = source.geobox
    down, across = _spread(-(-box.height // rows)), _spread(-(-box.width // cols))
    bands = (1,) if source.pixel_interleaved else (1, source.count)
    return [
        dataset.get_tag_item(f"{what}_{col}_{row}", "TIFF", bidx=band)
        for band in bands
        for row, col in product(down, across)
        for what in ("BLOCK_OFFSET", "BLOCK_SIZE")
    ]


def _spread(count: int) -> list[int]:
    """Up to `_BLOCKS` of so many places, with the first and the last."""
    if count <= _BLOCKS:
        return list(range(count))
    return [k * (count - 1) // (_BLOCKS - 1) for k in range(_BLOCKS)]
