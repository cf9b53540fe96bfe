"""Parts of scenes: only what a split gives a part is labelled, on any grid, however it is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from agriseg.errors import LabelError, OptionError
from agriseg.geobox import Window
from agriseg.labels import Material, SplitSettings, make_split, part_of, read_data, survey
from agriseg.labels.division import PartLabels, cell_of
from agriseg.labels.split import PARTS, Split
from agriseg.labels.survey import Survey
from tests.labels.support import COLORS, codes_of, material, write_scene
from tests.support import write_raster

ENTRY = {"kind": "scenes", "scenes": "scene*.tif", "labels": "labels*.tif"}
CHIP = 32


def write(folder: Path, scenes: int = 1) -> None:
    for number in range(scenes):
        write_scene(folder / f"scene{number}.tif", 300, 250 + 10 * number)
        codes = np.random.default_rng(number).integers(0, 3, (1, 300, 250 + 10 * number))
        write_raster(folder / f"labels{number}.tif", codes.astype(np.uint8))


def divided(folder: Path, **settings: Any) -> tuple[Material, Survey, Split]:
    found = material(folder, ENTRY)
    counted = survey(found, cell_of(CHIP))
    split = make_split(found, counted, chip=CHIP, settings=SplitSettings(**settings))
    return found, counted, split


def test_parts_of_a_scene_share_no_pixel_and_change_none(tmp_path: Path) -> None:
    write(tmp_path)
    found, counted, split = divided(tmp_path, by="blocks", validation=0.3, test=0.2, block=2)
    whole = codes_of(found.scenes[0])
    taken = np.zeros(whole.shape, int)
    for part, number in PARTS.items():
        one = part_of(found, counted, split, part)
        codes = codes_of(one.scenes[0])
        mask = np.kron(split.masks[0] == number, np.ones((split.cell,) * 2))[:300, :250] > 0
        np.testing.assert_array_equal(codes, np.where(mask, whole, 255))
        taken += codes != 255
        assert one.parts == (part,)
    assert taken.max() == 1


def test_windows_and_coarser_grids_get_the_same_part(tmp_path: Path) -> None:
    write(tmp_path)
    found, counted, split = divided(tmp_path, by="blocks", validation=0.4, block=2)
    one = part_of(found, counted, split, "validation").scenes[0]
    whole = codes_of(one)
    with one.labels.open(one.scene) as reader:
        np.testing.assert_array_equal(reader.read(Window(33, 21, 70, 90)), whole[21:111, 33:103])
    coarse = replace(one, scene=one.scene.at_gsd(0.06), gsd_m=0.06)
    # A pixel of three is what lies in its middle.
    np.testing.assert_array_equal(codes_of(coarse)[:99, :83], whole[1:298:3, 1:249:3])


def test_whole_scenes_keep_their_labels(tmp_path: Path) -> None:
    write(tmp_path, 4)
    found, counted, split = divided(tmp_path, by="group", validation=0.25)
    one = part_of(found, counted, split, "validation")
    assert 1 <= len(one.scenes) < 4
    assert not any(isinstance(scene.labels, PartLabels) for scene in one.scenes)
    with pytest.raises(LabelError, match="nothing for 'test'; there is train, validation"):
        part_of(found, counted, split, "test")


def gap(mask: NDArray[np.uint8]) -> int:
    """Cells, at the least, between one of training and one of validation."""
    train, held_out = (np.argwhere(mask == PARTS[part]) for part in ("train", "validation"))
    steps = np.abs(train[:, None] - held_out[None]).max(axis=2)
    return int(steps.min()) - 1


@pytest.mark.parametrize("coarser", [1.0, 2.5])
def test_the_gap_is_a_chip_wide_on_the_ground(tmp_path: Path, coarser: float) -> None:
    """Chips of coarser pixels span more of the scene's own."""
    write_scene(tmp_path / "scene0.tif", 600, 640)
    codes = np.random.default_rng(1).integers(0, 3, (1, 600, 640))
    write_raster(tmp_path / "labels0.tif", codes.astype(np.uint8))
    chips = {"size": CHIP, "gsd_m": 0.02 * coarser}
    plain = {"legend": COLORS, "data": [ENTRY], "bands": ["red"], "chips": chips}
    settings = {"by": "blocks", "validation": 0.3, "block": 2}
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({**plain, "split": settings}))
    parts = [read_data(path, part=part).scenes[0].labels for part in ("train", "validation")]
    assert all(isinstance(part, PartLabels) for part in parts)
    names = ("train", "validation")
    mask = sum(part.mask * PARTS[name] for part, name in zip(parts, names, strict=True))
    assert gap(mask) * parts[0].cell >= CHIP * coarser


def test_the_configuration_of_a_training_is_divided_alike(tmp_path: Path) -> None:
    """From its own folder or from another with a base; a plain list of data is not divided."""
    data, elsewhere = tmp_path / "data", tmp_path / "configs"
    data.mkdir()
    elsewhere.mkdir()
    write(data)
    settings = {"by": "blocks", "validation": 0.3, "block": 2}
    plain = {"legend": COLORS, "data": [ENTRY], "bands": ["red"], "chips": {"size": CHIP}}
    path = elsewhere / "train.yaml"
    path.write_text(yaml.safe_dump({**plain, "split": settings}))
    one = read_data(path, part="validation", base=data)
    expected = part_of(*divided(data, **settings), "validation")
    np.testing.assert_array_equal(codes_of(one.scenes[0]), codes_of(expected.scenes[0]))
    path.write_text(yaml.safe_dump({**plain, "split": {**settings, "blok": 2}}))
    with pytest.raises(OptionError, match=r"split.blok is no key here; did you mean block\?"):
        read_data(path, part="validation", base=data)
    path.write_text(yaml.safe_dump({"legend": COLORS, "data": [ENTRY]}))
    with pytest.raises(LabelError, match="no scene is set apart for 'validation'"):
        read_data(path, part="validation", base=data)
    with pytest.raises(OptionError, match="part 'val' is unknown"):
        read_data(path, part="val", base=data)
