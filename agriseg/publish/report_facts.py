"""What a report says in words and tables beside its maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from agriseg.errors import redacted
from agriseg.html_page import notes, table
from agriseg.publish.words import area_words, length_words, percent
from agriseg.raster.remote import file_name
from agriseg.raster.scene import FACTS
from agriseg.runs import Run

__all__ = ["NONE", "facts", "how_made", "model_facts", "title_words", "what_to_know"]

NONE = "–"  # noqa: RUF001  an en dash, for what is not known
_SMALL_HA = 0.1
_LABELS = {
    "date": "Date",
    "client": "Client",
    "farm": "Farm",
    "field": "Field",
    "crop": "Crop",
    "growth_stage": "Growth stage",
}
# Where a person looks first.
_ORDER = ("farm", "field", "crop", "growth_stage", "date", "client")
_VIGOUR = (
    "What is measured from above is vigour, which is how much green leaf there is, and not health. "
    "Drought, disease, lack of a nutrient, a thin stand and late sowing look alike. Go and look at "
    "the places that stand out before anything is sprayed or spread."
)


def title_words(run: Run) -> str:
    """What the report is called."""
    about = run.record.get("about", {})
    return str(about.get("field") or run.record["scene"]["name"])


def facts(run: Run) -> Iterable[str]:
    """The head of the page: title, what there is of each class, and what is known of the scene."""
    record = run.record
    about = {key: str(text) for key, text in record.get("about", {}).items() if text}
    yield f"<h1>{escape(title_words(run))}</h1>"
    yield f'<p class="lead">{escape(_summary(run))}</p>'
    rows = [(_LABELS[key], about[key]) for key in _ORDER if key in about]
    rows += [
        (key.replace("_", " ").capitalize(), text)
        for key, text in about.items()
        if key not in FACTS
    ]
    rows.append(("Image", str(record["scene"]["name"])))
    gsd = record.get("gsd_m")
    if gsd:
        rows.append(("Pixel", length_words(math.sqrt(gsd[0] * gsd[1]))))
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in rows
    )
    yield f'<dl class="facts">{cells}</dl>'


def _summary(run: Run) -> str:
    """How much of what there is, in a sentence."""
    rows = run.record["classes"]
    total = sum(row["area_ha"] or 0.0 for row in rows)
    shares = [f"{percent(row['percent'])} {row['name']}" for row in rows if row["pixels"]]
    if not shares:
        return "Nothing of this image could be mapped."
    of = f"{area_words(total, in_m2=total < _SMALL_HA)} were mapped: " if total else ""
    return f"{of}{_listed(shares)}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def what_to_know(run: Run, missing: Sequence[str]) -> Iterable[str]:
    """Warnings first, then notes; each once."""
    record = run.record
    yield "<h2>What to know</h2>"
    yield f'<p class="note">{escape(_VIGOUR)}</p>'
    warnings = [str(line) for line in record.get("warnings", ())]
    skipped = record.get("unreadable", ())
    if skipped:
        warnings.append(
            f"{len(skipped)} part{'s' if len(skipped) > 1 else ''} of the image could not be read, "
            "and nothing is known there."
        )
    caution = record["model"].get("card", {}).get("caution")
    others = [*record.get("notes", ()), *record.get("fields", {}).get("notes", ()), *missing]
    lines = [*warnings, *map(str, others), *([str(caution)] if caution else [])]
    yield from notes([redacted(line) for line in dict.fromkeys(lines)])


def model_facts(run: Run) -> Iterable[str]:
    """The model's card: what it is, what it learned from, how good it is, where to be careful."""
    model = run.record["model"]
    card = model.get("card", {})
    yield "<h2>The model behind the map</h2>"
    training = card.get("training", {})
    gsd = card.get("gsd_m")
    rows = [
        ("Name", model["name"]),
        ("What it does", card.get("description")),
        ("Trained on", training.get("data") if isinstance(training, Mapping) else None),
        (
            "Made for pixels of",
            f"{length_words(gsd[0])} to {length_words(gsd[1])}" if gsd else None,
        ),
        ("Licence", card.get("licence")),
        ("Be careful", card.get("caution")),
    ]
    yield _plain([(name, str(text)) for name, text in rows if text])
    yield from _scores(card.get("scores"))


def _scores(scores: object) -> Iterable[str]:
    """How good it is on each set of pictures that it was measured on."""
    if not isinstance(scores, Mapping) or not scores:
        yield "<p>How good it is was not measured, or is not told by the model.</p>"
        return
    sets = [(str(name), _ious(one)) for name, one in scores.items()]
    classes = list(dict.fromkeys(key for _, one in sets for key in one if key != "mean"))
    if not classes:
        yield _plain([(str(name), str(one)) for name, one in scores.items()])
        return
    yield (
        "<p>How well it did on pictures that it had not learned from. The figure is the IoU, the "
        "part that map and truth have in common of all that either calls so: 1 is perfect, 0 is "
        "all wrong. On fields unlike these expect less.</p>"
    )
    rows = [
        [escape(name), *(_score(one.get(key)) for key in ("mean", *classes))] for name, one in sets
    ]
    body = table(("measured on", "mean", *classes), rows)
    yield body.replace("<table>", '<table class="wide">', 1)


def _ious(one: object) -> Mapping[str, Any]:
    found = one.get("iou") if isinstance(one, Mapping) else None
    return {str(k): v for k, v in found.items()} if isinstance(found, Mapping) else {}


def _score(value: object) -> str:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.2f}" if is_number else NONE


def how_made(run: Run) -> Iterable[str]:
    """What it takes to make the same map again."""
    record, model = run.record, run.record["model"]
    scene = record["scene"]
    seconds = sum(float(value) for value in record.get("seconds", {}).values())
    roles = dict.fromkeys(str(one["role"]) for one in scene["bands"] if one.get("role"))
    radiometry = scene.get("radiometry", {})
    said = {k: v for k, v in record.get("options", {}).items() if v not in (None, False, "")}
    grid = scene["grid"]
    rows = [
        ("Files", ", ".join(dict.fromkeys(map(file_name, scene["files"])))),
        ("Bands", ", ".join(roles)),
        ("Values", f"{radiometry.get('level', '')}: {radiometry.get('evidence', '')}"),
        ("Size", f"{grid['width']:,} x {grid['height']:,} pixels"),
        ("Program", f"agriseg {record.get('agriseg', '')}"),
        ("Model", f"{model['name']}, fingerprint {model.get('fingerprint', '')}"),
        ("Computed with", ", ".join(_engine(model))),
        ("Options", ", ".join(f"{k.replace('_', ' ')} {_option(v)}" for k, v in said.items())),
        ("Time taken", f"{seconds:,.0f} s" if seconds >= 1 else "less than a second"),
        ("Finished", str(record.get("finished", ""))),
    ]
    yield "<h2>How it was made</h2>"
    yield _plain([(name, redacted(text)) for name, text in rows if text])


def _engine(model: Mapping[str, Any]) -> list[str]:
    known = [str(model[key]) for key in ("engine", "device", "precision") if model.get(key)]
    threads = model.get("threads")
    return known + ([f"{threads} thread{'s' if threads != 1 else ''}"] if threads else [])


def _option(value: object) -> str:
    return "yes" if value is True else str(value)


def _plain(rows: Sequence[tuple[str, str]]) -> str:
    """Names and texts, without a heading."""
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>\n" for name, text in rows
    )
    return f'<table class="plain">\n{cells}</table>'
