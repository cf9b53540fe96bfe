"""Dividing scenes: shares, gaps, groups, and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agriseg.bands import Band, Radiometry
from agriseg.errors import LabelError, OptionError
from agriseg.geobox import GeoBox, Window
from agriseg.labels import Codes, LabelledScene, Material, Split, SplitSettings, Survey, make_split
from agriseg.labels.split import PARTS
from agriseg.labels.split_picture import draw_split
from agriseg.labels.survey import SceneSurvey, cells_of
from agriseg.raster import Scene
from agriseg.settings import checked
from tests.support import LEGEND, NORTH_UP, UTM

CODES = Codes.of(LEGEND)


def made(
    *shapes: tuple[int, int],
    cell: int = 8,
    parts: Any = (),
    groups: Any = (),
    seed: int = 0,
    counts: Any = None,
) -> tuple[Material, Survey]:
    """Material of scenes that are never read, and what a survey would have found."""
    rng = np.random.default_rng(seed)
    scenes, found = [], []
    for k, (height, width) in enumerate(shapes):
        grid = GeoBox(UTM, NORTH_UP, width, height)
        scene = Scene(f"s{k}", (Band("x.tif", 1, "red"),), grid, Radiometry("relative", ""))
        labels: Any = None
        scenes.append(LabelledScene(scene, labels, group=groups[k] if groups else ""))
        rows, cols = cells_of((height, width), cell)
        each = rng.multinomial(cell * cell, [0.6, 0.2, 0.1, 0.1], (rows, cols))
        found.append(
            SceneSurvey(f"s{k}", (each if counts is None else counts[k]).astype(np.uint32))
        )
    return Material(tuple(scenes), CODES, (), parts), Survey(CODES, cell, tuple(found))


def split(pair: tuple[Material, Survey], chip: int = 16, **settings: Any) -> Split:
    return make_split(*pair, chip=chip, settings=checked(SplitSettings, settings, "split"))


def share(one: Split, survey: Survey, part: Any) -> NDArray[np.float64]:
    counts = one.counts(survey)
    total = np.sum([counts[p] for p in PARTS], axis=0)
    shares: NDArray[np.float64] = counts[part][:3] / total[:3]
    return shares


def test_scenes_go_to_one_part_each() -> None:
    pair = made(*[(40, 56)] * 20)
    found = split(pair, validation=0.2, test=0.1)
    assert found.how == "by scene"
    numbers = [np.unique(mask).tolist() for mask in found.masks]
    assert sorted(n[0] for n in numbers) == [1] * 14 + [2] * 4 + [3] * 2
    assert all(len(n) == 1 for n in numbers)
    assert np.abs(share(found, pair[1], "validation") - 0.2).max() < 0.03


def test_groups_stay_together() -> None:
    groups = [f"plot{k % 6}" for k in range(24)]
    found = split(made(*[(40, 56)] * 24, groups=groups))
    parts: dict[str, set[int]] = {}
    for group, mask in zip(groups, found.masks, strict=True):
        parts.setdefault(group, set()).add(int(mask[0, 0]))
    assert found.how == "by group"
    assert all(len(numbers) == 1 for numbers in parts.values())
    assert {n for numbers in parts.values() for n in numbers} == {1, 2}


def test_a_rare_class_gets_into_each_part() -> None:
    counts = [np.array([[[64, 0, 0, 0]]]) for _ in range(40)]
    for k in (3, 17, 29):
        counts[k] = np.array([[[60, 0, 4, 0]]])
    pair = made(*[(8, 8)] * 40, counts=counts)
    for seed in range(5):
        found = split(pair, chip=8, validation=0.3, seed=seed)
        assert (share(found, pair[1], "validation")[[0, 2]] > 0).all()
        assert (share(found, pair[1], "train")[[0, 2]] > 0).all()


def test_what_the_user_fixed_stays() -> None:
    pair = made(*[(40, 56)] * 6, parts=("test", None, "validation", None, None, None))
    found = split(pair)
    assert [int(mask[0, 0]) for mask in found.masks] == [3, 1, 2, 1, 1, 1]
    everything = made(*[(40, 56)] * 2, parts=("train", "validation"))
    assert split(everything).how == "as the configuration says"


def test_a_fixed_scene_takes_its_group_along() -> None:
    groups = ["a", "a", "b", "c", "d", "e"]
    pair = made(*[(40, 56)] * 6, parts=("test", *[None] * 5), groups=groups)
    assert [int(split(pair).masks[k][0, 0]) for k in (0, 1)] == [3, 3]
    torn = made(*[(40, 56)] * 2, parts=("test", "train"), groups=["a", "a"])
    with pytest.raises(LabelError, match="group 'a' is for test in one entry and for train"):
        split(torn)


@pytest.mark.parametrize("chip", [16, 20, 33])
@pytest.mark.parametrize("shape", [(400, 300), (203, 517)])
@pytest.mark.parametrize("test", [0.0, 0.15])
def test_blocks_have_a_gap_of_a_chip(shape: tuple[int, int], chip: int, test: float) -> None:
    pair = made(shape)
    found = split(pair, chip=chip, test=test)
    mask = found.masks[0].repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]]
    for a in (1, 2, 3):
        rows, cols = np.nonzero(mask == a)
        assert len(rows) or (a == 3 and not test)
        for row, col in list(zip(rows, cols, strict=True))[:: max(len(rows) // 300, 1)]:
            near = mask[max(row - chip, 0) : row + chip + 1, max(col - chip, 0) : col + chip + 1]
            assert set(np.unique(near)) <= {0, a}
    part = share(found, pair[1], "validation")
    assert 0.05 < part.min() < part.max() < 0.45


def test_each_part_of_blocks_holds_a_chip() -> None:
    chip = 32
    found = split(made((400, 400)), chip=chip, validation=0.1)
    for part in ("train", "validation"):
        assert any(w.width >= chip and w.height >= chip for _, w in found.windows(part))  # type: ignore[arg-type]


def test_a_scene_too_small_for_blocks_is_told() -> None:
    with pytest.raises(LabelError, match=r"no labelled pixel for (train|validation); give more"):
        split(made((64, 64)), chip=48)
    with pytest.raises(LabelError, match="needs two groups"):
        split(made((64, 64)), by="group")


def test_the_same_seed_gives_the_same_split() -> None:
    for shapes in ([(40, 56)] * 9, [(300, 200)]):
        pair = made(*shapes)
        texts = [split(pair, seed=seed).to_json() for seed in (4, 4, 5, 6, 7)]
        assert texts[0] == texts[1]
        assert len(set(texts)) > 2


@given(seed=st.integers(0, 50), cell=st.sampled_from([8, 13]))
def test_windows_make_up_the_masks(seed: int, cell: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 90)), int(rng.integers(1, 90)))
    mask = rng.integers(0, 4, cells_of(shape, cell)).astype(np.uint8)
    one = Split(("a",), (shape,), cell, (mask,))
    pixels = np.zeros(shape, np.uint8)
    for part, number in PARTS.items():
        for _, window in one.windows(part):
            assert (pixels[window.slices] == 0).all()
            pixels[window.slices] = number
            assert one.allows(0, window, part)
    np.testing.assert_array_equal(
        pixels, mask.repeat(cell, 0).repeat(cell, 1)[: shape[0], : shape[1]]
    )
    again = Split.from_json(one.to_json())
    np.testing.assert_array_equal(again.masks[0], mask)
    assert (again.names, again.shapes, again.cell) == (one.names, one.shapes, one.cell)


def test_windows_that_reach_into_another_part_are_not_allowed() -> None:
    mask = np.array([[1, 2], [1, 0]], np.uint8)
    one = Split(("a",), ((16, 16),), 8, (mask,))
    assert one.allows(0, Window(0, 0, 8, 16), "train")
    assert not one.allows(0, Window(1, 0, 8, 16), "train")
    assert one.allows(0, Window(-3, -3, 8, 8), "train")
    assert not one.allows(0, Window(30, 0, 8, 8), "train")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"validation": 0.7, "test": 0.3}, "leave nothing to train on"),
        ({"by": "scene"}, "by is 'scene'; possible are auto, group, blocks"),
        ({"validaton": 0.1}, "did you mean validation"),
        ({"block": 0.5}, "block is 0.5; at least 1"),
        ({"folds": 1}, "fold 1 of 1 folds: at least 2 are needed"),
        ({"folds": 3, "fold": 4}, "fold 4 of 3 folds"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        checked(SplitSettings, settings, "x.yaml")


@pytest.mark.parametrize("text", ["", "{}", '{"cell": 0, "scenes": [{"height": 3, "width": 2}]}'])
def test_texts_that_are_no_split(text: str) -> None:
    with pytest.raises(OptionError, match="no split of agriseg's"):
        Split.from_json(text)


def test_all_can_be_for_training() -> None:
    found = split(made(*[(40, 56)] * 3), validation=0)
    assert found.how == "all for training"
    assert all((mask == 1).all() for mask in found.masks)


def test_a_class_that_a_part_lacks_is_told() -> None:
    counts = [np.array([[[64, 0, 0, 0]]]) for _ in range(8)]
    counts[0] = np.array([[[32, 32, 0, 0]]])
    pair = made(*[(8, 8)] * 8, counts=counts)
    assert any("has no pixel that is known to be crop" in n for n in split(pair, chip=8).notes)


@pytest.mark.parametrize("shapes", [[(40, 56)] * 6, [(300, 200), (200, 300)]])
def test_a_picture_of_it(tmp_path: Path, shapes: list[tuple[int, int]]) -> None:
    pair = made(*shapes)
    draw_split(split(pair), pair[1], tmp_path / "split.png")
    assert (tmp_path / "split.png").read_bytes()[:4] == b"\x89PNG"
    assert replace(split(pair), how="x").how == "x"


def test_each_scene_is_in_one_fold() -> None:
    pair = made(*[(40, 56)] * 11, groups=[*"aabbcdefghi"])
    folds = [split(pair, folds=4, fold=number) for number in (1, 2, 3, 4)]
    held_out = np.array([[(mask == PARTS["validation"]).all() for mask in f.masks] for f in folds])
    rest = np.array([[(mask == PARTS["train"]).all() for mask in f.masks] for f in folds])
    assert (held_out ^ rest).all()
    assert (held_out.sum(axis=0) == 1).all()
    assert (held_out[:, 0] == held_out[:, 1]).all(), "a group is not divided"
    assert set(held_out.sum(axis=1)) <= {2, 3, 4}
    for one in folds:
        assert np.all(share(one, pair[1], "validation") > 0.1)


def test_more_folds_than_groups() -> None:
    with pytest.raises(LabelError, match=r"3 folds need as many groups .* and there are 2"):
        split(made(*[(40, 56)] * 4, groups=[*"aabb"]), folds=3)
