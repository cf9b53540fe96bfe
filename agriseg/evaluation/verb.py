"""The verb `evaluate`: map labelled scenes as `segment` does, and compare."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Unpack

from agriseg.errors import LabelError
from agriseg.evaluation.grids import at_gsd
from agriseg.evaluation.legends import match_legends
from agriseg.evaluation.passes import EvaluateKeywords, Watcher, Work, run_pass
from agriseg.evaluation.result import Evaluation, make_folder
from agriseg.evaluation.summary import compared, series_of
from agriseg.labels import Codes, LabelledScene, Material, chosen
from agriseg.models import Predictor, check_predictor, fingerprint_of, load_model

__all__ = ["EvaluateKeywords", "LabelledData", "Watcher", "evaluate", "evaluate_folds"]


class LabelledData(Protocol):
    """Labelled scenes, such as `agriseg.labels` opens them."""

    @property
    def scenes(self) -> Sequence[LabelledScene]: ...

    @property
    def codes(self) -> Codes: ...

    @property
    def notes(self) -> Sequence[str]: ...


_HOW = ("tolerance_m", "chip", "overlap", "ignore_gsd")


def evaluate(
    model: str | Path | Predictor,
    data: LabelledData | str | Path,
    out: str | Path | None = None,
    *,
    against: str | Path | Predictor | None = None,
    labels: str | Path | None = None,
    renamed: Mapping[str, str] | None = None,
    part: str | None = None,
    base: str | Path | None = None,
    gsd_m: Sequence[float] = (),
    watcher: Watcher | None = None,
    **options: Unpack[EvaluateKeywords],
) -> Evaluation:
    """Measure how good a model is on labelled scenes; they stream, whatever their size.

    The map is the one that `segment` makes, pixel by pixel. What nobody labelled is left out.

    Args:
        model: A model file, the name of a built-in model, or any object with the `Predictor`
            protocol.
        data: Labelled scenes, or what `agriseg.labels.read_data` reads them from: a YAML file with
            `legend` and `data`, the config of a training, a simulated folder, or a scene.
        out: Where evaluation.json and evaluation.png go; None: nothing is written.
        against: Another model, on the same pixels.
        labels: The labels of `data`, where that is a scene.
        renamed: Classes of model or data, by name, to the class that they are scored as, such as
            `{"crop": "plant", "weed": "plant"}`; others meet by equal names.
        part: Only what is for "train", "validation" or "test": scenes that are set apart so, or of
            the config of a training, the scenes and blocks that it keeps for that.
        base: The folder that paths in a YAML file start from; by default the file's own.
        gsd_m: Pixel sizes in metres, at which it is done again.
        watcher: Hears of progress.
        **options: `tolerance_m`: how far borders may be off; by default two pixels. `chip, overlap,
            ignore_gsd` as in `segment`. `engine, device, precision, batch, threads, tta, trust` as
            in `load_model`.

    Raises:
        LabelError: Labels cannot be used, or the classes of model and data do not meet.
        AgrisegError: Something else that the user can mend.
    """
    unknown = sorted(set(options) - EvaluateKeywords.__optional_keys__)
    if unknown:
        raise TypeError(f"evaluate() has no option {unknown[0]!r}")
    one = _predictor(model, options)
    other = None if against is None else _predictor(against, options)
    material = _material(data, one, labels=labels, part=part, base=base)
    scenes = tuple(material.scenes)
    if not scenes:
        raise LabelError("the data hold no labelled scene; give at least one")
    # Every pixel size is checked before the first pass.
    sizes = [at_gsd(scenes, size) for size in gsd_m]
    both = {name for each in (one, other) if each is not None for name in each.card.legend.names}

    def work(predictor: Predictor) -> Work:
        matched = match_legends(predictor.card.legend, material.codes, renamed, both)
        return Work(predictor, scenes, matched, options, None, watcher)

    works = [work(each) for each in (one, other) if each is not None]
    if out is not None:
        make_folder(out)  # before hours of mapping, not after
    evaluations = compared([run_pass(each) for each in works], tuple(material.notes))
    found = evaluations[0]
    if sizes:
        found = replace(found, series=series_of(works[0], sizes, gsd_m, found))
    if out is not None:
        found.save(out)
    return found


def evaluate_folds(
    parts: Sequence[tuple[str | Path | Predictor, Sequence[LabelledScene]]],
    codes: Codes,
    out: str | Path | None = None,
    *,
    watcher: Watcher | None = None,
    notes: Sequence[str] = (),
    **options: Unpack[EvaluateKeywords],
) -> Evaluation:
    """Measure models of one kind as one, each on scenes of its own: a cross-validation.

    Args:
        parts: Models with one legend, and the scenes of each.
        codes: What the labels of all scenes mean.
        out, watcher: As in `evaluate`.
        notes: What is to be said with it.
        **options: As in `evaluate`.

    Raises:
        AgrisegError: As `evaluate`.
    """
    models = [_predictor(model, options) for model, _ in parts]
    scenes = tuple(one for _, some in parts for one in some)
    each = tuple(
        model for model, (_, some) in zip(models, parts, strict=True) for _ in range(len(some))
    )
    if out is not None:
        make_folder(out)
    matched = match_legends(models[0].card.legend, codes, None, set(models[0].card.legend.names))
    work = Work(models[0], scenes, matched, options, None, watcher, each)
    found = compared([run_pass(work)], tuple(notes))[0]
    prints = "\n".join(fingerprint_of(model) for model in models)
    found = replace(
        found,
        model=f"{found.model} in {len(models)} folds",
        fingerprint=hashlib.sha256(prints.encode()).hexdigest(),
    )
    if out is not None:
        found.save(out)
    return found


# What is given ------------------------------------------------------------------------------------


def _predictor(model: str | Path | Predictor, options: EvaluateKeywords) -> Predictor:
    if not isinstance(model, str | Path):
        return check_predictor(model)
    said: dict[str, Any] = {key: value for key, value in options.items() if key not in _HOW}
    return load_model(model, **said)


def _material(
    data: LabelledData | str | Path,
    predictor: Predictor,
    *,
    labels: str | Path | None,
    part: str | None,
    base: str | Path | None,
) -> LabelledData:
    if not isinstance(data, str | Path):
        if part is None:
            return data
        parts = getattr(data, "parts", ())
        return chosen(Material(tuple(data.scenes), data.codes, tuple(data.notes), parts), part)
    from agriseg.labels.read_data import read_data

    legend = predictor.card.legend
    if Path(data).is_dir():
        # A simulated folder states its own classes.
        return read_data(data, labels=labels, part=part)
    if labels is not None:
        try:
            return read_data(data, labels=labels, part=part)
        except LabelError:  # they state none: those of the model are meant
            pass
    return read_data(data, labels=labels, legend=legend, part=part, base=base)
