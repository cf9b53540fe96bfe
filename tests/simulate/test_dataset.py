"""Datasets: scenes drawn from ranges, the same again, and going on where they were stopped."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import agriseg
from agriseg.errors import OptionError, OutputError
from agriseg.simulate import FieldRecipe, dataset
from agriseg.simulate.dataset import draw_dataset, scene_folder
from agriseg.simulate.dataset_recipe import DatasetRecipe, dataset_from
from agriseg.simulate.recipe_file import read_flat, read_recipe
from agriseg.simulate.scene import Plan, Simulated

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL: dict[str, Any] = {
    "kind": "dataset",
    "scenes": 3,
    "width": 48,
    "height": 40,
    "border_m": 0.0,
    "stage": [0.2, 0.6],
}


def drawn(count: int = 400, **values: Any) -> list[FieldRecipe]:
    recipe = dataset_from({"kind": "dataset", "scenes": count, **values})
    found = [recipe.scene(number) for number in range(1, count + 1)]
    assert all(isinstance(one, FieldRecipe) for one in found)
    return found  # type: ignore[return-value]


def test_ranges_choices_and_single_values_are_drawn_from() -> None:
    found = drawn(
        stage=[0.2, 0.6],
        crop=["beet", "maize", "wheat"],
        sensor="rgb",
        weed_kinds=[2, 4],
        gsd_m=[0.01, 0.02, 0.03],
        border_m=0,
    )
    stages = np.array([one.stage for one in found])
    assert stages.min() >= 0.2
    assert stages.max() <= 0.6
    assert np.histogram(stages, 4, (0.2, 0.6))[0].min() > 60
    for name, possible in {
        "crop": {"beet", "maize", "wheat"},
        "weed_kinds": {2, 3, 4},
        "gsd_m": {0.01, 0.02, 0.03},
    }.items():
        values = [getattr(one, name) for one in found]
        assert set(values) == possible
        assert min(values.count(value) for value in possible) > 90
    assert {one.sensor for one in found} == {"rgb"}
    assert len({one.seed for one in found}) == len(found)


def test_what_is_usual_for_the_drawn_crop_fills_in() -> None:
    found = drawn(20, crop=["wheat", "maize"])
    assert {(one.crop, one.row_spacing_m) for one in found} == {("wheat", 0.15), ("maize", 0.75)}


def test_draws_of_two_keys_have_nothing_to_do_with_each_other() -> None:
    found = drawn(stage=[0.0, 1.0], moisture=[0.0, 1.0])
    pairs = np.array([(one.stage, one.moisture) for one in found]).T
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.15


def test_more_scenes_leave_the_first_as_they_are() -> None:
    assert drawn(5, stage=[0.0, 1.0]) == drawn(50, stage=[0.0, 1.0])[:5]
    assert drawn(5, stage=[0.0, 1.0], seed=1) != drawn(5, stage=[0.0, 1.0], seed=2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scenes": 0}, ["scenes is 0", "1 to"]),
        ({"scenes": "many"}, ["scenes is 'many'", "a whole number"]),
        ({"seed": -1}, ["seed is -1"]),
        ({"seed": [1, 2]}, ["seed is [1, 2]", "a whole number"]),
        ({"of": "forest"}, ["of is 'forest'", "field"]),
        ({"stages": [0, 1]}, ["'stages' is no key of a dataset", "did you mean stage?"]),
        ({"stage": []}, ["stage is an empty list"]),
        ({"stage": [0.6, 0.2]}, ["stage is [0.6, 0.2]", "[0.2, 0.6]"]),
        ({"stage": [[0.1], 0.2]}, ["stage is a list"]),
        ({"stage": ["young", "old"]}, ["stage is 'young'", "a number"]),
        ({"crop": ["beet", 3]}, ["crop is 3", "a word"]),
        ({"crop": ["beet", "oak"]}, ["crop 'oak' is unknown", "possible are"]),
        ({"gap_share": [0.1, 8]}, ["gap_share is 8", "0 to 0.9"]),
    ],
    ids=range(13),
)
def test_a_wrong_dataset_is_one_line(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        dataset_from({**SMALL, **values}, "a.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("a.yaml: ")
    for word in words:
        assert word in line


def test_a_dataset_says_how_many_scenes() -> None:
    with pytest.raises(OptionError, match="scenes is missing"):
        dataset_from({"kind": "dataset"})


def test_a_range_that_makes_no_scene_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    wrong = {**SMALL, "crop": "wheat", "gsd_m": [0.01, 0.04, 0.1]}
    with pytest.raises(OptionError, match=r"scene \d of the dataset: gsd_m is 0.1"):
        agriseg.simulate({**wrong, "scenes": 9}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_is_drawn_and_goes_on(tmp_path: Path) -> None:
    scenes = agriseg.simulate(SMALL, tmp_path)
    assert len(scenes) == 3
    assert all(scene.geobox.width == 48 for scene in scenes)
    with open(tmp_path / "dataset.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["folder"] for line in table] == ["scene-000001", "scene-000002", "scene-000003"]
    for line in table:
        recipe = read_recipe(tmp_path / line["folder"] / "recipe.yaml")
        assert isinstance(recipe, FieldRecipe)
        assert float(line["stage"]) == recipe.stage
        assert int(line["seed"]) == recipe.seed
        with rasterio.open(tmp_path / line["folder"] / "scene.tif") as image:
            assert image.shape == (40, 48)

    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/scene.tif")}
    (tmp_path / "scene-000002" / "labels.tif").unlink()
    (tmp_path / "scene-000003" / "recipe.yaml").unlink()
    before = (tmp_path / "scene-000002" / "scene.tif").read_bytes()
    agriseg.simulate({**SMALL, "scenes": 4}, tmp_path)
    again = {path: path.stat().st_mtime_ns for path in kept}
    changed = {path.parent.name for path in kept if again[path] != kept[path]}
    assert changed == {"scene-000002", "scene-000003"}
    assert (tmp_path / "scene-000002" / "scene.tif").read_bytes() == before
    assert (tmp_path / "scene-000002" / "labels.tif").exists()
    assert (tmp_path / "scene-000004" / "scene.tif").exists()


def test_workers_draw_the_same_scenes_side_by_side(tmp_path: Path) -> None:
    agriseg.simulate(SMALL, tmp_path / "alone")
    told = Told()
    recipe = dataset_from(SMALL)
    draw_dataset(recipe, tmp_path / "two", told, workers=2)
    begun = ["begin", 48 * 40, "assembling", "end"]
    assert told.heard == ["dataset", *(word for k in (1, 2, 3) for word in (k, *begun)), "whole"]
    files = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*")}
    assert files == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")}
    for name in files:
        if (tmp_path / "alone" / name).is_file():
            assert (tmp_path / "two" / name).read_bytes() == (
                tmp_path / "alone" / name
            ).read_bytes()

    for number in (2, 3):
        (tmp_path / "two" / f"scene-00000{number}" / "labels.tif").unlink()
    told = Told()
    draw_dataset(recipe, tmp_path / "two", told, workers=2)
    assert told.heard[:3] == ["dataset", "kept 1", 2]
    assert told.heard[-1] == "whole"


def test_a_fault_in_a_worker_is_told_with_its_scene(tmp_path: Path) -> None:
    (tmp_path / "scene-000002").write_text("in the way")
    with pytest.raises(OutputError, match="scene-000002 cannot be written"):
        agriseg.simulate(SMALL, tmp_path, workers=2)
    assert (tmp_path / "scene-000001" / "recipe.yaml").is_file()
    assert not (tmp_path / "dataset.csv").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_in_place_of_the_folder_is_told(workers: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written: Not a directory"):
        agriseg.simulate(SMALL, tmp_path / "file", workers=workers)


def test_large_or_few_scenes_are_drawn_by_all_workers_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def note(recipe: object, folder: Path, listener: object, *, workers: int) -> None:
        asked.append((folder.name, workers))

    monkeypatch.setattr(dataset, "draw", note)
    few = {**SMALL, "scenes": 2, "width": 4096, "height": [512, 2048]}
    draw_dataset(dataset_from(few), tmp_path, workers=3)
    recipes = [dataset_from(few).scene(number) for number in (1, 2)]
    assert asked == [
        (f"scene-00000{k}", 3 if one.width * one.height >= 4_000_000 else 1)
        for k, one in enumerate(recipes, start=1)
    ]


class Told:
    """What a listener of a dataset heard."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def begin_dataset(self, recipe: DatasetRecipe, out: Path) -> None:
        self.heard.append("dataset")

    def scene(self, number: int) -> Told:
        self.heard.append(number)
        return self

    def kept(self, number: int, folder: Path) -> None:
        self.heard.append(f"kept {number}")

    def end_dataset(self, folders: list[Path]) -> None:
        self.heard.append("whole")

    def begin(self, plan: Plan) -> None:
        self.heard.append("begin")

    def advance(self, pixels: int) -> None:
        self.heard.append(pixels)

    def assembling(self) -> None:
        self.heard.append("assembling")

    def end(self, made: Simulated) -> None:
        self.heard.append("end")


