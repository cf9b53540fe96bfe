"""Faults in settings are told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from agriseg.errors import OptionError, nearest
from agriseg.settings import Settings, checked
from agriseg.yaml_file import read_yaml


class Cat(Settings):
    kind: Literal["cat"]
    lives: int = Field(default=9, ge=1)
    names: dict[str, int] | str | None = None


class Dog(Settings):
    kind: Literal["dog"]
    tricks: tuple[str, ...] = ()


class Fish(Settings):
    kind: Literal["tank"]
    tank: str
    size: int = 1


class Learn(Settings):
    rate: float = 0.1


class Home(Settings):
    street: str = Field(examples=["Elm"])
    learn: Learn = Learn()
    mode: Literal["min", "max"] = "min"
    pets: tuple[Annotated[Cat | Dog | Fish, Field(discriminator="kind")], ...] = ()
    keeper: Cat | None = None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stret": "a"}, "stret is no key here; did you mean street?"),
        ({}, "street is missing; give it, such as street: Elm"),
        ({"street": 3}, "street is 3; a word or text is needed"),
        ({"street": "a", "learn": {"rat": 1}}, "learn.rat is no key here; did you mean rate?"),
        ({"street": "a", "learn": {"rate": "fast"}}, "learn.rate is 'fast'; a number is needed"),
        ({"street": "a", "learn": 3}, "learn is 3; keys with values are needed"),
        ({"street": "a", "mode": "mix"}, "mode is 'mix'; did you mean"),
        ({"street": "a", "pets": [{"kind": "cta"}]}, "pets[0].kind is 'cta'; did you mean cat?"),
        ({"street": "a", "pets": [{"lives": 1}]}, "pets[0].kind is missing; give it"),
        ({"street": "a", "pets": {"kind": "cat"}}, "pets is {'kind': 'cat'}; a list is needed"),
        (
            {"street": "a", "pets": [{"kind": "dog"}, {"kind": "cat", "lifes": 1}]},
            "pets[1].lifes is no key here; did you mean lives?",
        ),
        (
            {"street": "a", "pets": [{"kind": "cat", "lives": 0}]},
            "pets[0].lives is 0; at least 1 is needed",
        ),
        (
            {"street": "a", "pets": [{"kind": "cat", "names": {"tom": "x"}}]},
            "pets[0].names.tom is 'x'; a whole number is needed",
        ),
        (
            {"street": "a", "pets": [{"kind": "tank", "tank": "b", "size": "c"}]},
            "pets[0].size is 'c'; a whole number is needed",
        ),
        ({"street": "a", "keeper": {"kind": "cat", "live": 3}}, "keeper.live is no key here; did"),
    ],
)
def test_the_first_fault_is_told_with_its_place(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as fault:
        checked(Home, values, "home.yaml")
    text = str(fault.value)
    assert text.startswith(f"home.yaml: {said}")
    assert "\n" not in text
    assert "pydantic" not in text


def test_what_is_no_mapping() -> None:
    with pytest.raises(OptionError, match=r"home.yaml: 3 stands where keys are needed: street"):
        checked(Home, 3, "home.yaml")


def test_the_nearest_is_offered_whatever_its_case() -> None:
    assert nearest("WEED", ["soil", "weed"]) == "did you mean weed?"
    assert nearest("xyz", ["soil", "weed"]) == "possible are soil, weed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "holds only a list"),
        ("a: 1\nb: {c: 2, c: 3}\n", r"'c' stands there twice, again on line 2"),
        ("a: &x 1\nb: *x\n", "an alias or anchor"),
        ("a: 0512\n", r"'a' on line 1 is '0512'; write a plain number"),
        ("a: [1, 2\n", "is not YAML on line"),
        ("a: " + "[" * 30 + "]" * 30, "nested"),
        ("a: 1\n---\nb: 1\n", "2 YAML documents"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=said):
        read_yaml(path, "a: 1")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no such file"):
        read_yaml(tmp_path / "none.yaml", "a: 1")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(OptionError, match="is not UTF-8"):
        read_yaml(tmp_path / "bytes.yaml", "a: 1")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(OptionError, match="more than 1 MB"):
        read_yaml(tmp_path / "large.yaml", "a: 1")


def test_nested_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text('a: {b: [1, 2.5], "#ff0000": weed, 0: soil}\n')
    assert read_yaml(path, "a: 1") == {"a": {"b": [1, 2.5], "#ff0000": "weed", 0: "soil"}}


def test_a_question_mark_needs_quotes(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("bands: [red, nir?]\n")
    with pytest.raises(OptionError, match=r"on line 1 .*question mark needs quotes"):
        read_yaml(path, "a: b")
