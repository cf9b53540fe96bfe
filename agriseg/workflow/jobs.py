"""From what a user gives to jobs: some checked before the first of them starts, others meanwhile.

A hundred thousand scenes take hours to open. So all of them are opened first only where they are
few; of many some that are spread over all of them are looked at, which tells a fault that all have
in common, and the others are opened in the background, some hundred ahead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, Unpack, cast

import rasterio

from agriseg.errors import AgrisegError, OptionError
from agriseg.models import LoadOptions, Predictor, default_for, default_model, load_model
from agriseg.pipeline import Failed, Job, SegmentOptions, prepare, quiet, reserve
from agriseg.raster import Inputs, Scene, SceneOptions, Source, find_sources, narrow
from agriseg.raster.opener import is_local
from agriseg.raster.source import gdal_settings
from agriseg.raster.sources import CATALOGUES, TABLES
from agriseg.raster.sources_files import is_pattern
from agriseg.runs.batch import earlier_names
from agriseg.threads import cores, in_order, in_threads

__all__ = ["Given", "Jobs", "Load", "SegmentKeywords", "chosen_model", "jobs_for"]

_LOG = logging.getLogger(__name__)

Given = Inputs | Scene | Source | Sequence[Inputs | Scene | Source]
"""What `segment` takes for its scenes."""


class Load(Protocol):
    """Loads a model, as `load_model` does."""

    def __call__(self, name: str | Path, /, **options: Unpack[LoadOptions]) -> Predictor: ...


# So many scenes are opened before the first of them starts, and ahead of those under way: a job
# takes some 30 KB.
_FIRST, _AHEAD = 16, 500
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
    load: Load = load_model,
) -> Jobs:
    """What is to be done for each scene.

    Args:
        inputs: Of the verb.
        out: Each scene's folder will be in it.
        model: Of the verb.
        options: Of the verb.
        verb: Its name, for messages; "segment" makes the folders.
        load: Loads a model that is given by its name.

    Raises:
        AgrisegError: The one scene that is given, or none of them, can be segmented.
    """
    unknown = sorted(set(options) - SegmentKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"{verb}() has no option {unknown[0]!r}")
    many, scenes = _listed(inputs, out)
    if options.get("name") and len(scenes) > 1:
        raise OptionError("--name is for one scene; several were given")
    scenes = [_named(one, options) for one in scenes]
    if verb == "segment":
        _refuse_same_folder(scenes, out)
    models = _Models(options, load)
    if model is not None:
        models.of(model)  # before anything is opened
    return Jobs(many, scenes, _Maker(out, model, models, options, verb == "segment"))


class _Maker:
    """Makes a job of a scene, in any thread."""

    def __init__(
        self,
        out: Path,
        model: str | Path | Predictor | None,
        models: _Models,
        options: SegmentKeywords,
        writes: bool,
    ) -> None:
        self._out, self._model, self._models, self._options = out, model, models, options
        self._how = SegmentOptions(**_pick(options, SegmentOptions.__annotations__))
        self._settings, self._writes = gdal_settings(), writes

    def __call__(self, one: Scene | Source) -> Job | Failed:
        try:
            with rasterio.Env(**self._settings):
                return self._made(one)
        except AgrisegError as error:
            return Failed(_name_of(one), error)

    def _made(self, one: Scene | Source) -> Job:
        scene, chosen, notes = _opened(one, self._options), self._model, _NO_NOTES
        if chosen is None:
            chosen, notes = default_for(scene, ignore_gsd=self._how.ignore_gsd)
        predictor = self._models.of(chosen, stands_in=bool(notes))
        job = prepare(scene, predictor, self._out / scene.name, self._how, notes=notes)
        if self._writes:
            reserve([job])
        return job


class Jobs:
    """The scenes of one call, in their order, and a job for each when its turn comes.

    Iterating gives a job for each scene, or why there is none; the latter as soon as that is known.

    Args:
        are_many: Whether a list is to be given back: the inputs may mean many scenes.
        scenes: All of them.
        make: Makes the job of one.

    Raises:
        AgrisegError: None of the scenes that are looked at first can be segmented.
    """

    def __init__(self, are_many: bool, scenes: Sequence[Scene | Source], make: _Maker) -> None:
        self.are_many = are_many
        self._scenes, self._make = scenes, make
        self.names = [_name_of(one) for one in scenes]
        self.keys = {one.name: one.key for one in scenes if isinstance(one, Source) and one.name}
        count = len(scenes)
        places = [count * k // _FIRST for k in range(_FIRST)] if count > _FIRST else range(count)
        with quiet():
            found = in_threads(self._at, places, cores(len(places)), "open")
            self._first = dict(found)
        failed = [job for job in self._first.values() if isinstance(job, Failed)]
        if len(failed) == len(self._first):
            raise failed[0].error

    @property
    def first(self) -> list[Job]:
        """Those that are opened already: all of a few, of more some that are spread over all."""
        return [job for job in self._first.values() if isinstance(job, Job)]

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Generator[Job | Failed, None, None]:
        known = {place for place, job in self._first.items() if isinstance(job, Failed)}
        failed: SimpleQueue[Failed] = SimpleQueue()

        def made(place: int) -> Job | None:
            job = self._first.pop(place, None) or self._at(place)
            if isinstance(job, Job):
                return job
            failed.put(job)
            return None

        # First what is known already, so that it can be mended while others are segmented.
        yield from [job for job in self._first.values() if isinstance(job, Failed)]
        places = [place for place in range(len(self)) if place not in known]
        threads = cores(4)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="agriseg-open")
        with closing(in_order(pool, made, places, threads, _AHEAD)) as opened:
            for _, job in opened:
                while not failed.empty():
                    yield failed.get()
                if job is not None:
                    yield job

    def check_room(self) -> None:
        """See that there is room for the results of all scenes, as far as they are known.

        Raises:
            OutputError: The disk is too small for scenes that are opened.
        """
        reserve(self.first)
        if len(self._first) == len(self):
            return
        for job in self.first[:1]:
            mean = sum(job.disk_bytes for job in self.first) / len(self.first)
            needed, free = mean * len(self), job.folder.free_bytes()
            if needed > free:
                _LOG.warning(
                    "the results of %d scenes may need about %.2g GB, %s has %.2g GB left; scenes "
                    "for which there is no room fail, and once there is some the same command "
                    "goes on",
                    len(self), needed / 1e9, job.folder.path.parent, free / 1e9,
                )  # fmt: skip

    def _at(self, place: int) -> Job | Failed:
        return self._make(self._scenes[place])


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

    def __init__(self, options: SegmentKeywords, load: Load) -> None:
        self._options, self._load = options, load
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
                self._loaded[key] = _predictor(model, options, self._load)
            return self._loaded[key]


def _predictor(model: str | Path | Predictor, options: SegmentKeywords, load: Load) -> Predictor:
    said = _pick(options, LoadOptions.__optional_keys__)
    if isinstance(model, str | Path):
        return load(model, **cast("LoadOptions", said))
    if said:
        raise OptionError(
            f"{', '.join(sorted(said))}: a predictor was given, which has that decided; give these "
            "options to load_model"
        )
    return model


def _opened(given: Scene | Source, options: SegmentKeywords) -> Scene:
    said = _scene_options(options)
    if isinstance(given, Scene):
        if said:
            raise OptionError(
                f"{', '.join(sorted(said))}: an open scene was given, which has all that decided; "
                "give these options to open_scene"
            )
        scene = given
    else:
        scene = given.open(**said)
    return narrow(
        scene,
        bounds=options.get("bounds"),
        cutline=options.get("cutline"),
        gsd_m=options.get("gsd_m"),
    )


def _named(one: Scene | Source, options: SegmentKeywords) -> Scene | Source:
    """The scene with a name: that which the user says, or its own, for which it may be opened."""
    if isinstance(one, Scene):
        return one
    if name := options.get("name"):
        return replace(one, name=name)
    if one.name:
        return one
    try:
        return replace(one, name=one.open(**_scene_options(options)).name)
    except AgrisegError:
        return one  # of which is told when its turn comes


def _name_of(one: Scene | Source) -> str:
    return one.name or (str(one.inputs) if isinstance(one, Source) else "scene")


def _scene_options(options: SegmentKeywords) -> SceneOptions:
    return cast("SceneOptions", _pick(options, SceneOptions.__optional_keys__))


def _pick(options: SegmentKeywords, names: frozenset[str] | Mapping[str, object]) -> dict:  # type: ignore[type-arg]
    return {key: value for key, value in options.items() if key in names}


def _refuse_same_folder(scenes: Sequence[Scene | Source], out: Path) -> None:
    seen: dict[str, Scene | Source] = {}
    for scene in scenes:
        # Some disks hold names that differ only in case to be the same.
        other = seen.setdefault(_name_of(scene).casefold(), scene)
        if other is not scene:
            raise OptionError(
                f"{_place_of(other)} and {_place_of(scene)} would both go to "
                f"{out / _name_of(scene)}; segment them into different folders, or rename one"
            )


def _place_of(one: Scene | Source) -> str:
    if isinstance(one, Scene):
        return one.bands[0].path
    return one.inputs if isinstance(one.inputs, str) else next(iter(one.inputs.values()))
