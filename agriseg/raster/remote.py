"""Rasters behind a network: which paths are, how GDAL reads them well, and what goes wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

import rasterio
from rasterio.env import get_gdal_config
from rasterio.session import DummySession

from agriseg.errors import nearest, redacted

__all__ = [
    "DELAYS_S",
    "PATIENCE_S",
    "attempts",
    "file_name",
    "file_stem",
    "http_address",
    "is_final",
    "is_remote",
    "looks_beside",
    "network_words",
    "remote_settings",
    "sidecar",
    "unknown_scheme",
    "why_not_remote",
]

DELAYS_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Waits before a remote file is tried again, on top of what GDAL tries itself."""

PATIENCE_S = 60.0
"""After this time one last try begins: one at a server that stalls takes a minute or two."""

_SCHEMES = ("https", "http", "s3", "gs", "az", "oss", "ftp")
_ARCHIVES = ("zip", "tar", "gzip", "file")
_ADDRESS = re.compile(rf"(?<![A-Za-z0-9.])(?:{'|'.join(_SCHEMES)})://")
_NETWORK = re.compile(r"/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]")
_ANY_SCHEME = re.compile(r"([A-Za-z][\w+.-]+)://")
_IN_ARCHIVE = re.compile(r"/vsi(?:zip|tar|gzip|7z|rar)/|(?:zip|tar|gzip)(?:\+|://)")

# Names and defaults as in GDAL 3.10, which rasterio 1.4 brings along. GDAL tries 429, 500 and 502
# to 504 again by itself; GDAL_HTTP_RETRY_CODES would only take the place of that list.
_SETTINGS = {
    # The header and the index of most GeoTIFFs, in one request in place of two.
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "5000000",
    # Read once in a process. The compressed tiles of a large chip must fit, else a chip that is
    # tried again starts from nothing.
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 << 20),
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    # Many requests over one connection where TLS agrees on HTTP/2; plain HTTP stays as it is.
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2TLS",
    # GDAL doubles the delay each time; by default it tries once only.
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    # By default GDAL waits for ever.
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
}
# Else GDAL lists the folder, and asks for some thirty names beside the file: 33 more requests.
_NO_FOLDER = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
# Asks for each possible name; takes no listing of the folder, which few web servers give.
_EACH_NAME = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
# For these GDAL neither uses nor keeps what it has heard of a file, above all that it failed.
_FRESH = {"CPL_VSIL_CURL_NON_CACHED": "/vsi"}


def is_remote(path: str) -> bool:
    """Whether GDAL goes over a network for it; also where it lies in an archive there."""
    return bool(_ADDRESS.search(path) or _NETWORK.search(path))


def attempts() -> Iterator[bool]:
    """The tries that something behind a network is worth: for each, whether it is the last."""
    started = time.monotonic()
    for delay in (*DELAYS_S, None):
        if delay is None or time.monotonic() - started > PATIENCE_S:
            yield True
            return
        yield False
        time.sleep(delay)


@contextmanager
def remote_settings(*, beside: bool | None = False, fresh: bool = False) -> Iterator[None]:
    """GDAL's settings for a remote file; what the user has set, anywhere, stays.

    Args:
        beside: Whether to look for files beside it: False for none, True for each by its name, None
            as GDAL does by default.
        fresh: Whether to ask the server for what GDAL remembers.
    """
    wanted = dict(_SETTINGS)
    if beside is not None:
        wanted |= _EACH_NAME if beside else _NO_FOLDER
    settings = {key: value for key, value in wanted.items() if get_gdal_config(key) is None}
    # No session: rasterio would make one of the keys in the environment, for each window read.
    with rasterio.Env(session=DummySession(), **settings, **(_FRESH if fresh else {})):
        yield


def looks_beside(path: str) -> bool:
    """Whether GDAL may look at the files beside: in an archive it costs nothing."""
    return bool(_IN_ARCHIVE.search(path))


