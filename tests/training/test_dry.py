"""The dry run: what it finds, what it draws, and that it trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import agriseg
from agriseg.errors import OptionError
from agriseg.training.card import draft_card
from agriseg.training.config import read_config
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import make_plan
from agriseg.training.sheet import sheet_chips
from agriseg.training.start import chips_of, first_task
from tests.support import write_raster
from tests.training.conftest import SMALL

Make = Callable[..., Path]


def test_everything_is_looked_at_and_nothing_trained(make_config: Make, tmp_path: Path) -> None:
    found = agriseg.dry_run(make_config(model=SMALL), tmp_path / "out")
    assert found.can_train
    assert found.scenes == {"train": 2, "validation": 1}
    assert found.pixels is not None
    assert set(found.pixels["train"]) == {"soil", "crop", "weed"}
    assert [kind.scenes for kind in found.kinds] == [3]
    assert found.kinds[0].bands == ("red", "nir")
    assert found.step_s > 0
    assert found.total_s > found.step_s
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["data.png", "split.png"]
    assert Image.open(tmp_path / "out" / "data.png").width > 1000


def test_a_rare_class_is_on_the_sheet(make_config: Make, tmp_path: Path) -> None:
    """One patch of weed in all scenes is found among thousands of places."""
    path = make_config(model=SMALL, chips={"rare": 0.0}, split={"validation": 0.0})
    for number in range(3):
        labels = np.zeros((1, 80, 112), np.uint8)
        labels[:, :, 40:] = 1
        labels[:, 60:68, 8:16] = 2 if number == 1 else 0
        write_raster(tmp_path / f"labels{number}.tif", labels)
    plan = make_plan(read_config(path), tmp_path)
    scenes = [part.labelled for part in plan.training]
    card = draft_card(plan.config, plan.codes, scenes)
    task, _ = first_task(plan, card, trust=False)
    with PixelStore(scenes, card.keys, 1e9) as store:
        shown = sheet_chips(chips_of(plan, store), task.augment, plan.codes, 0)
    assert len(shown) == 12
    assert any((chip.codes == 2).any() for chip in shown)


def test_all_faults_are_listed(make_config: Make, tmp_path: Path) -> None:
    path = make_config()
    for number in (0, 2):
        write_raster(tmp_path / f"labels{number}.tif", np.zeros((2, 80, 112), np.uint8))
    found = agriseg.dry_run(path, tmp_path / "out")
    assert not found.can_train
    assert len(found.faults) == 2
    assert "labels2.tif has 2 bands" in found.faults[1]
    assert not (tmp_path / "out").exists()


def test_values_without_a_class_are_a_fault(make_config: Make, tmp_path: Path) -> None:
    path = make_config()
    write_raster(tmp_path / "labels1.tif", np.full((1, 80, 112), 9, np.uint8))
    found = agriseg.dry_run(path, tmp_path / "out")
    assert len(found.faults) == 1
    assert "labels1.tif has the value 9" in found.faults[0]


def test_optional_bands_that_are_empty_are_a_fault(make_config: Make, tmp_path: Path) -> None:
    """Their pixels are not valid, so nothing would be learned from such a scene."""
    config = make_config()
    data = np.random.default_rng(0).random((2, 80, 112)).astype(np.float32)
    data[1] = np.nan
    write_raster(tmp_path / "scene1.tif", data, descriptions=["red", "nir"])
    found = agriseg.dry_run(config)
    assert "scene1 has no pixel that is usable in all of red, nir" in found.faults[0]


def test_chips_far_coarser_than_scenes_are_refused(make_config: Make) -> None:
    with pytest.raises(OptionError, match=r"chips.gsd_m is 5, and scene0 has pixels of 0.02 m"):
        agriseg.dry_run(make_config(chips={"gsd_m": 5.0}))


def test_chips_of_a_size_on_the_ground_need_to_know_that_of_the_scenes(
    make_config: Make, tmp_path: Path
) -> None:
    config = make_config(chips={"gsd_m": 0.02})
    data = np.random.default_rng(0).random((2, 80, 112)).astype(np.float32)
    write_raster(tmp_path / "scene0.tif", data, crs=None, descriptions=["red", "nir"])
    with pytest.raises(OptionError, match=r"the pixel size of scene0 is unknown; say it with gsd"):
        agriseg.dry_run(config)
