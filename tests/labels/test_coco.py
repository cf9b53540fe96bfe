"""COCO annotations: polygons, run lengths, boxes, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.errors import LabelError
from agriseg.labels import LabelledScene, Material
from agriseg.labels.rle import decode, runs_of
from tests.labels.support import codes_of, material, write_picture

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12), st.randoms()).map(
    lambda drawn: np.array(
        [[drawn[2].random() < 0.4 for _ in range(drawn[1])] for _ in range(drawn[0])]
    )
)


def runs(mask: Any) -> list[int]:
    """Run lengths of a mask, column by column, beginning with those of 0."""
    flat = mask.T.ravel().astype(int)
    found, value = [0], 0
    for pixel in flat:
        if pixel != value:
            found.append(0)
            value = pixel
        found[-1] += 1
    return found


@given(mask=MASKS)
def test_run_lengths_give_the_mask_back(mask: Any) -> None:
    np.testing.assert_array_equal(decode(runs(mask), *mask.shape), mask)


@given(mask=MASKS)
def test_packed_run_lengths_are_those_of_pycocotools(mask: Any) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    packed = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode(packed["counts"].decode(), *mask.shape), mask)


def test_long_runs_and_large_steps_are_unpacked() -> None:
    tools = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((900, 700), np.uint8)
    mask[100:800, 50:600] = 1
    mask[333, 77] = 0
    packed = tools.encode(np.asfortranarray(mask))["counts"].decode()
    assert runs_of(packed) == runs(mask)


@pytest.mark.parametrize("counts", ["a b", "o", [3, 4], [-1, 13], []])
def test_run_lengths_that_make_no_mask(counts: Any) -> None:
    with pytest.raises(ValueError, match="run lengths"):
        decode(counts, 3, 4)


IMAGES = [{"id": 1, "file_name": "server/a.png", "width": 40, "height": 30}]
KINDS = [{"id": 5, "name": "crop"}, {"id": 7, "name": "weed"}]
SQUARE = [2.0, 3.0, 22.0, 3.0, 22.0, 13.0, 2.0, 13.0]


def annotation(kind: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": 9, "image_id": 1, "category_id": kind, "segmentation": segmentation, **more}


def opened(base: Path, annotations: list[Any], *, data: Any = None, **more: Any) -> Material:
    write_picture(base / "a.png", np.full((3, 30, 40), 9, np.uint8))
    file = {"images": IMAGES, "categories": KINDS, "annotations": annotations} | (data or {})
    (base / "c.json").write_text(json.dumps(file))
    return material(base, {"kind": "coco", "annotations": "c.json", **more})


def one(base: Path, annotations: list[Any], **more: Any) -> LabelledScene:
    return opened(base, annotations, **more).scenes[0]


def test_polygons_and_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[5:8, 5:9] = True
    given = [
        annotation(7, {"size": [30, 40], "counts": runs(mask)}, iscrowd=1),
        annotation(5, [SQUARE, [30, 20, 36, 20, 36, 28, 30, 28]]),
    ]
    codes = codes_of(one(tmp_path, given, elsewhere="soil"))
    expected = np.zeros((30, 40), np.uint8)
    expected[3:13, 2:22] = expected[20:28, 30:36] = 1
    expected[mask] = 2
    np.testing.assert_array_equal(codes, expected)


def test_parts_of_one_annotation_add_up(tmp_path: Path) -> None:
    codes = codes_of(one(tmp_path, [annotation(5, [SQUARE, SQUARE])]))
    assert (codes == 1).sum() == 200


def test_mere_boxes_are_ignored(tmp_path: Path) -> None:
    given = [annotation(5, [], bbox=[2, 3, 20, 10])]
    labelled = one(tmp_path, given, elsewhere="soil")
    codes = codes_of(labelled)
    assert (codes[3:13, 2:22] == 255).all()
    assert (codes == 0).sum() == 1000
    labels: Any = labelled.labels
    assert "boxes without an outline in a: 1" in labels.look(labelled.scene)[0]


def test_categories_are_translated(tmp_path: Path) -> None:
    kinds = {"categories": [{"id": 5, "name": "beet"}, {"id": 7, "name": "unused"}]}
    given = [annotation(5, [SQUARE])]
    assert (codes_of(one(tmp_path, given, data=kinds, values={"beet": "crop"})) == 1).sum() == 200
    assert (codes_of(one(tmp_path, given, data=kinds, values={5: "weed"})) == 2).sum() == 200
    with pytest.raises(
        LabelError, match=r"the category 'beet', and the legend has soil, crop, weed"
    ):
        codes_of(one(tmp_path, given, data=kinds))


def test_pictures_without_annotations_are_told(tmp_path: Path) -> None:
    found = opened(tmp_path, [], elsewhere="soil")
    assert found.notes == ("pictures without an annotation in c.json: 1",)
    assert (codes_of(found.scenes[0]) == 0).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"images": [{"id": 1, "file_name": "b.png"}]},
            "does not exist; say where the pictures are",
        ),
        ({"images": [{"id": 1}]}, "an entry lacks 'file_name'"),
        ({"images": None}, "is no COCO file: it needs the lists"),
        ({"categories": []}, "has the category 5, which is not among its categories"),
        ({"images": [IMAGES[0] | {"width": 30, "height": 40}]}, "turned by a quarter"),
        (
            {"annotations": [annotation(5, {"size": [9, 9], "counts": [81]})]},
            "annotation 9 cannot be read: a mask of 9 x 9",
        ),
        ({"annotations": [annotation(5, None)]}, "neither an outline nor a box"),
        ({"annotations": [annotation(5, [[1, 2, 3]])]}, "annotation 9 cannot be read"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(LabelError, match=said) as fault:
        codes_of(one(tmp_path, [annotation(5, [SQUARE])], data=data))
    assert "\n" not in str(fault.value)


def test_files_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("[1, 2")
    with pytest.raises(LabelError, match="is not JSON"):
        material(tmp_path, {"kind": "coco", "annotations": "c.json"})
    with pytest.raises(LabelError, match="there is no such file"):
        material(tmp_path, {"kind": "coco", "annotations": "d.json"})
