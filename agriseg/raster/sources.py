"""What a season of flights is given as: files, patterns, folders, a table, a STAC catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack, cast

from agriseg.errors import InputError, OptionError
from agriseg.raster.opener import is_local
from agriseg.raster.opening import PathLike, SceneOptions, open_scene
from agriseg.raster.scene import Scene
from agriseg.raster.sources_files import as_pair, in_folder, is_pattern, matches
from agriseg.raster.sources_names import Found, found, key_of, name_all, without_doubles
from agriseg.raster.sources_stac import stac_sources
from agriseg.raster.sources_table import table_sources

__all__ = ["CATALOGUES", "TABLES", "Source", "find_sources"]

TABLES = (".csv", ".tsv")
CATALOGUES = (".json", ".geojson")


@dataclass(frozen=True)
class Source:
    """A scene that is not opened yet; cheap to pickle.

    Args:
        inputs: What `open_scene` gets: a path, or paths by role.
        options: The keywords of `open_scene` that are its own, without `name`.
        name: What its results are called; None leaves that to `open_scene`.
        stated: The options are statements of a catalogue, which the user's words outrank; else
            they are the user's words for this scene, which outrank those for all scenes.
    """

    inputs: str | Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    stated: bool = False

    @property
    def key(self) -> str:
        """What tells it from other scenes: its absolute paths."""
        return key_of(self.inputs)

    def options_among(self, shared: SceneOptions) -> SceneOptions:
        """All keywords of `open_scene`: its own, and those for all scenes.

        Facts are joined one by one; scale and offset belong together. A name among those for all
        scenes takes the place of its own, since only the user's word comes that way.
        """
        common: dict[str, Any] = {
            key: value for key, value in shared.items() if value not in (None, "", (), [])
        }
        weak, strong = (self.options, common) if self.stated else (common, self.options)
        joined: dict[str, Any] = {**weak, **strong}
        if strong.keys() & {"scale", "offset"}:
            for key in {"scale", "offset"} - strong.keys():
                joined.pop(key, None)
        about = {**weak.get("about", {}), **strong.get("about", {})}
        if about:
            joined["about"] = about
        joined.setdefault("name", self.name)
        return cast("SceneOptions", joined)

    def open(self, **shared: Unpack[SceneOptions]) -> Scene:
        """Open it; `shared` are the keywords of `open_scene` that count for all scenes.

        Raises:
            AgrisegError: As `open_scene` does.
        """
        return open_scene(self.inputs, **self.options_among(shared))


def find_sources(
    given: PathLike | Mapping[str, PathLike] | Sequence[PathLike | Mapping[str, PathLike]],
    *,
    earlier: Mapping[str, str] | None = None,
) -> list[Source]:
    """List the scenes that the user means; hardly any raster is opened for it.

    - **A file**, or anything else that GDAL opens: `/vsi...`, `https://...`, `s3://...` are passed
      on as they are.
    - **Paths by role**, as a mapping or as `red=R.tif` `nir=N.tif` among the texts: one scene.
    - **A pattern** that no shell has spelt out: `flights/*.tif`, `flights/**/ortho.tif`. A folder
      that it matches is one scene or several as a folder in a folder is (see there), and passed
      over where it holds no rasters.
    - **A folder** with rasters right in it is one scene where they have one band each, and a scene
      a file where they have many. Pictures in 8 bits beside bands that tell their roles are
      previews. Up to twelve headers are read to know. A folder with both kinds, or with scenes and
      a folder of more, is refused. Where only its folders hold rasters, each of these is one scene
      or several by the same rule; there names decide if two files tell different bands (B04.tif,
      B08.tif), and else up to three headers. Nothing deeper is looked at, and neither is the
      folder of a run.
    - **A table** (.csv, .tsv; comma, semicolon or tab; UTF-8). The column `path` is a file, a
      folder of bands, an address, or `red=R.tif nir=N.tif`, and starts at the table's folder.
      `date, client, farm, field, crop, growth_stage` and all columns that agriseg does not know
      are facts about the scene; `bands, sensor, scale, offset, nodata, mask` (`SCL.tif:3,8,9`),
      `mask_grow_m, name` say how to open it. An empty cell says nothing.
    - **A STAC file** (.json, .geojson): an Item or an ItemCollection, a scene an item. Assets are
      found by the common names of their bands; scale, offset, nodata and the date are taken over.

    Files of patterns and folders come in natural order (2 before 10), all else as it is given. A
    scene that is given twice alike is listed once.

    **Names.** A batch that is started again after new flights came must find its earlier results
    under the old names. So a name comes from the scene's own place wherever that tells it from its
    neighbours: what was found by a pattern, a folder or a table is called after its path from
    there (`flights/*/ortho.tif` gives `2024-05-01-ortho`, however many flights there are), an item
    of a catalogue after its id, and a file that was given by itself as `open_scene` calls it. Only
    where two would still be the same do these two get longer, by folders further out (then by the
    ending, and at last by a number). That depends on what else is given, as where a shell spells
    out `flights/*/ortho.tif` for a first and then for a second flight; `earlier` keeps names there
    too. Names differ in more than capitals, since some disks do not tell these apart.

    Args:
        given: What the user gave, one or several of them.
        earlier: Names that scenes had before, by `Source.key`; they keep them, and no other scene
            gets one of them.

    Raises:
        InputError: Something cannot be read, matches nothing, or can be understood in two ways.
        OptionError: A table or the texts contradict themselves.
    """
    if isinstance(given, str | os.PathLike | Mapping):
        given = [given]
    scenes = without_doubles(_all_found(given))
    names = name_all(scenes, earlier or {})
    return [
        Source(one.inputs, one.options, name, one.stated)
        for one, name in zip(scenes, names, strict=True)
    ]


def _all_found(given: Iterable[PathLike | Mapping[str, PathLike]]) -> Iterator[Found]:
    by_role: dict[str, str] = {}
    others: list[str | Mapping[str, PathLike]] = []
    for one in given:
        text = one if isinstance(one, Mapping) else os.fspath(one)
        pair = as_pair(text) if isinstance(text, str) and isinstance(one, str) else None
        if pair is None:
            others.append(text)
            continue
        if pair[0] in by_role:
            raise OptionError(f"{text}: the band {pair[0]} is given twice; one file a band")
        by_role[pair[0]] = pair[1]
    if by_role and others:
        raise OptionError(
            f"{others[0]} stands among files given by role ({next(iter(by_role))}=...); one scene "
            "is either one raster, or one file for each band with its role"
        )
    for one in [by_role] if by_role else others:
        if isinstance(one, str):
            yield from _in_text(one)
        elif not one:
            raise OptionError("no file is given; a scene needs one for each band: red=R.tif ...")
        else:
            files = {role: os.fspath(path) for role, path in one.items()}
            yield found(files, " ".join(f"{role}={path}" for role, path in files.items()))


def _in_text(text: str) -> Iterator[Found]:
    """The scenes of one path, pattern, folder, table or catalogue."""
    if not text.strip():
        raise InputError("the path of the raster is empty; give a raster or a folder")
    if not is_local(text):
        yield found(text, text)
    elif os.path.isdir(text):
        yield from in_folder(text)
    elif is_pattern(text):
        paths, root = matches(text)
        before = len(paths)
        for path in paths:
            if os.path.isdir(path):
                scenes: Iterable[Found] = in_folder(path, root=root, strict=False)
            else:
                scenes = _in_file(path, root)
            for scene in scenes:
                before = 0
                yield scene
        if before:
            raise InputError(
                f"{text} matches {before} folders, and none holds rasters; give a pattern of "
                "files, such as 'flights/**/*.tif'"
            )
    else:
        yield from _in_file(text, None)


def _in_file(path: str, root: str | None) -> Iterable[Found]:
    ending = os.path.splitext(path)[1].lower()
    if ending in TABLES:
        return table_sources(path)
    if ending in CATALOGUES:
        return stac_sources(path)
    return [found(path, path, root=root)]
