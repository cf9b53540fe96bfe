"""Classes and legends: what is accepted, what is refused."""

from __future__ import annotations

import pickle

import pytest

from agriseg.legend import NODATA, ClassLabel, Legend

FIELD = Legend.of(("soil", "#8c6d46"), ("crop", "#3a9d23"), ("weed", "#D7191C"))


def test_of_numbers_from_zero() -> None:
    assert [(label.value, label.name) for label in FIELD] == [(0, "soil"), (1, "crop"), (2, "weed")]
    assert FIELD.names == ("soil", "crop", "weed")
    assert len(FIELD) == 3
    assert Legend((*FIELD.classes,)) == FIELD
    assert pickle.loads(pickle.dumps(FIELD)) == FIELD


def test_a_list_of_classes_becomes_a_tuple() -> None:
    legend = Legend(list(FIELD.classes))  # type: ignore[arg-type]
    assert legend == FIELD
    assert hash(legend) == hash(FIELD)


def test_rgb() -> None:
    assert [label.rgb for label in FIELD] == [(140, 109, 70), (58, 157, 35), (215, 25, 28)]


@pytest.mark.parametrize("value", [-1, NODATA, 256])
def test_values_stay_in_a_byte_and_off_nodata(value: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.254"):
        ClassLabel(value, "soil", "#000000")


@pytest.mark.parametrize("color", ["red", "#fff", "#12345g", "123456", "#1234567", "#123456\n"])
def test_colours_are_rrggbb(color: str) -> None:
    with pytest.raises(ValueError, match="is not #rrggbb"):
        ClassLabel(0, "soil", color)


@pytest.mark.parametrize("name", ["", "  "])
def test_a_class_has_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="has no name"):
        ClassLabel(0, name, "#000000")


@pytest.mark.parametrize("values", [(), (1,), (0, 2), (1, 0), (0, 0)])
def test_values_have_no_gap(values: tuple[int, ...]) -> None:
    labels = tuple(ClassLabel(v, f"class {k}", "#000000") for k, v in enumerate(values))
    with pytest.raises(ValueError, match="without a gap"):
        Legend(labels)


def test_names_are_told_apart() -> None:
    with pytest.raises(ValueError, match="same name: soil, soil"):
        Legend.of(("soil", "#000000"), ("soil", "#111111"))


def test_all_255_values_fit() -> None:
    legend = Legend.of(*((f"class {k}", f"#{k:06x}") for k in range(NODATA)))
    assert legend.classes[-1].value == NODATA - 1
