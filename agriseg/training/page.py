"""The page at the end of a training: how good the model is, where it fails, what it is made of.

One HTML file with its pictures inside: it can be sent, printed, and opened in twenty years. It
holds no script and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from agriseg._version import __version__
from agriseg.evaluation import Evaluation
from agriseg.evaluation.page import evaluation_png
from agriseg.html_page import document, image, notes, swatch, table
from agriseg.labels.split import PARTS
from agriseg.labels.split_picture import draw_split
from agriseg.models import ModelCard
from agriseg.raster.whole_file import write_bytes
from agriseg.training.curves import curves_png
from agriseg.training.keeper import Row
from agriseg.training.plan import Plan

__all__ = ["Page", "write_page"]


@dataclass(frozen=True)
class Page:
    """What the page is made of.

    Args:
        plan: What was trained on.
        card: Of the model.
        parameters: How many weights it has.
        history: What was known at each validation.
        found: How good it is on whole validation scenes, where that is known.
        notes: What one should know of the scores.
    """

    plan: Plan
    card: ModelCard
    parameters: int
    history: Sequence[Row]
    found: Evaluation | None
    notes: tuple[str, ...] = ()


def write_page(page: Page, model: Path) -> Path:
    """Write report.html and split.png beside the model file.

    Raises:
        OutputError: They cannot be written.
    """
    picture = model.with_name("split.png")
    draw_split(page.plan.split, page.plan.survey, picture)
    parts = [
        *_head(page),
        *_scores(page),
        *_curves(page),
        *_data(page, picture.read_bytes()),
        *_use(page, model),
        *_settings(page, model),
    ]
    path = model.with_name("report.html")
    write_bytes(path, document(f"{page.card.name}: a trained model", parts))
    return path


# Sections -----------------------------------------------------------------------------------------


def _head(page: Page) -> Iterable[str]:
    card = page.card
    yield f"<h1>{escape(card.name)}</h1>"
    words = page.found.words if page.found is not None else "How good it is was not measured."
    yield f'<p class="lead">{escape(words)}</p>'
    if card.description:
        yield f"<p>{escape(card.description)}</p>"
    network = f"{card.architecture} {card.options.get('encoder_name', '')}".strip()
    start = card.training.get("start", page.plan.config.model.init)
    yield (
        f'<p class="pale">{escape(network)}, {page.parameters / 1e6:.1f} million weights, '
        f"from {escape(start)}; {escape(', '.join(map(_band, card.bands)))} to "
        f"{escape(', '.join(card.legend.names))}; {card.training['steps']:,} steps; agriseg "
        f"{escape(__version__)}</p>"
    )
    yield from notes(page.notes)


def _band(band: Any) -> str:
    return str(band.role) if band.required else f"{band.role} (may be missing)"


def _scores(page: Page) -> Iterable[str]:
    found = page.found
    if found is None:
        return
    yield "<h2>How good it is</h2>"
    scenes = "a scene" if len(found.scenes) == 1 else f"{len(found.scenes):,} scenes"
    yield (
        f"<p>Measured on {scenes} with {found.pixels.labelled:,} labelled pixels that it was not "
        "trained on, mapped as <code>agriseg segment</code> maps them. Intervals: 95 %, "
        f"{escape(found.unit.words)} drawn anew 1,000 times.</p>"
    )
    yield from notes((*([found.unit.caveat] if found.unit.caveat else []), *found.notes))
    headings = ("class", "IoU", "95 %", "precision", "recall", "F1", "labelled pixels")
    rows = []
    truth = found.confusion.sum(axis=1)
    for k, label in enumerate(found.matched.scored):
        iou = found.measures["iou"]
        values = [_figure(found.measures[n].value[k]) for n in ("precision", "recall", "f1")]
        rows.append(
            [
                swatch(label.color) + escape(label.name),
                _figure(iou.value[k]),
                _between(iou.low[k], iou.high[k]),
                *values,
                f"{int(truth[k]):,}",
            ]
        )
    mean = found.measures["mean_iou"]
    last = ["mean", _figure(mean.value), _between(mean.low, mean.high), "", "", "", ""]
    yield table(headings, rows, last)
    yield image(evaluation_png(found, heading=False), "Scores, mistakes, confidence, examples")


def _curves(page: Page) -> Iterable[str]:
    if not page.history:
        return
    yield "<h2>How it learned</h2>"
    if any(row.get("iou") for row in page.history):
        yield (
            "<p>Scores on a fixed set of validation chips; the weights with the best mean IoU are "
            "kept.</p>"
        )
    yield image(curves_png(page.history, page.card.legend), "Loss and IoU over the steps")


def _data(page: Page, split: bytes) -> Iterable[str]:
    plan, config = page.plan, page.plan.config
    yield "<h2>What it learned from</h2>"
    said = config.card.data or "The configuration does not say where the data come from."
    licence = page.card.licence or "not stated"
    yield f"<p>{escape(said)}</p>\n<p>Licence of the model: {escape(licence)}</p>"
    counts = plan.split.counts(plan.survey)
    names = [part for part in PARTS if counts[part][:-1].any()]
    rows = []
    for kind in range(len(plan.survey.totals) - 1):
        each = [f"{100 * counts[p][kind] / max(counts[p][:-1].sum(), 1):.1f} %" for p in names]
        rows.append([escape(plan.codes.name(kind)), *each])
    sums = [f"{counts[p][:-1].sum() / 1e6:,.2f} Mpixel" for p in names]
    yield table(("labelled", *names), rows, ["all", *sums])
    yield image(split, "Which pixels are for what", half=True)
    yield from notes(plan.notes)


def _use(page: Page, model: Path) -> Iterable[str]:
    plan = page.plan
    copy = model.with_name("config.yaml")
    yield "<h2>How to use it</h2>"
    yield (
        f"<pre>agriseg segment FIELD.tif -o OUT --model {escape(str(model))}\n"
        f"agriseg evaluate {escape(str(model))} {escape(str(copy))} "
        f"--base {escape(str(plan.base))} --part validation</pre>"
    )
    gsd = page.card.gsd_m
    if gsd is not None:
        yield f"<p>For pixels of {_metres(gsd[0])} to {_metres(gsd[1])}.</p>"
    if page.card.radiometry == "reflectance":
        yield "<p>Pixels must be reflectance, or say how it follows from them.</p>"


def _settings(page: Page, model: Path) -> Iterable[str]:
    yield "<h2>Its configuration</h2>"
    text = model.with_name("config.yaml").read_text(encoding="utf-8")
    yield f"<pre>{escape(text)}</pre>"


# Pieces -------------------------------------------------------------------------------------------


def _figure(value: Any) -> str:
    return f"{float(value):.3f}" if np.isfinite(value) else "-"


def _between(low: Any, high: Any) -> str:
    return f"{low:.3f} to {high:.3f}" if np.isfinite(low) and np.isfinite(high) else "-"


def _metres(value: float) -> str:
    for limit, name, factor in ((1.0, "m", 1.0), (0.01, "cm", 100.0), (0.0, "mm", 1000.0)):
        if value >= limit:
            return f"{value * factor:.3g} {name}"
    return f"{value:g} m"