def test_seed_and_size_take_the_place_of_the_recipe_s(tmp_path: Path) -> None:
    first = agriseg.simulate({**SMALL, "scenes": 1}, tmp_path / "a", seed=5, width=32)
    assert isinstance(first, list)
    assert first[0].geobox.width == 32
    other = agriseg.simulate({**SMALL, "scenes": 1}, tmp_path / "b", seed=6, width=32)
    assert isinstance(other, list)
    a, b = (read_recipe(tmp_path / name / "scene-000001" / "recipe.yaml") for name in "ab")
    assert a != b


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"of": "satelite"}, "of is 'satelite'; possible are field, satellite"),
        ({"values": {"cropp": "beet"}}, "did you mean crop?"),
        ({"values": {"seed": (5,)}}, "'seed' is no key of a dataset"),
        ({"values": {"stage": (0.9, 0.1)}}, r"the lower end of a range comes first"),
        ({"values": {"stage": "old"}}, "stage is 'old'; a number is needed"),
    ],
)
def test_a_dataset_from_python_is_checked_too(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words.replace("?", r"\?")):
        DatasetRecipe(3, **options)


def test_a_dataset_from_python_takes_plain_values() -> None:
    recipe = DatasetRecipe(3, values={"crop": "beet", "stage": [0.1, 0.2], "gap_share": (0, 0.1)})
    assert recipe.values == {"crop": ("beet",), "stage": (0.1, 0.2), "gap_share": (0.0, 0.1)}
    assert recipe.scene(2).crop == "beet"  # type: ignore[attr-defined]
    assert len({recipe, recipe}) == 1


def test_a_table_never_tells_of_other_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agriseg.simulate(SMALL, tmp_path)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        agriseg.simulate({**SMALL, "seed": 9}, tmp_path)
    assert not (tmp_path / "dataset.csv").exists()


def test_folders_sort_as_numbers_do() -> None:
    names = [scene_folder(Path("x"), n).name for n in (2, 30, 111_111)]
    assert names == sorted(names) == ["scene-000002", "scene-000030", "scene-111111"]


def test_the_shipped_dataset_has_whole_recipes(tmp_path: Path) -> None:
    recipe = dataset_from(read_flat(CONFIGS / "training-set.yaml"))
    assert len({recipe.scene(number) for number in range(1, len(recipe) + 1)}) == len(recipe)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    one = dataset_from({**read_flat(CONFIGS / "training-set.yaml"), "scenes": 1})
    folders = draw_dataset(one.with_grid(64, 64), tmp_path)
    assert [folder.name for folder in folders] == ["scene-000001"]
