"""From what a user gives to jobs, all checked before the first of them starts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import rasterio

from agriseg.errors import AgrisegError, OptionError
from agriseg.models import LoadOptions, Predictor, default_for, default_model, load_model
from agriseg.pipeline import Failed, Job, SegmentOptions, prepare, quiet
from agriseg.raster import Inputs, Scene, SceneOptions, Source, find_sources, narrow
from agriseg.raster.opener import is_local
from agriseg.raster.source import gdal_settings
from agriseg.raster.sources import CATALOGUES, TABLES
from agriseg.raster.sources_files import is_pattern
from agriseg.runs.batch import earlier_names
from agriseg.threads import cores, in_threads

__all__ = ["Given", "SegmentKeywords", "chosen_model", "jobs_for"]

Given = Inputs | Scene | Source | Sequence[Inputs | Scene | Source]
"""What `segment` takes for its scenes."""


_NO_NOTES: tuple[str, ...] = ()


class SegmentKeywords(SceneOptions, LoadOptions, total=False):
    """The keywords of `segment`: those of `open_scene` and of `load_model`, and these."""

    bounds: Sequence[float] | None
    cutline: str | Path | None
    gsd_m: float | None
    chip: int | None
    overlap: int | None
    swaths: int
    probabilities: bool
    skip_unreadable: bool
    ignore_gsd: bool
    resume: bool
    polygons: bool
    min_area_m2: float | None
    simplify_m: float | None
    fields: bool | str | Path
    id_col: str | None
    name_col: str | None
    inset_m: float


def chosen_model(model: str | Path | Predictor | None) -> str | Path | Predictor:
    """What the user named, or the default."""
    return default_model() if model is None else model


def jobs_for(
    inputs: Given,
    out: Path,
    model: str | Path | Predictor | None,
    options: SegmentKeywords,
    verb: str,
) -> tuple[bool, list[Job | Failed], dict[str, str]]:
    """What is to be done for each scene.

    Args:
        inputs: Of the verb.
        out: Each scene's folder will be in it.
        model: Of the verb.
        options: Of the verb.
        verb: Its name, for messages.

    Returns:
        Whether the inputs may be many scenes, so that a list is to be given back; a job for each
        scene, or why there is none; and what tells the scenes apart, by their names.

    Raises:
        AgrisegError: The one scene that is given, or none of them, can be segmented.
    """
    unknown = sorted(set(options) - SegmentKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"{verb}() has no option {unknown[0]!r}")
    many, scenes = _listed(inputs, out)
    if options.get("name") and len(scenes) > 1:
        raise OptionError("--name is for one scene; several were given")
    models = _Models(options)
    if model is not None:
        models.of(model)  # before anything is opened
    how = SegmentOptions(**_pick(options, SegmentOptions.__annotations__))
    settings = gdal_settings()

    def made(one: Scene | Source) -> Job | Failed:
        try:
            with rasterio.Env(**settings):
                scene, chosen, notes = _opened(one, options), model, _NO_NOTES
                if chosen is None:
                    chosen, notes = default_for(scene, ignore_gsd=how.ignore_gsd)
                predictor = models.of(chosen, stands_in=bool(notes))
                return prepare(scene, predictor, out / scene.name, how, notes=notes)
        except AgrisegError as error:
            return Failed(_name_of(one), error)

    with quiet():
        jobs = [job for _, job in in_threads(made, scenes, cores(len(scenes)), "open")]
    failed = [job for job in jobs if isinstance(job, Failed)]
    if len(failed) == len(jobs):
        raise failed[0].error
    if verb == "segment":
        _refuse_same_folder([job.scene for job in jobs if isinstance(job, Job)], out)
    keys = {one.name: one.key for one in scenes if isinstance(one, Source) and one.name}
    return many, jobs, keys


def _listed(inputs: Given, out: Path) -> tuple[bool, list[Scene | Source]]:
    """Whether a list is to be given back, and the scenes."""
    is_list = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    given = list(cast("Sequence[Inputs | Scene | Source]", inputs)) if is_list else [inputs]
    if not given:
        raise OptionError("no raster was given; name at least one")
    unopened = [cast("Inputs", one) for one in given if not isinstance(one, Scene | Source)]
    known: list[Scene | Source] = [one for one in given if isinstance(one, Scene | Source)]
    found = find_sources(unopened, earlier=earlier_names(out)) if unopened else []
    scenes = [*known, *found]
    is_many = is_list or len(scenes) != 1 or (bool(unopened) and _may_grow(unopened[0], scenes[0]))
    return is_many, scenes


def _may_grow(given: Inputs, found: Scene | Source) -> bool:
    """Whether the same words may mean several scenes another day."""
    if isinstance(given, Mapping) or not isinstance(found, Source) or not is_local(str(given)):
        return False
    path = Path(given)
    if path.is_dir():  # of rasters; one of bands is a scene by itself
        return found.inputs != str(given)
    return is_pattern(str(given)) or path.suffix.lower() in (*TABLES, *CATALOGUES)


class _Models:
    """Models by name, each loaded when the first scene needs it: a wrong path is told at once."""

    def __init__(self, options: SegmentKeywords) -> None:
        self._options = options
        self._loaded: dict[object, Predictor] = {}
        self._lock = threading.Lock()

    def of(self, model: str | Path | Predictor, *, stands_in: bool = False) -> Predictor:
        """The model; one that stands in for another has no use for that one's engine."""
        key = model if isinstance(model, str | Path) else id(model)
        options = self._options
        if stands_in:
            options = {"tta": options["tta"]} if "tta" in options else {}
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = _predictor(model, options)
            return self._loaded[key]


def _predictor(model: str | Path | Predictor, options: SegmentKeywords) -> Predictor:
    said = _pick(options, LoadOptions.__optional_keys__)
    if isinstance(model, str | Path):
        return load_model(model, **cast("LoadOptions", said))
    if said:
        raise OptionError(
            f"{', '.join(sorted(said))}: a predictor was given, which has that decided; give these "
            "options to load_model"
        )
    return model


def _opened(given: Scene | Source, options: SegmentKeywords) -> Scene:
    said = _pick(options, SceneOptions.__optional_keys__)
    if isinstance(given, Scene):
        if said:
            raise OptionError(
                f"{', '.join(sorted(said))}: an open scene was given, which has all that decided; "
                "give these options to open_scene"
            )
        scene = given
    else:
        scene = given.open(**cast("SceneOptions", said))
    return narrow(
        scene,
        bounds=options.get("bounds"),
        cutline=options.get("cutline"),
        gsd_m=options.get("gsd_m"),
    )


def _name_of(one: Scene | Source) -> str:
    return one.name or (str(one.inputs) if isinstance(one, Source) else "scene")


def _pick(options: SegmentKeywords, names: frozenset[str] | Mapping[str, object]) -> dict:  # type: ignore[type-arg]
    return {key: value for key, value in options.items() if key in names}


def _refuse_same_folder(scenes: Sequence[Scene], out: Path) -> None:
    seen: dict[str, Scene] = {}
    for scene in scenes:
        # Some disks hold names that differ only in case to be the same.
        other = seen.setdefault(scene.name.casefold(), scene)
        if other is not scene:
            raise OptionError(
                f"{other.bands[0].path} and {scene.bands[0].path} would both go to "
                f"{out / scene.name}; segment them into different folders, or rename one"
            )
