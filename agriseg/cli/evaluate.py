"""`agriseg evaluate`: how good a model is on labelled data."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from agriseg.cli import options as opt
from agriseg.errors import AgrisegError, OptionError

__all__ = ["evaluate"]

_SCORING, _MODEL = "Scoring", "Model"


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Model file, crop-weed, or index-baseline.", metavar="MODEL")
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="YAML file with legend and data, a training config, a simulated folder, or a "
            "raster with --labels.",
            metavar="DATA",
        ),
    ],
    against: Annotated[
        str | None, typer.Argument(help="Another model, side by side.", metavar="[MODEL2]")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Label raster or vector file of DATA.", rich_help_panel="Reading"),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="Only what is for train, validation or test, as DATA or its training say.",
            rich_help_panel="Reading",
        ),
    ] = None,
    base: opt.Base = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Score a class as another: crop=plant,weed=plant. Repeatable.",
            metavar="CLASS=CLASS",
            rich_help_panel=_SCORING,
        ),
    ] = None,
    tolerance_m: Annotated[
        float | None,
        typer.Option(
            "--tolerance-m",
            help="How far borders may be off. Default: two pixels.",
            metavar="METRES",
            show_default=False,
            rich_help_panel=_SCORING,
        ),
    ] = None,
    gsd: Annotated[
        str | None,
        typer.Option(
            "--gsd",
            help="Do it again at these pixel sizes, to see quality against time: 0.01,0.02,0.04.",
            metavar="METRES,...",
            rich_help_panel=_SCORING,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="Write evaluation.json and evaluation.png here.", show_default=False
        ),
    ] = None,
    calibrated: Annotated[
        str | None,
        typer.Option(
            "--save-calibrated",
            help="Write MODEL here with the fitted temperature. DATA must be validation data.",
            metavar="FILE",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    into_card: Annotated[
        str | None,
        typer.Option(
            "--into-card",
            help="Keep the scores in the card of the file MODEL, under this name of the data.",
            metavar="NAME",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    chip: opt.Chip = None,
    overlap: opt.Overlap = None,
    batch: Annotated[
        int | None, typer.Option(help="Chips predicted at once.", rich_help_panel=_MODEL)
    ] = None,
    engine: opt.Engine = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = None,
    tta: Annotated[
        str,
        typer.Option(help="Test-time augmentation: none, flips or turns.", rich_help_panel=_MODEL),
    ] = "none",
    ignore_gsd: Annotated[
        bool,
        typer.Option(
            "--ignore-gsd",
            help="Use the model far outside its range of pixel sizes.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    trust_model: Annotated[
        bool,
        typer.Option(
            "--trust-model",
            help="Let a model file name Python code to import. Only for files you trust.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
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

    watcher = None if quiet else Watching()
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
            gsd_m=_sizes(gsd),
            watcher=watcher,
            tolerance_m=tolerance_m,
            chip=chip,
            overlap=overlap,
            ignore_gsd=ignore_gsd,
            batch=batch,
            engine=engine,
            device=device,
            precision=precision,
            threads=threads,
            tta=tta,
            trust=trust_model,
        )
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise typer.Exit(130) from None
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
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    elif not quiet:
        written = [] if out is None else [f"{out}/evaluation.json", "evaluation.png"]
        print_evaluation(found, [*written, *kept])
    if fault is not None:
        raise fault


def renamed_by(texts: Sequence[str]) -> Mapping[str, str]:
    """What `--map crop=plant,weed=plant` says.

    Raises:
        OptionError: It is not that, or a class is given twice.
    """
    found: dict[str, str] = {}
    for text in ",".join(texts).split(",") if texts else []:
        name, equals, target = (word.strip() for word in text.partition("="))
        if not (name and equals and target):
            raise OptionError(
                f"--map {text!r}: expected are pairs such as crop=plant, with commas between"
            )
        if found.get(name, target) != target:
            raise OptionError(f"--map {name}: it is scored as {found[name]} and as {target}")
        found[name] = target
    return found


def _sizes(text: str | None) -> list[float]:
    return [] if text is None else opt.numbers(text, "--gsd", text.count(",") + 1) or []
