"""`agriseg info`: what a raster or a model is, and whether the two fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.cli import options as opt
from agriseg.cli.answer import Answer
from agriseg.cli.groups import Reading
from agriseg.cli.screen import console, new_table
from agriseg.cli.words import area_words, number_words, size_words

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.models import ModelCard
    from agriseg.raster import Scene, SceneReport

__all__ = ["info"]

# The others are pickles, which `read_card` refuses in words of its own.
_MODEL_ENDINGS = (".safetensors", ".onnx", ".pt", ".pth", ".ckpt")


def info(
    what: Annotated[
        list[str],
        opt.argument(
            "RASTER|MODEL",
            "A raster, a folder of single-band rasters, red=R.tif nir=N.tif, or a model.",
        ),
    ],
    *,
    model: opt.Model = None,
    reading: Reading,
    answer: Answer,
) -> None:
    """Tell what a raster is: size, bands, values, and traps with their remedies.

    Quick on rasters of any size. With --model it says whether the two fit. Given a model file, it
    tells what the model needs and what it makes.

    Examples:

    - `agriseg info field.tif`

    - `agriseg info field.tif --bands blue,green,red,rededge,nir -m weeds.safetensors`

    - `agriseg info weeds.safetensors`
    """
    screen = console(stderr=False)
    if len(what) == 1 and _is_model(what[0]):
        card = _card(what[0])
        answer.give(json.loads(card.to_json()))
        if answer.prints:
            _print_card(screen, card)
        return
    from agriseg.raster import describe_scene, find_sources

    found = []
    for source in find_sources(what):
        scene = source.open(**reading.keywords())
        report = describe_scene(scene)
        fit = None if model is None else _fit(scene, model)
        found.append({**report.to_dict(), **({} if fit is None else {"model_fit": fit})})
        if answer.prints:
            _print_scene(screen, report)
            if fit is not None:
                _print_fit(screen, fit)
    answer.give(found[0] if len(found) == 1 else found)


def _is_model(text: str) -> bool:
    from agriseg.models import known_models

    return text in known_models() or text.lower().endswith(_MODEL_ENDINGS)


def _card(model: str) -> ModelCard:
    from agriseg.models import BASELINE, load_model, read_card

    return load_model(model).card if model == BASELINE else read_card(model)


def _fit(scene: Scene, model: str) -> dict[str, Any]:
    from agriseg.errors import AgrisegError
    from agriseg.models import BASELINE, adapt, check_fit, load_model

    card = _card(model)
    try:
        if model == BASELINE:  # it chooses its bands by the scene
            card = adapt(load_model(model), scene).card
        notes = check_fit(card, scene)
    except AgrisegError as error:
        return {"model": card.name, "fits": False, "notes": [str(error)]}
    return {"model": card.name, "fits": True, "notes": notes}


def _print_scene(screen: Console, report: SceneReport) -> None:
    from rich.markup import escape

    screen.print(f"[bold]{escape(report.name)}[/bold]")
    size = f"{report.width} x {report.height} pixels"
    if report.gsd_m and report.area_ha is not None:
        x, y = report.gsd_m
        # A thousandth apart is how rounding looks, not how a sensor looks.
        square = abs(x - y) < 1e-2 * max(x, y)
        pixel = size_words(x) if square else f"{size_words(x)} x {size_words(y)}"
        size += f" of {pixel}, {area_words(report.area_ha * 1e4)}"
    rows = {
        "size": f"{size}, about {report.valid_percent:.3g} % valid",
        "grid": f"{report.crs or 'no coordinate system'}, {report.orientation}",
        "file": f"{report.format}, {report.dtype}",
        "values": f"{report.level}: {report.scaling}",
    }
    for key, text in rows.items():
        screen.print(f"  {key:8}{escape(text)}")
    headings = ("band", "role", "nm", "1 %", "median", "99 %", "because")
    made = new_table(*headings, left=("role", "because"), indent=2)
    for band in report.bands:
        made.add_row(
            str(band.index),
            band.role or "?",
            "" if band.wavelength_nm is None else f"{band.wavelength_nm:.0f}",
            *(number_words(value) for value in (band.p1, band.p50, band.p99)),
            escape(band.evidence),
        )
    screen.print(made)
    for text in report.warnings:
        screen.print(f"  [yellow]warning[/yellow] {escape(text)}")


def _print_fit(screen: Console, fit: dict[str, Any]) -> None:
    from rich.markup import escape

    verdict = "[green]fits[/green]" if fit["fits"] else "[red]does not fit[/red]"
    screen.print(f"  model   {escape(fit['model'])} {verdict}")
    for note in fit["notes"]:
        screen.print(f"          {escape(note)}")


def _print_card(screen: Console, card: ModelCard) -> None:
    from rich.markup import escape

    screen.print(f"[bold]{escape(card.name)}[/bold]  {escape(card.description)}")
    gsd = "any" if card.gsd_m is None else " to ".join(size_words(value) for value in card.gsd_m)
    rows = {
        "network": f"{card.architecture} {_pairs(card.options)}".strip(),
        "chips": f"{card.chip_size} pixels, overlap {card.overlap}, multiples of {card.stride}",
        "pixels": f"{gsd}; needs {card.radiometry}"
        if card.radiometry != "any"
        else f"{gsd}; any radiometry",
        "licence": card.licence or "not stated",
        **({"caution": card.caution} if card.caution else {}),
        "trained": _plain_pairs(card.training) or "not stated",
        "scores": _score_words(card.scores) or "not stated",
    }
    for key, text in rows.items():
        screen.print(f"  {key:8}{escape(text)}")
    made = new_table("band", "nm", "mean", "std", "needed", left=("band",), indent=2)
    for band in card.bands:
        made.add_row(
            band.role,
            "" if band.wavelength_nm is None else f"{band.wavelength_nm:.0f}",
            number_words(band.mean),
            number_words(band.std),
            "yes" if band.required else "no",
        )
    screen.print(made)
    for label in card.legend:
        screen.print(f"  [{label.color}]██[/] {label.value} {escape(label.name)}")


def _pairs(values: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in dict(values).items())


def _plain_pairs(values: Any) -> str:
    """What fits into a line; the whole of it stands in the JSON."""
    return _pairs({k: v for k, v in dict(values).items() if k != "digest" and _is_plain(v)})


def _score_words(scores: Any) -> str:
    """Scores as training writes them, IoU by class with the interval of the mean; others as is."""
    found = []
    for name, values in dict(scores).items():
        if not (isinstance(values, dict) and isinstance(values.get("iou"), dict)):
            found.append(_pairs({name: values}))
            continue
        each = {k: "-" if v is None else f"{v:.3f}" for k, v in values["iou"].items()}
        low, high = values.get("iou_95", {}).get("mean", (None, None))
        within = "" if low is None or high is None else f" (mean within {low:.3f} to {high:.3f})"
        found.append(f"{name} IoU {_pairs(each)}{within}")
    return ("\n" + 10 * " ").join(found)  # under each other


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
