"""What `agriseg evaluate` prints: progress to standard error, tables to standard output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from agriseg.cli.bar import Bar
from agriseg.cli.screen import console, new_table
from agriseg.cli.words import count_words, number_words, size_words

if TYPE_CHECKING:
    from rich.console import Console

    from agriseg.evaluation import Evaluation
    from agriseg.evaluation.measures import Measure
    from agriseg.evaluation.objects import SizeBin

__all__ = ["Watching", "print_evaluation"]

_COLUMNS = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("boundary_f1", "border F1"),
    ("boundary_iou", "border IoU"),
)


class Watching:
    """A bar on a terminal for each pass over the scenes."""

    def __init__(self) -> None:
        self._console = console()
        self._bar = Bar(self._console, "")

    def begin(self, what: str, pixels: int) -> None:
        self.close()
        self._bar = Bar(self._console, what)
        self._bar.start(pixels)

    def advance(self, pixels: int) -> None:
        self._bar.advance(pixels)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.close()


def print_evaluation(found: Evaluation, written: Sequence[str] = ()) -> None:
    """Print all tables."""
    screen = console(stderr=False)
    _head(screen, found)
    _classes(screen, found)
    _together(screen, found)
    _mistakes(screen, found)
    _objects(screen, found)
    if found.comparison is not None:
        _beside(screen, found)
    if found.series:
        _series(screen, found)
    for note in found.notes:
        screen.print(f"  [yellow]note[/yellow]    {escape(note)}")
    if written:
        screen.print(f"  done    {escape(', '.join(written))}")


def _head(screen: Console, found: Evaluation) -> None:
    pixels = found.pixels
    size = count_words(pixels.labelled, "labelled pixel")
    if pixels.mapped_ha is not None:
        size += f", {pixels.mapped_ha:.3g} ha mapped"
    scenes = count_words(len(found.scenes), "scene")
    screen.print(f"[bold]{escape(found.model)}[/bold]  {scenes}, {size}")
    screen.print(f"  {escape(found.words)}")
    left_out = []
    if pixels.ignored:
        left_out.append(f"{count_words(pixels.ignored, 'pixel')} without a label")
    if pixels.unpredicted:
        left_out.append(f"{count_words(pixels.unpredicted, 'labelled pixel')} without data")
    if left_out:
        screen.print(f"  left out: {', '.join(left_out)}")


def _classes(screen: Console, found: Evaluation) -> None:
    hectares = found.pixels.truth_ha is not None
    unit = "ha" if hectares else "pixels"
    scores = ("IoU", "95 %", *(text for _, text in _COLUMNS))
    table = new_table(
        "class", *scores, f"labelled {unit}", f"mapped {unit}", left=("class",), indent=2
    )
    truth, called = found.confusion.sum(axis=1), found.confusion.sum(axis=0)
    for k, label in enumerate(found.matched.scored):
        sizes = [f"{int(truth[k]):,}", f"{int(called[k]):,}"]
        if found.pixels.truth_ha is not None and found.pixels.map_ha is not None:
            sizes = [
                number_words(float(v[k])) for v in (found.pixels.truth_ha, found.pixels.map_ha)
            ]
        table.add_row(
            f"[{label.color}]██[/] {escape(label.name)}",
            _value(found.measures["iou"], k),
            _interval(found.measures["iou"], k),
            *(_value(found.measures[name], k) for name, _ in _COLUMNS),
            *sizes,
        )
    mean = ["", "", _value(found.measures["mean_f1"])]
    borders = [_value(found.measures[f"mean_boundary_{name}"]) for name in ("f1", "iou")]
    iou = found.measures["mean_iou"]
    table.add_section()
    table.add_row(
        "[bold]mean[/bold]", f"[bold]{_value(iou)}[/bold]", _interval(iou), *mean, *borders
    )
    screen.print(table)


def _together(screen: Console, found: Evaluation) -> None:
    accuracy, kappa = found.measures["accuracy"], found.measures["kappa"]
    screen.print(
        f"  accuracy {_value(accuracy)} ({_interval(accuracy)}), kappa {_value(kappa)} "
        f"({_interval(kappa)})"
    )
    metres, pixels = found.tolerance
    off = f"{pixels:.3g} pixels" + ("" if metres is None else f" ({size_words(metres)})")
    screen.print(
        f"  intervals: 95 %, {found.unit.words} drawn anew 1,000 times; borders may be {off} off"
    )
    if found.unit.caveat:
        screen.print(f"  [yellow]{escape(found.unit.caveat)}[/yellow]")
    one = found.calibration
    text = f"  confidence: calibration error {_number(one.error)}"
    if one.factor is not None and one.temperature is not None:
        text += f"; {_number(one.error_after)} with a temperature of {one.temperature:.2f}"
    screen.print(text)
    if math.isfinite(found.seam_score):
        screen.print(
            f"  seams: classes change {found.seam_score:.2f} times as often where chips meet"
        )


def _mistakes(screen: Console, found: Evaluation) -> None:
    """The confusion matrix, in percent of each label."""
    first = "labelled, of 100 pixels"
    table = new_table(first, *(f"called {name}" for name in found.names), left=(first,), indent=2)
    counts = found.pixels.counts
    decided = found.matched.decided
    for k, name in enumerate(found.names):
        if found.confusion[k].sum():
            table.add_row(escape(name), *_shares(found.confusion[k]))
    for code in range(len(counts)):
        if decided[code] < 0 and counts[code].sum():
            table.add_row(escape(found.matched.code_name(code)), *_shares(counts[code]))
    screen.print(table)


def _shares(counts: Sequence[float]) -> list[str]:
    total = sum(float(value) for value in counts)
    return [f"{100 * float(value) / total:.1f}" for value in counts]


def _objects(screen: Console, found: Evaluation) -> None:
    """Pieces found, and pieces that are right, by size."""
    if not found.objects:
        return
    from agriseg.evaluation.objects import of_all_sizes
    from agriseg.evaluation.page import size_label

    sizes = sorted({(one.low, one.high) for one in found.objects})
    unit = found.objects[0].unit
    by_size = {(one.class_name, one.low): one for one in found.objects}
    sums = [of_all_sizes(found.objects, name) for name in found.names]
    pixels = " in pixels" if unit == "pixels" else ""
    for words, share, total in (
        ("pieces found", "recall", "objects"),
        ("pieces on the map that are right", "precision", "called"),
    ):
        first = f"{words}, by size{pixels}"
        table = new_table(first, *found.names, left=(first,), indent=2)
        for low, high in sizes:
            row = [by_size.get((name, low)) for name in found.names]
            table.add_row(size_label(low, high, unit), *(_of(one, share, total) for one in row))
        table.add_row("all", *(_of(one, share, total) for one in sums))
        screen.print(table)


def _of(one: SizeBin | None, share: str, total: str) -> str:
    """A share of how many, such as `83 % of 120`."""
    count = 0 if one is None else getattr(one, total)
    return f"{100 * getattr(one, share):.0f} % of {count:,}" if count else "-"


def _beside(screen: Console, found: Evaluation) -> None:
    """Two models, and the interval of their difference."""
    assert found.comparison is not None
    other, apart = found.comparison.other, found.comparison.differences
    headings = ("IoU", found.model, other.model, "difference", "95 %", "")
    table = new_table(*headings, left=("IoU", ""), indent=2)
    rows: list[tuple[str, str, int | None]] = [
        (name, "iou", k) for k, name in enumerate(found.names)
    ]
    for name, key, k in [*rows, ("mean", "mean_iou", None)]:
        low, high = (_at(part, k) for part in (apart[key].low, apart[key].high))
        sure = math.isfinite(low) and (low > 0 or high < 0)
        table.add_row(
            escape(name),
            _value(found.measures[key], k),
            _value(other.measures[key], k),
            _number(_at(apart[key].value, k), sign=True),
            _interval(apart[key], k, sign=True),
            "" if not math.isfinite(low) else "clear" if sure else "within chance",
        )
    screen.print(table)
    screen.print(f"  {escape(other.model)}: {escape(other.words)}")


def _series(screen: Console, found: Evaluation) -> None:
    """Quality against time, by pixel size."""
    headings = ("pixel size", "seconds a ha", "mean IoU", "95 %")
    table = new_table(*headings, *found.names, indent=2)
    for one in found.series:
        table.add_row(
            size_words(one.gsd_m or 0.0),
            number_words(one.seconds_per_ha),
            _value(one.measures["mean_iou"]),
            _interval(one.measures["mean_iou"]),
            *(_value(one.measures["iou"], k) for k in range(len(one.names))),
        )
    screen.print(table)


def _at(value: object, place: int | None) -> float:
    return float(value if place is None else value[place])  # type: ignore[index, arg-type]


def _value(measure: Measure, place: int | None = None) -> str:
    return _number(_at(measure.value, place))


def _interval(measure: Measure, place: int | None = None, *, sign: bool = False) -> str:
    low, high = _at(measure.low, place), _at(measure.high, place)
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{_number(low, sign=sign)} to {_number(high, sign=sign)}"


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:+.3f}" if sign else f"{value:.3f}"
