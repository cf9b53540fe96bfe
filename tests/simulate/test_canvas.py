"""Short cuts of drawing and of noise leave what they are short cuts for."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from agriseg.simulate import FieldRecipe, noise
from agriseg.simulate.canvas import Canvas, Sun
from agriseg.simulate.noise import noise_at, normal
from agriseg.simulate.plants import Rect, field_plants
from agriseg.simulate.shapes import clods, leaves, straws


def everywhere(
    self: Canvas,
    shapes: object,
    left: object,
    dy: NDArray[np.float64],
    col: NDArray[np.int64],
    row: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All samples of each patch that lie on the canvas."""
    patch = dy.shape[1]
    first = np.repeat(np.maximum(-col, 0), patch)
    end = np.repeat(np.minimum(self.width - col, patch), patch)
    lines = (row[:, None] + np.arange(patch)).ravel()
    on = (lines >= 0) & (lines < self.height)
    return first, np.maximum(end - first, 0) * on


@pytest.mark.parametrize("crop", ["beet", "maize", "wheat", "soybean"])
@pytest.mark.parametrize("step_m", [0.0025, 0.01, 0.05])
def test_spans_leave_out_nothing(monkeypatch: pytest.MonkeyPatch, crop: str, step_m: float) -> None:
    recipe = FieldRecipe.filled(crop=crop, stage=0.7, weeds_per_m2=20.0, weed_kinds=4)
    rect = Rect(300.0, 200.0, 301.2, 201.0)
    shapes = [clods(recipe, rect), straws(recipe, rect), leaves(recipe, field_plants(recipe, rect))]
    # Leaves straight along the lines and columns, too.
    for cx, cy in ((1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (-1.0, 0.0)):
        blades = leaves(recipe, field_plants(recipe, rect))
        ones = np.ones(len(blades))
        shapes.append(dataclasses.replace(blades, cx=cx * ones, cy=cy * ones))
    surfaces = []
    for whole in (False, True):
        if whole:
            monkeypatch.setattr(Canvas, "_spans", everywhere)
        side = int(0.9 / step_m)
        at = (int(300.1 / step_m), int(200.1 / step_m))
        canvas = Canvas(*at, side, side - 3, step_m, Sun(0.6, -0.8, 1.0))
        for some in shapes:
            canvas.draw(some)
        surfaces.append(canvas.finish())
    assert (surfaces[0].material > 0).mean() > 0.2
    for field in dataclasses.fields(surfaces[0]):
        assert np.array_equal(*(getattr(surface, field.name) for surface in surfaces))


def test_noise_looked_up_is_noise_hashed_point_by_point() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-40.0, 60.0, (2, 173, 211))
    x[0, :3] = y[0, :3] = (-0.5, 0.0, 7.0)  # on the lattice
    looked_up = noise_at(3, "any", x, y, 0.5)
    assert looked_up.shape == x.shape
    assert np.array_equal(looked_up, noise._noise_apart(3, "any", x, y, 0.5))
    assert np.array_equal(looked_up[5, 7:9], noise_at(3, "any", x[5, 7:9], y[5, 7:9], 0.5))
    assert -1 <= looked_up.min() < -0.8 < 0.8 < looked_up.max() <= 1


def test_normal_numbers_are_normal() -> None:
    numbers = normal(5, "any", np.arange(300)[None, :], np.arange(300)[:, None])
    assert numbers.shape == (300, 300)
    assert numbers.mean() == pytest.approx(0.0, abs=0.01)
    assert numbers.std() == pytest.approx(1.0, abs=0.01)
    assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.02
