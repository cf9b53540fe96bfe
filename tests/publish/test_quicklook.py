"""A run at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from agriseg.errors import OptionError
from agriseg.legend import Legend
from agriseg.publish.quicklook import write_quicklook
from tests.publish.runs import HEIGHT, WIDTH, make_run


def pixels(path: Path) -> np.ndarray:
    return np.rint(imread(path)[..., :3] * 255).astype(int)


def nearest(color: np.ndarray, legend: Legend) -> str:
    """The class whose hue a colour has."""
    unit = color / np.linalg.norm(color)
    each = [np.array(label.rgb) / np.linalg.norm(label.rgb) for label in legend]
    return legend.names[int(np.argmax([unit @ one for one in each]))]


LEGEND = Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a"))


@pytest.mark.parametrize("gone", [False, True])
def test_classes_lie_where_they_are(tmp_path: Path, gone: bool) -> None:
    run = make_run(tmp_path / "out", legend=LEGEND, fields=False)
    if gone:
        (tmp_path / "flights" / "field.tif").unlink()
    path = write_quicklook(run)
    assert path == run.path / "quicklook.png"
    shown = pixels(path)
    height, width, _ = shown.shape
    zoom = width // WIDTH
    left = (width - zoom * WIDTH) // 2
    assert max(height, width) <= 1200
    assert width >= 470
    assert height > zoom * HEIGHT
    for (col, row), name in {(3, 30): "soil", (20, 12): "crop", (40, 26): "weed"}.items():
        color = shown[int((row + 0.5) * zoom), left + int((col + 0.5) * zoom)]
        assert nearest(color, LEGEND) == name
    at = int(4.5 * zoom), left + int(49.5 * zoom)
    assert np.ptp(shown[at]) <= 2  # no class has no colour
    below = shown[zoom * HEIGHT + 5 :].reshape(-1, 3).tolist()
    for label in LEGEND:
        assert list(label.rgb) in below


def test_many_classes_with_long_names_stay_inside(tmp_path: Path) -> None:
    names = [f"Kultur {k} mit <langem> $Namen$ & Zubehör" for k in range(25)]
    legend = Legend.of(*((name, f"#{k * 10:02x}8040") for k, name in enumerate(names)))
    shown = pixels(write_quicklook(make_run(tmp_path / "out", legend=legend, fields=False)))
    assert max(shown.shape) <= 1200
    # Nothing is cut at the right or below.
    assert (shown[-3:] == 255).all()
    assert (shown[-400:, -3:] == 255).all()


def test_another_place_and_what_is_no_picture(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    assert write_quicklook(run.path, tmp_path / "q.png").exists()
    with pytest.raises(OptionError, match=r"\.png"):
        write_quicklook(run, tmp_path / "q.jpg")
