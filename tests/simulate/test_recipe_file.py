"""Recipes in YAML: they come back whole, and what is wrong is said in one line."""

from dataclasses import fields
from pathlib import Path

import pytest

from agriseg.errors import OptionError
from agriseg.simulate import FieldRecipe
from agriseg.simulate.recipe_file import read_recipe, recipe_from, recipe_text

CONFIGS = Path(__file__).parents[2] / "configs"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "my recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_recipe_comes_back(tmp_path: Path) -> None:
    recipe = FieldRecipe(seed=2**60, noise=1e-5, row_spacing_m=1, crs="EPSG:32733")
    path = written(tmp_path, recipe_text(recipe))
    assert read_recipe(path) == recipe
    assert recipe_text(read_recipe(path)) == recipe_text(recipe)
    for field in fields(FieldRecipe):
        assert f"\n{field.name}: " in recipe_text(recipe)


def test_numbers_may_be_written_as_people_do(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, "noise: 1e-3\nrow_spacing_m: 1\nseed: 7\n"))
    assert (recipe.noise, recipe.row_spacing_m, recipe.seed) == (0.001, 1.0, 7)
    assert isinstance(recipe.row_spacing_m, float)


def test_the_sample_has_its_recipe() -> None:
    assert read_recipe(CONFIGS / "sample-field.yaml") == FieldRecipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row_spacing: 0.75", ["'row_spacing' is no key", "did you mean row_spacing_m?"]),
        ("zzz: 1", ["'zzz'", "possible are seed, width"]),
        ("row_spacing_m: 0", ["row_spacing_m is 0.0", "is possible"]),
        ("row_spacing_m: 75 cm", ["row_spacing_m is '75 cm'", "a number is needed"]),
        ("width: 12.5", ["width is 12.5", "a whole number"]),
        ("width: yes", ["width is True", "a whole number"]),
        ("gsd_m: 0.1\nrow_spacing_m: 0.2", ["gsd_m is 0.1", "row_spacing_m 0.2", "finer"]),
        ("noise: .nan", ["noise is nan"]),
        ("crs: 32633", ["crs is 32633", "a word"]),
        ("crs: EPSG:4326", ["EPSG:4326", "metres"]),
        ("sensor: none-such", ["'none-such' is unknown"]),
        ("", ["is empty"]),
        ("# only words\n", ["is empty"]),
        ("---\n", ["is empty"]),
        ("just words", ["holds only 'just words'"]),
        ("- 1\n- 2", ["a list", "line 1"]),
        ("seed: [1, 2]", ["seed is a list", "dataset"]),
        ("seed: {a: 1}", ["nested", "line 1"]),
        ("seed: 1\nwidth: 100\nseed: 2", ["'seed' stands there twice", "line 3"]),
        ("seed: &a 1\nwidth: *a", ["alias", "line 1"]),
        ("seed: 1\n---\nseed: 2", ["2 YAML documents"]),
        ("seed: !!python/object/apply:os.system [ls]", ["is not YAML", "line 1"]),
        ("seed: !!python/name:os.system ''", ["is not YAML", "line 1"]),
        ("seed: !!int x", ["cannot be read"]),
        ("seed: '1", ["is not YAML"]),
        ("\tseed: 1", ["is not YAML", "line 1"]),
        ("crs: !!binary aGFsbG8=", ["crs is b'hallo'"]),
        ("seed: 2024-01-01", ["seed is datetime.date"]),
        (b"seed: \xff\xfe", ["is not UTF-8", "byte 6"]),
        ("[" * 50_000, ["a list"]),
        ("a: " + "x" * 1_100_000, ["more than 1 MB"]),
        ("x" * 5000 + ": 1", ["is not YAML", "line 1"]),
        ("? [1]\n: 2", ["a list"]),
        ("seed: " + "9" * 5000, ["seed"]),
        ("left_m: " + "9" * 400, ["left_m is 999", "is possible"]),
        ("width: 0512", ["'width' on line 1 is '0512'", "a plain number"]),
        ("width: 1:30", ["'width' on line 1 is '1:30'"]),
        ("crs: http://host/x.prj", ["'http://host/x.prj' is not a coordinate system"]),
        ('crs: "EPSG:\\ud800"', ["is not a coordinate system"]),
        ("crs: EPSG:3857", ["'EPSG:3857' stretches", "UTM"]),
    ],
    ids=range(40),
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(OptionError) as caught:
        read_recipe(path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    for word in words:
        assert word in line
    assert len(line) < len(str(path)) + 700


def test_no_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.yaml: there is no such file"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(OptionError, match="is a folder"):
        read_recipe(tmp_path)


def test_values_by_name_are_checked_too() -> None:
    assert recipe_from({"seed": 3}).seed == 3
    with pytest.raises(OptionError, match="did you mean seed"):
        recipe_from({"sed": 3})