def http_address(path: str) -> str | None:
    """The https:// or http:// address behind a path, or None where there is another."""
    if path.startswith("/vsicurl?"):
        path = parse_qs(path.removeprefix("/vsicurl?")).get("url", [""])[0]
    path = path.removeprefix("/vsicurl/")
    return path if re.match(r"https?://", path) else None


def file_name(path: str) -> str:
    """The name of a file, without what an address says to the server only."""
    if not is_remote(path):
        return Path(path).name
    address = http_address(path)
    name = PurePosixPath(redacted(address or path)).name
    return unquote(name) if address else name


def file_stem(path: str) -> str:
    """The name of a file without its ending."""
    return Path(file_name(path)).stem


def sidecar(path: str, ending: str) -> str | None:
    """Where a file beside lies, such as the mask `.msk`; None where none can lie there.

    Signed addresses are for one file each.
    """
    return None if "?" in path or looks_beside(path) else path + ending


def network_words(error: BaseException | None) -> str:
    """What GDAL said of the network in an error or its causes; else what the first cause says."""
    said = ""
    while error is not None:
        said = redacted(" ".join(str(error).split())).rstrip(".") or said
        if "CURL error" in said or "HTTP response code" in said:
            # What follows is about how GDAL stopped to listen.
            return said.split(" - ")[0]
        error = error.__cause__
    return said


_MISSING = ("code: 404", "code: 410", "key does not exist", "NoSuchKey", "not exist in the file")
_REFUSED = (
    "code: 400",
    "code: 401",
    "code: 403",
    "AccessDenied",
    "Access Denied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "AWS Access Key Id",
)
_NO_KEYS = ("options not defined", "AWS_SECRET_ACCESS_KEY", "credentials")
_NO_BUCKET = ("bucket does not exist", "NoSuchBucket")
_NO_HOST = ("Could not resolve host",)
_NO_TRUST = ("SSL", "certificate")
_SILENT = ("Failed to connect", "timed out", "too slow", "Could not connect")
_NO_RASTER = ("not recognized as being",)


def is_final(said: str) -> bool:
    """Whether it is of no use to ask again: the server, or the lack of one, was clear."""
    return any(
        word in said
        for words in (_MISSING, _REFUSED, _NO_KEYS, _NO_BUCKET, _NO_HOST, _NO_TRUST)
        for word in words
    )


def why_not_remote(path: str, said: str) -> str:
    """The line that says why a remote raster cannot be opened, and what to do."""
    shown = redacted(path)
    host = urlsplit(http_address(shown) or "").hostname or "the server"
    return f"{shown} cannot be opened: " + next(
        line
        for words, line in (
            (_NO_HOST, f"there is no server called {host}; check the address and the network"),
            (_NO_BUCKET, "there is no such bucket; check its name, and AWS_S3_ENDPOINT if set"),
            (_MISSING, "there is no such file on the server; check the address"),
            (
                _NO_KEYS,
                "no credentials were found for it; set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_NO_SIGN_REQUEST=YES for a public bucket",
            ),
            (
                _REFUSED,
                f"the server refuses it ({said}); where the address is signed, get a new one, "
                "else give GDAL the credentials (AWS_PROFILE, GDAL_HTTP_HEADERS, ...)",
            ),
            (
                _NO_TRUST,
                f"no safe connection ({said}); for a certificate of your own set CURL_CA_BUNDLE",
            ),
            (_SILENT, f"{host} does not answer ({said}); try again later, or copy the file here"),
            (
                _NO_RASTER,
                "what the server sends is no raster that GDAL knows, perhaps a page to log in; "
                "look at the address in a browser",
            ),
            (("",), f"{said}; check the address, or copy the file to this machine"),
        )
        if any(word in said for word in words)
    )


def unknown_scheme(path: str) -> str | None:
    """The line that says that the scheme of an address is none; None where it is one."""
    found = _ANY_SCHEME.match(path.strip())
    if not found:
        return None
    scheme = found.group(1).lower()
    if all(part in (*_SCHEMES, *_ARCHIVES) for part in scheme.split("+")):
        return None
    return (
        f"{path}: there are no addresses that begin with {found.group(1)}://; "
        f"{nearest(scheme, _SCHEMES)}"
    )
