"""Labels from COCO's `annotations.json`: polygons and run lengths on pictures.

A pixel belongs to the polygon that its centre lies in; pycocotools paints outlines about half a
pixel wider. Where annotations of different classes lie over each other, the smaller one lies on
top. A crowd (`iscrowd`) is of its class like any other. An annotation that is only a box says
nothing of its pixels: they are ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agriseg.errors import LabelError
from agriseg.geobox import Window
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.paint import Outlines, paint
from agriseg.labels.rle import decode
from agriseg.labels.values import OTHER, ValueTable
from agriseg.raster import Scene

__all__ = ["CocoFile", "CocoLabels", "read_coco"]

# A text of JSON takes about ten times its size in memory.
_MOST_BYTES = 2 << 30
_Key = int | str


@dataclass(frozen=True, eq=False)
class CocoFile:
    """What an annotations file holds.

    Args:
        images: By id: path as the file says it, width, height.
        categories: Name by id.
        annotations: By id of the image: its annotations, as they stand there.
    """

    images: Mapping[_Key, tuple[str, int | None, int | None]]
    categories: Mapping[_Key, str]
    annotations: Mapping[_Key, list[Mapping[str, Any]]]


def read_coco(path: str) -> CocoFile:
    """Read an annotations file; it is kept for the next time.

    Raises:
        LabelError: It is none.
    """
    try:
        facts = os.stat(path)
    except OSError as error:
        raise LabelError(f"{path}: there is no such file; check the path") from error
    if facts.st_size > _MOST_BYTES:
        raise LabelError(f"{path} has {facts.st_size / 2**30:.1f} GiB; at most 2 GiB can be read")
    return _read(path, facts.st_mtime)


@lru_cache(maxsize=4)
def _read(path: str, time: float) -> CocoFile:
    try:
        data = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise LabelError(f"{path} is not JSON ({error}); give COCO annotations") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in lists):
        raise LabelError(
            f"{path} is no COCO file: it needs the lists images, annotations and categories (of "
            "instances, not panoptic); export it as 'COCO' or 'COCO segmentation'"
        )
    try:
        images = {
            one["id"]: (str(one["file_name"]), one.get("width"), one.get("height"))
            for one in data["images"]
        }
        categories = {one["id"]: str(one["name"]) for one in data["categories"]}
        by_image: dict[_Key, list[Mapping[str, Any]]] = {key: [] for key in images}
        for one in data["annotations"]:
            if one["category_id"] not in categories:
                raise LabelError(
                    f"{path}: annotation {one.get('id')} has the category {one['category_id']}, "
                    "which is not among its categories; export it anew"
                )
            if one["image_id"] in by_image:
                by_image[one["image_id"]].append(one)
    except (KeyError, TypeError) as error:
        raise LabelError(f"{path} is no COCO file: an entry lacks {error}") from error
    return CocoFile(images, categories, by_image)


@dataclass(frozen=True)
class CocoLabels:
    """The annotations of one picture.

    Args:
        path: The JSON file.
        image: Id of the picture in it.
        codes: The classes.
        table: What its categories mean; by default they are names of the legend.
        elsewhere: Code of what lies outside of all annotations.
    """

    path: str
    image: int | str
    codes: Codes
    table: ValueTable | None = None
    elsewhere: int = IGNORE

    @property
    def files(self) -> tuple[str, ...]:
        """What they are read from."""
        return (self.path,)

    def open(self, scene: Scene) -> CocoReader:
        """Open them for the grid of `scene`.

        Raises:
            LabelError: They cannot be used with it.
        """
        return CocoReader(*self._painted(scene)[:2])

    def look(self, scene: Scene) -> tuple[str, ...]:
        """What a person should know of them, such as how many are mere boxes.

        Raises:
            LabelError: They cannot be used with `scene`.
        """
        boxes = self._painted(scene)[2]
        found = []
        if boxes:
            found.append(
                f"boxes without an outline in {scene.name}: {boxes}, whose pixels are ignored"
            )
        return tuple(found)

    def _painted(self, scene: Scene) -> tuple[NDArray[np.uint8], int, int]:
        file = read_coco(self.path)
        name, width, height = file.images[self.image]
        shape = scene.geobox.shape
        if width is not None and height is not None and (height, width) != shape:
            turned = " (one of the two is turned by a quarter)" if (width, height) == shape else ""
            raise LabelError(
                f"{self.path} says that {name} has {width} x {height} pixels, but it has "
                f"{shape[1]} x {shape[0]}{turned}; give the pictures that were annotated"
            )
        meaning = category_codes(file, self.table, self.codes, self.path)
        return _painted(self, shape, tuple(meaning.items()), os.stat(self.path).st_mtime)


def category_codes(
    file: CocoFile, table: ValueTable | None, codes: Codes, path: str
) -> dict[_Key, int]:
    """The code of each category that occurs.

    Raises:
        LabelError: A category is neither listed nor a class of the legend.
    """
    names = {} if table is None else dict(table.names)
    numbers = {} if table is None else {low: code for low, high, code in table.numbers}
    used = {one["category_id"] for many in file.annotations.values() for one in many}
    found: dict[_Key, int] = {}
    for key, name in file.categories.items():
        if name in names:
            found[key] = names[name]
        elif isinstance(key, int) and key in numbers:
            found[key] = numbers[key]
        elif table is not None and table.other is not None:
            found[key] = table.other
        elif table is None and name in codes.legend.names:
            found[key] = codes.legend.names.index(name)
        elif key in used:
            listed = ", ".join(names) if table else ", ".join(codes.legend.names)
            what = "values list" if table else "the legend has"
            raise LabelError(
                f"{path} has the category {name!r}, and {what} {listed}; say what it means: "
                f"values: {{{name}: {codes.legend.names[0]}}}, or {OTHER}: ignore"
            )
    return found


@lru_cache(maxsize=8)
def _painted(
    labels: CocoLabels,
    shape: tuple[int, int],
    meaning: tuple[tuple[_Key, int], ...],
    time: float,
) -> tuple[NDArray[np.uint8], int, int]:
    """Codes of a whole picture, pixels that several classes claim, and mere boxes."""
    table = dict(meaning)
    window = Window(0, 0, shape[1], shape[0])
    layers: list[tuple[float, Any, int]] = []
    boxes = 0
    for one in read_coco(labels.path).annotations[labels.image]:
        code = table[one["category_id"]]
        shapes = _shapes_of(one, shape, labels)
        if not shapes:
            boxes += 1
            shapes, code = [_box(one, labels)], IGNORE
        layers += [(_area(each), each, code) for each in shapes]
    codes = np.full(shape, labels.elsewhere, np.uint8)
    painted, clash = np.zeros(shape, bool), np.zeros(shape, bool)
    # The larger ones first; of equal ones the later lies on top.
    for _, each, code in sorted(layers, key=lambda layer: -layer[0]):
        mask = each if isinstance(each, np.ndarray) else _filled(each, window)
        clash |= mask & painted & (codes != code)
        codes[mask] = code
        painted |= mask
    codes.flags.writeable = False
    return codes, int(np.count_nonzero(clash)), boxes


def _shapes_of(one: Mapping[str, Any], shape: tuple[int, int], labels: CocoLabels) -> list[Any]:
    """Polygons (shapely) or a mask; none where an annotation is a mere box."""
    import shapely

    given = one.get("segmentation")
    try:
        if isinstance(given, dict):
            size = tuple(int(side) for side in given["size"])
            if size != shape:
                raise ValueError(f"a mask of {size[1]} x {size[0]} pixels")
            return [decode(given["counts"], *shape)]
        rings = [np.array(ring, float).reshape(-1, 2) for ring in given or []]
        if not all(np.isfinite(ring).all() for ring in rings):
            raise ValueError("coordinates that are not finite")
        # Less than three corners enclose nothing.
        return [shapely.Polygon(ring) for ring in rings if len(ring) >= 3]
    except (ValueError, TypeError, KeyError) as error:
        raise LabelError(
            f"{labels.path}: the segmentation of annotation {one.get('id')} cannot be read: "
            f"{error}; export it anew"
        ) from error


def _box(one: Mapping[str, Any], labels: CocoLabels) -> Any:
    import shapely

    try:
        left, top, width, height = (float(value) for value in one["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(
            f"{labels.path}: annotation {one.get('id')} has neither an outline nor a box; remove "
            "it, or export it anew"
        ) from error
    return shapely.box(left, top, left + width, top + height)


def _area(shape: Any) -> float:
    return float(np.count_nonzero(shape)) if isinstance(shape, np.ndarray) else float(shape.area)


def _filled(polygon: Any, window: Window) -> NDArray[np.bool_]:
    outline = Outlines.of(np.array([polygon], object), np.ones(1, np.uint8))
    codes, _ = paint(outline, window, np.zeros(window.shape, np.uint8))
    filled: NDArray[np.bool_] = codes == 1
    return filled


class CocoReader:
    """Open annotations of one picture. Used in a `with` block, in one thread.

    Args:
        codes: Of the whole picture.
        clashes: Its pixels that several classes claim.
    """

    def __init__(self, codes: NDArray[np.uint8], clashes: int) -> None:
        self._codes, self.clashes = codes, clashes

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Codes (h, w) of a window of the picture."""
        whole = Window(0, 0, self._codes.shape[1], self._codes.shape[0])
        inside = window.intersection(whole)
        if inside == window:
            return self._codes[window.slices].copy()
        out = np.full(window.shape, IGNORE, np.uint8)
        if inside is not None:
            out[inside.shifted(-window.col_off, -window.row_off).slices] = self._codes[
                inside.slices
            ]
        return out

    def __enter__(self) -> CocoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def image_path(folder: Path, name: str) -> Path:
    """Where a picture lies: as the file says, or by its name alone.

    Raises:
        LabelError: Nowhere.
    """
    # Labelling servers write absolute paths, of theirs, and Windows' ones backslashes.
    parts = PurePosixPath(name.replace("\\", "/"))
    for path in (folder / parts, folder / parts.name):
        if path.is_file():
            return path
    raise LabelError(f"{folder / parts.name} does not exist; say where the pictures are: images:")
