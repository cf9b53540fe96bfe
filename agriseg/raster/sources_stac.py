"""Scenes of a STAC file: an Item, or an ItemCollection as a search leaves it. Nothing is fetched.

The bands of an asset stand in `eo:bands` and `raster:bands` (STAC 1.0) or in `bands` (STAC 1.1,
https://github.com/radiantearth/stac-spec/blob/v1.1.0/commons/common-metadata.md#bands).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from agriseg.errors import AgrisegError, InputError, said_by
from agriseg.raster.opener import is_local
from agriseg.raster.sources_assets import Choice, choose
from agriseg.raster.sources_names import Found

if TYPE_CHECKING:
    from pystac import Item

__all__ = ["stac_sources"]

_NEEDED = "a STAC Item, or an ItemCollection (a GeoJSON FeatureCollection of Items), is needed"
# Of an item's identity, which becomes a folder on any disk.
_UNFIT = re.compile(r'[<>:"|?*/\\\x00-\x1f]+')


def stac_sources(path: str) -> list[Found]:
    """The scenes of a STAC file, one an item; see `find_sources` for what is taken from them.

    Raises:
        InputError: It is not such a file, or an item tells no bands or contradicts itself.
    """
    return [_scene(item, own, path, where) for item, own, where in _items(path)]


def _items(path: str) -> Iterator[tuple[Item, str | None, str]]:
    """Items, the addresses that they give as their own, and where they stand."""
    # Loaded here, since a run without a catalogue does without.
    import pystac

    content = _json(path)
    kind = content.get("type") if isinstance(content, dict) else None
    if kind in ("Catalog", "Collection"):
        raise InputError(
            f"{path} is a STAC {kind}, which only points to others; {_NEEDED}: give the items "
            "themselves, or save what a search of the catalogue finds"
        )
    features = content.get("features") if kind == "FeatureCollection" else [content]
    if kind not in ("Feature", "FeatureCollection") or not isinstance(features, list):
        raise InputError(f"{path} is no STAC file; {_NEEDED}")
    if not features:
        raise InputError(f"{path} holds no items; search again, with other dates or another area")
    for number, feature in enumerate(features, 1):
        where = path if kind == "Feature" else f"{path} item {number}"
        try:
            # As it is written: pystac lets a relative one start at the working directory.
            links = {link["rel"]: link["href"] for link in feature.get("links", ())}
            item = pystac.Item.from_dict(feature, preserve_dict=False)
        except _faults() as error:
            raise InputError(
                f"{where} is no STAC item ({type(error).__name__}: {said_by(error)}); {_NEEDED}"
            ) from error
        yield item, links.get("self"), where


def _faults() -> tuple[type[Exception], ...]:
    """What pystac raises of an item that is none: it takes it to be well-formed."""
    from pystac import STACError
    from pystac.errors import STACTypeError

    return (STACError, STACTypeError, ValueError, TypeError, KeyError, AttributeError)


def _json(path: str) -> Any:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a file that you may read"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({said_by(error)}); {_NEEDED}") from error


def _scene(item: Item, own: str | None, path: str, where: str) -> Found:
    where = f"{where} ({item.id})"
    try:
        choice = choose(item.assets, item.properties)
        folder = os.path.dirname(path)
        files = {role: _href(href, own, folder) for role, href in choice.files.items()}
        date = item.datetime or item.common_metadata.start_datetime
    except AgrisegError as error:
        raise type(error)(f"{where}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where}: its bands, files or dates are not as STAC has them ({said_by(error)}); mend "
            "the item"
        ) from error
    options = _options(choice)
    if date is not None:
        options["about"] = {"date": date.date().isoformat()}
    words: Sequence[str] = [word for word in (item.collection_id, item.id) if word]
    parts = tuple(_UNFIT.sub("-", str(word)) for word in words) or ("scene",)
    return Found(files.get("", files), where, parts, options=options, stated=True)


def _options(choice: Choice) -> dict[str, Any]:
    said = {
        "bands": choice.bands,
        "scale": choice.scale,
        "offset": choice.offset,
        "nodata": choice.nodata,
    }
    return {key: value for key, value in said.items() if value is not None}


def _href(href: str, own: str | None, folder: str) -> str:
    """Where an asset is: beside the file if it was fetched with it, else where its item came from.

    Args:
        href: The asset's address or path.
        own: The address of its item.
        folder: The folder of the file that was given.
    """
    from pystac.utils import make_absolute_href

    if href.startswith("file://"):
        return url2pathname(urlsplit(href).path)
    if not is_local(href) or os.path.isabs(href):
        return href
    here = os.path.normpath(os.path.join(folder, href))
    if own is None or not (own.startswith("file://") or not is_local(own) or os.path.isabs(own)):
        return here
    if os.path.exists(here):
        return here
    if own.startswith("file://"):
        own = url2pathname(urlsplit(own).path)
    return make_absolute_href(href, own, start_is_dir=False)
