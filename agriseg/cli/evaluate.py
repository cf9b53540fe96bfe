"""`agriseg evaluate`: how good a model is on labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.complete import among, ending
from agriseg.cli.groups import Predicting
from agriseg.errors import AgrisegError

__all__ = ["evaluate"]

_SCORING = "Scoring"


def evaluate(
    model: opt.ModelFile,
    data: Annotated[
        str,
        opt.argument(
            "DATA",
            "YAML file with legend and data, a training config, a simulated folder, or a raster "
            "with --labels.",
        ),
    ],
    against: Annotated[
        str | None, opt.argument("MODEL2", "Another model, side by side.", among(*opt.MODELS))
    ] = None,
    *,
    out: Annotated[
        str | None, opt.to_folder("Write evaluation.json and evaluation.png here.")
    ] = None,
    labels: Annotated[
        str | None,
        opt.value("--labels", "FILE", "Label raster or vector file of DATA.", opt.READING),
    ] = None,
    part: Annotated[
        str | None,
        opt.value(
            "--part",
            "NAME",
            "Only what is for train, validation or test, as DATA or its training say.",
            opt.READING,
            among("train", "validation", "test"),
        ),
    ] = None,
    base: opt.Base = None,
    mapping: Annotated[
        list[str] | None,
        opt.value(
            "--map",
            "CLASS=CLASS",
            "Score a class as another: crop=plant,weed=plant. Repeatable.",
            _SCORING,
        ),
    ] = None,
    tolerance_m: Annotated[
        float | None,
        opt.value(
            "--tolerance-m", "METRES", "How far borders may be off. Default: two pixels.", _SCORING
        ),
    ] = None,
    gsd: Annotated[
        str | None,
        opt.value(
            "--gsd",
            "METRES,...",
            "Do it again at these pixel sizes, to see quality against time: 0.01,0.02,0.04.",
            _SCORING,
        ),
    ] = None,
    calibrated: Annotated[
        str | None,
        opt.value(
            "--save-calibrated",
            "FILE",
            "Write MODEL here with the fitted temperature. DATA must be validation data.",
            opt.MODEL,
            ending((".safetensors",)),
        ),
    ] = None,
    into_card: Annotated[
        str | None,
        opt.value(
            "--into-card",
            "NAME",
            "Keep the scores in the card of the file MODEL, under this name of the data.",
            opt.MODEL,
        ),
    ] = None,
    predicting: Predicting,
    answer: Answer,
) -> None:
    """Measure how good a model is on labelled data, and where it fails.

    The map is made as `agriseg segment` makes it, pixel by pixel, and compared with the labels;
    what nobody labelled is left out. Intervals are drawn from whole scenes, or from blocks where
    there are few.

    Examples:

    - `agriseg evaluate weeds.safetensors fields.yaml -o out`

    - `agriseg evaluate weeds.safetensors wheat.yaml --map crop=plant,weed=plant`

    - `agriseg evaluate new.safetensors fields.yaml old.safetensors --part test`

    - `agriseg evaluate out/beet/beet.safetensors beet.yaml --part validation`
    """
    from agriseg.cli.evaluation_table import Watching, print_evaluation
    from agriseg.evaluation import evaluate as run_evaluate
    from agriseg.evaluation.store import save_calibrated, save_scores
    from agriseg.models.file import check_model_place

    if calibrated is not None:
        check_model_place(Path(calibrated))
    watcher = None if answer.quiet else Watching()
    try:
        found = run_evaluate(
            model,
            data,
            out,
            against=against,
            labels=labels,
            renamed=renamed_by(mapping or []),
            part=part,
            base=base,
            gsd_m=said.numbers(gsd, "--gsd") or [],
            watcher=watcher,
            tolerance_m=tolerance_m,
            **predicting.keywords(),
        )
    finally:
        if watcher is not None:
            watcher.close()
    kept: list[str] = []
    fault: AgrisegError | None = None
    try:
        if into_card is not None:
            kept.append(str(save_scores(model, found, into_card)))
        if calibrated is not None:
            kept.append(str(save_calibrated(model, found, calibrated)))
    except AgrisegError as error:
        fault = error  # what was measured is told all the same
    answer.give(found.to_dict())
    if answer.prints:
        written = [] if out is None else [f"{out}/evaluation.json", "evaluation.png"]
        print_evaluation(found, [*written, *kept])
    if fault is not None:
        raise fault


def renamed_by(texts: Sequence[str]) -> dict[str, str]:
    """What `--map crop=plant,weed=plant` says.

    Raises:
        OptionError: It is not that, or a class is given twice.
    """
    parts = [part for text in texts for part in text.split(",")]
    return said.pairs(parts, "--map", "crop=plant, with commas between")
