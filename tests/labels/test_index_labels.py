"""Labels that leave a class open, decided by a vegetation index where it is sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agriseg.errors import LabelError
from agriseg.labels import IGNORE
from agriseg.models.baseline import IndexBaseline
from tests.labels.support import codes_of, material, write_picture
from tests.support import write_raster

SOIL, GREEN, BETWEEN = (120, 100, 80), (70, 140, 50), (102, 110, 84)
ENTRY = {"kind": "folders", "images": "i", "labels": "m"}
OPEN = {"values": {0: "soil or weed", 1: "crop", 2: "ignore"}, "bands": "red,green,blue"}
DECIDED = {**OPEN, "by_index": {"low": "soil", "high": "weed"}}


def pictures(base: Path) -> dict[str, Any]:
    """Soil left, green right, between what may be either; a crop, and ignored pixels."""
    for folder in ("i", "m"):
        (base / folder).mkdir()
    image = np.empty((3, 40, 60), np.uint8)
    for columns, colour in ((slice(28), SOIL), (slice(28, 32), BETWEEN), (slice(32, 60), GREEN)):
        image[:, :, columns] = np.array(colour, np.uint8)[:, None, None]
    noise = np.random.default_rng(0).integers(-3, 4, image.shape)
    write_picture(base / "i/a.png", (image + noise).astype(np.uint8))
    labels = np.zeros((1, 40, 60), np.uint8)
    labels[0, :10, 40:] = 1
    labels[0, 30:, :10] = 2
    write_picture(base / "m/a.png", labels)
    return ENTRY


def test_what_is_open_becomes_soil_or_weed(tmp_path: Path) -> None:
    entry = pictures(tmp_path)
    open_, decided = (
        codes_of(material(tmp_path, {**entry, **more}).scenes[0]) for more in (OPEN, DECIDED)
    )
    soil, crop, weed = 0, 1, 2
    either = open_[20, 0]
    assert either not in (soil, crop, weed, IGNORE)
    assert (decided[:30, :28] == soil).all()
    assert (decided[10:, 32:] == weed).all()
    # What labels say stands, whatever the index says; so does what they leave out.
    assert (decided[:10, 40:] == crop).all()
    assert (decided[30:, :10] == IGNORE).all()
    assert (decided[:30, 28:32] == either).mean() > 0.5


def test_what_is_green_in_deep_shade_stays_open(tmp_path: Path) -> None:
    """It may be a leaf, or ground that is lit by what passed through leaves."""
    red, nir = np.empty((2, 60, 90), np.float32)
    for columns, of_red, of_nir in (
        (slice(30), 0.25, 0.2), (slice(30, 60), 0.04, 0.45), (slice(60, 90), 0.01, 0.07)
    ):  # fmt: skip
        red[:, columns], nir[:, columns] = of_red, of_nir
    noise = np.random.default_rng(0).normal(0, 0.001, (2, 60, 90))
    image = (np.stack([red, nir]) + noise).astype(np.float32)
    write_raster(tmp_path / "a.tif", image, descriptions=["red", "nir"])
    write_raster(tmp_path / "b.tif", np.zeros((1, 60, 90), np.uint8))
    entry = {"kind": "scenes", "scenes": "a.tif", "labels": "b.tif", "values": {0: "soil or weed"}}
    found = material(tmp_path, {**entry, "by_index": DECIDED["by_index"]})
    codes = codes_of(found.scenes[0])
    parts = [np.unique(codes[:, k : k + 30]).tolist() for k in (0, 30, 60)]
    assert parts == [[0], [2], [found.codes.code("soil or weed")]]


def test_the_threshold_of_a_scene_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a sample of the whole scene, and its labels are opened again and again."""
    labelled = material(tmp_path, {**pictures(tmp_path), **DECIDED}).scenes[0]
    looked, look = [], IndexBaseline.for_scene
    monkeypatch.setattr(
        IndexBaseline, "for_scene", lambda self, scene: looked.append(scene) or look(self, scene)
    )
    first = codes_of(labelled)
    assert (codes_of(labelled) == first).all()
    other = replace(labelled, scene=replace(labelled.scene, bands=labelled.scene.bands[::-1]))
    codes_of(other)
    assert looked == [labelled.scene, other.scene]
    assert labelled == material(tmp_path, {**ENTRY, **DECIDED}).scenes[0]


def test_scenes_without_the_bands_are_refused(tmp_path: Path) -> None:
    entry = {**pictures(tmp_path), **DECIDED, "bands": "red,green,-"}
    labelled = material(tmp_path, entry).scenes[0]
    with pytest.raises(LabelError, match="by_index: index-baseline needs red and nir, or red"):
        codes_of(labelled)


def test_what_may_be_a_third_class_stays_open(tmp_path: Path) -> None:
    """A plant where the label says "soil, weed or grass" may be grass."""
    entry = {**pictures(tmp_path), **DECIDED}
    entry["values"] = {0: "soil or weed or grass", 1: "crop", 2: "soil or weed"}
    legend = ["soil", "crop", "weed", "grass"]
    found = material(tmp_path, entry, legend=legend)
    codes = codes_of(found.scenes[0])
    assert (codes[30:, :10] == 0).all()
    names = {found.codes.name(int(code)) for code in np.unique(codes[:30])}
    assert names == {"soil or weed or grass", "crop"}


@pytest.mark.parametrize(
    ("by_index", "words"),
    [
        ({"low": "soil", "high": "crop"}, "between soil or crop, and no label leaves just that"),
        ({"low": "weed", "high": "weed"}, "low and high are both weed; name two classes"),
        ({"low": "soil or weed", "high": "weed"}, "'soil or weed' is not one class"),
        ({"low": "soil", "high": "wheat"}, "'wheat' is not in the legend"),
    ],
)
def test_faults_are_told(tmp_path: Path, by_index: dict[str, str], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        material(tmp_path, {**pictures(tmp_path), **OPEN, "by_index": by_index})
