"""The verb: the same map as `segment`, counted right, whatever the scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import agriseg
from agriseg.errors import LabelError, ModelError, OptionError, OutputError
from agriseg.evaluation.boundaries import boundary_counts, boundary_scores
from agriseg.evaluation.grids import at_gsd
from agriseg.evaluation.mapping import map_scenes, tasks_for
from agriseg.labels import Codes, open_material
from agriseg.labels.config import DataSettings
from agriseg.legend import Legend
from agriseg.settings import checked
from agriseg.tiling import ChipGrid, seam_score
from tests.evaluation.material import blobs, data, labelled
from tests.support import LEGEND, Identity, Smooth, class_field, identity_card, read_classes

PLAIN = Codes(LEGEND)
PLANTS = Codes(Legend.of(("soil", "#c8a882"), ("plant", "#1b6e2b")))
TO_PLANT = {"crop": "plant", "weed": "plant"}


@dataclass(frozen=True)
class Counting(Smooth):
    """Notes the shapes that it was called with."""

    shapes: list[tuple[int, ...]] = field(default_factory=list, compare=False)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.shapes.append(batch.shape)
        return super().__call__(batch)


def test_the_classes_are_those_of_segment(tmp_path: Path) -> None:
    """Odd sizes, holes, several chip rows, equal neighbours that share batches."""
    rng = np.random.default_rng(1)
    scenes, sizes = [], [(37, 50), (12, 15), (12, 15), (12, 15), (1, 40), (33, 16)]
    for place, (height, width) in enumerate(sizes):
        values = class_field(height, width, place)[0]
        values[rng.random(values.shape) < 0.1] = -10000
        if place == 0:
            values[:20, :25] = -10000  # a chip without a valid pixel
        codes = np.zeros((height, width), np.uint8)
        scenes.append(labelled(tmp_path / f"{place}.tif", values, codes, nodata=-10000))
    model = Smooth(batch=3)
    found: dict[int, list[np.ndarray]] = {}
    sure: dict[int, list[np.ndarray]] = {}
    for rows in map_scenes(tasks_for(scenes, model), probabilities=True):
        found.setdefault(rows.task.place, []).append(rows.classes)
        assert rows.probabilities is not None
        sure.setdefault(rows.task.place, []).append(rows.confidence)
    for place, scene in enumerate(scenes):
        run = agriseg.segment(scene.scene, tmp_path / "out", model=model, polygons=False)
        classes = np.concatenate(found[place])
        np.testing.assert_array_equal(classes, read_classes(run.classes))
        known = classes != 255
        confidence = np.concatenate(sure[place])
        np.testing.assert_array_equal(confidence[known], read_classes(run.confidence)[known])


def test_chips_without_a_label_are_not_predicted_and_change_nothing(tmp_path: Path) -> None:
    values, codes = class_field(64, 64)[0], blobs(64, 64, 3, 1)
    codes[:, 30:] = 255
    scene = labelled(tmp_path / "a.tif", values, codes)
    model, whole = Counting(), Counting()
    part = agriseg.evaluate(model, data([scene], PLAIN))
    run = agriseg.segment(scene.scene, tmp_path / "out", model=whole, polygons=False)
    assert len(model.shapes) < 0.7 * len(whole.shapes)
    classes = read_classes(run.classes)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (codes[:, :30].ravel(), classes[:, :30].ravel()), 1)
    np.testing.assert_array_equal(part.confusion, expected)
    assert part.pixels.ignored == 64 * 34


def test_small_photos_fill_batches_together(tmp_path: Path) -> None:
    scenes = [
        labelled(tmp_path / f"{k}.tif", class_field(10, 12, k)[0], blobs(10, 12, 3, k))
        for k in range(8)
    ]
    model = Counting(batch=4)
    agriseg.evaluate(model, data(scenes, PLAIN))
    assert [shape[0] for shape in model.shapes] == [4, 4]


def test_counts_of_many_strips_blocks_and_tiles_are_those_of_the_whole(tmp_path: Path) -> None:
    """More rows than a strip, a tolerance over their seams, labels with sets."""
    truth = blobs(1100, 70, 3, 3)
    values = np.roll(truth, 1, axis=0).astype(np.float32)
    codes = truth.copy()
    codes[500:530, 10:40] = 3
    codes[900:, :10] = 255
    scene = labelled(tmp_path / "a.tif", values, codes)
    labels = Codes.of(LEGEND, ["soil or weed"])
    found = agriseg.evaluate(Identity(), data([scene], labels), tolerance_m=0.06)
    counts = np.zeros((4, 3), int)
    known = codes != 255
    np.add.at(counts, (codes[known], values[known].astype(int)), 1)
    np.testing.assert_array_equal(found.pixels.counts, counts)
    whole = boundary_counts(
        codes,
        values.astype(np.uint8),
        labels.allowed[:4],
        3.0,
        (slice(0, 1100), slice(0, 70)),
    )
    f1, iou = boundary_scores(whole[0, 0])
    np.testing.assert_allclose(found.measures["boundary_f1"].value, f1)
    np.testing.assert_allclose(found.measures["boundary_iou"].value, iou)
    assert found.unit.kind == "blocks"
    assert 8 <= found.unit.count <= 128
    grid = ChipGrid(1100, 70, 16, 4)
    assert found.seam_score == pytest.approx(seam_score(values.astype(np.uint8), grid))
    assert found.pixels.truth_ha is not None
    assert found.pixels.truth_ha[1] == pytest.approx(4e-8 * (codes == 1).sum())


def test_objects_of_the_map_are_right_as_those_of_the_truth_are_found(tmp_path: Path) -> None:
    """Three plants of which two are mapped, two that are not there, and what nobody knows.

    One of those that are not there lies over the seam of two strips.
    """
    codes = np.zeros((1100, 60), np.uint8)
    values = np.zeros((1100, 60), np.uint8)
    for top in (10, 100, 200):
        codes[top : top + 4, 10:15] = 1
    values[11:14, 10:15] = 1  # 15 pixels of 20, all right
    values[101:109, 10:15] = 1  # 40 pixels, 15 of them right
    values[200:204, 10:12] = 1  # 8 pixels of 20: not found, but right
    values[508:516, 30:35] = 1
    values[700, 20] = 1  # smaller than any plant
    codes[800:850] = 255
    values[810:815, 10:20] = 1  # nobody knows
    codes[900:950] = 3
    values[910:915, 10:20] = 2  # soil or weed: may be
    values[930:935, 10:20] = 1  # is not
    scene = labelled(tmp_path / "a.tif", values, codes)
    labels = Codes.of(LEGEND, ["soil or weed"])
    found = agriseg.evaluate(Identity(), data([scene], labels))
    crop = [one for one in found.objects if one.class_name == "crop"]
    # 8 pixels are 32 cm2, 15 are 60, 40 are 160, and 50 are 200.
    assert [(round(1e4 * one.low), one.objects, one.found) for one in crop] == [
        (30, 3, 2),
        (100, 0, 0),
    ]
    assert [(one.called, one.right) for one in crop] == [(2, 2), (3, 0)]
    assert [one.precision for one in crop] == [1.0, 0.0]
    assert np.isnan(crop[1].recall)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["object_precision"]["crop"] == 0.4
    assert told["object_recall"]["crop"] == pytest.approx(2 / 3, abs=1e-4)
    assert "weed" not in told["object_precision"], "the truth has none"
    assert [one["recall"] for one in told["objects"] if one["class"] == "crop"][1] is None


def test_model_classes_that_are_one_in_the_data(tmp_path: Path) -> None:
    truth = blobs(40, 40, 3, 4)
    scene = labelled(tmp_path / "a.tif", truth, (truth > 0).astype(np.uint8))
    found = agriseg.evaluate(Identity(), data([scene], PLANTS), renamed=TO_PLANT)
    assert found.iou == {"soil": 1.0, "plant": 1.0}
    assert found.words.startswith("Mapped very well: soil (IoU 1.00) and plant (IoU 1.00).")
    soft = agriseg.evaluate(Smooth(), data([scene], PLANTS), renamed=TO_PLANT)
    # Plant is as sure as crop and weed together: a map of three classes is not below a third.
    confidence = soft.calibration.reliability
    assert confidence.pixels.sum() == 1600
    assert not confidence.pixels[:5].any()
    with pytest.raises(LabelError, match="say which of them it is"):
        agriseg.evaluate(Identity(), data([scene], PLANTS))


def test_scenes_are_units_where_there_are_enough_and_groups_stay_together(tmp_path: Path) -> None:
    scenes = [
        labelled(
            tmp_path / f"{k}.tif",
            blobs(20, 20, 3, k),
            blobs(20, 20, 3, k + k % 3),
            group=f"g{k // 2}",
        )
        for k in range(20)
    ]
    alone = [replace(one, group=one.name) for one in scenes]
    by_scene = agriseg.evaluate(Identity(), data(alone, PLAIN))
    by_group = agriseg.evaluate(Identity(), data(scenes, PLAIN))
    assert by_scene.unit.words == "20 scenes"
    assert by_group.unit.words == "10 groups of scenes"
    assert by_scene.mean_iou == by_group.mean_iou
    iou = by_scene.measures["mean_iou"]
    assert iou.low < iou.value < iou.high
    few = agriseg.evaluate(Identity(), data(alone[:3], PLAIN))
    assert few.unit.kind == "blocks"
    assert "not for other fields" in few.unit.caveat


def test_an_absent_class_is_a_dash_and_not_a_number(tmp_path: Path) -> None:
    truth = blobs(30, 30, 2, 4)
    found = agriseg.evaluate(Identity(), data([labelled(tmp_path / "a.tif", truth, truth)], PLAIN))
    assert found.iou["weed"] is None
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["classes"]["weed"]["iou"] == {"value": None, "low": None, "high": None}
    assert told["scores"]["mean_iou"]["value"] == 1.0
    assert "no weed alone" in found.words


def test_two_models_are_compared_on_equal_draws(tmp_path: Path) -> None:
    truth = blobs(120, 120, 3, 5)
    worse = truth.copy()
    worse[::3] = 0
    scene = labelled(tmp_path / "a.tif", worse, truth)
    same = agriseg.evaluate(Identity(), data([scene], PLAIN), against=Identity())
    assert same.comparison is not None
    difference = same.comparison.differences["mean_iou"]
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    other = Smooth(card=identity_card(name="smooth"))
    found = agriseg.evaluate(Identity(), data([scene], PLAIN), against=other)
    assert found.comparison is not None
    apart = found.comparison.differences["mean_iou"]
    assert apart.value == pytest.approx(found.mean_iou - found.comparison.other.mean_iou)
    assert 0 < apart.low < apart.value < apart.high


def test_coarser_pixels_in_a_series(tmp_path: Path) -> None:
    truth = np.repeat(np.repeat(blobs(30, 30, 3, 6), 4, 0), 4, 1)
    scene = labelled(tmp_path / "a.tif", truth, truth)
    found = agriseg.evaluate(Identity(), data([scene], PLAIN), gsd_m=[0.04, 0.2])
    assert [one.gsd_m for one in found.series] == [0.04, 0.2]
    assert found.series[0].mean_iou > 0.95 > found.series[1].mean_iou
    assert all((one.seconds_per_ha or 0) > 0 for one in found.series)
    assert len(found.to_dict()["gsd_series"]) == 2
    photo = labelled(tmp_path / "b.tif", truth, truth, crs=None)
    with pytest.raises(OptionError, match="gsd_m"):
        agriseg.evaluate(Identity(), data([photo], PLAIN), gsd_m=[0.04])
    known = replace(photo, gsd_m=0.02)
    alike = agriseg.evaluate(Identity(), data([known], PLAIN), gsd_m=[0.04]).series[0]
    assert alike.mean_iou == pytest.approx(found.series[0].mean_iou)


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    truth = blobs(20, 30, 3, 7)
    values = truth.astype(np.float32)
    values[:4] = -1
    codes = truth.copy()
    codes[:, :5] = 255
    found = agriseg.evaluate(
        Identity(), data([labelled(tmp_path / "a.tif", values, codes, nodata=-1)], PLAIN)
    )
    assert found.pixels.ignored == 20 * 5
    assert found.pixels.unpredicted == 4 * 25
    assert found.pixels.labelled == 16 * 25


def test_faults_are_told_in_one_line(tmp_path: Path) -> None:
    truth = blobs(20, 20, 3, 7)
    scene = labelled(tmp_path / "a.tif", truth, truth)
    empty = labelled(tmp_path / "b.tif", truth, np.full_like(truth, 255))
    given = data([scene], PLAIN)
    with pytest.raises(LabelError, match="none of the 1 scene has a labelled pixel"):
        agriseg.evaluate(Identity(), data([empty], PLAIN))
    with pytest.raises(LabelError, match="no labelled scene"):
        agriseg.evaluate(Identity(), data([], PLAIN))
    with pytest.raises(LabelError, match="no scene is set apart for 'test'"):
        agriseg.evaluate(Identity(), given, part="test")
    with pytest.raises(OptionError, match="positive number of metres"):
        agriseg.evaluate(Identity(), given, tolerance_m=-1)
    with pytest.raises(OptionError, match="128 are possible"):
        agriseg.evaluate(Identity(), given, tolerance_m=50)
    far = Identity(card=identity_card(gsd_m=(1.0, 2.0)))
    with pytest.raises(ModelError, match="--ignore-gsd"):
        agriseg.evaluate(far, given)
    assert agriseg.evaluate(far, given, ignore_gsd=True).mean_iou == 1.0


def test_only_a_part(tmp_path: Path) -> None:
    truth = blobs(20, 20, 3, 7)
    scenes = [labelled(tmp_path / f"{k}.tif", truth, truth) for k in range(3)]
    given = replace(data(scenes, PLAIN), parts=("train", "test", None))
    found = agriseg.evaluate(Identity(), given, part="test")
    assert [one.name for one in found.scenes] == ["1"]


def test_it_is_written(tmp_path: Path) -> None:
    truth = blobs(90, 70, 3, 8)
    scene = labelled(tmp_path / "a.tif", truth, np.roll(truth, 2, axis=1))
    found = agriseg.evaluate(
        Smooth(), data([scene], PLAIN), tmp_path / "new" / "out", against=Identity(), gsd_m=[0.05]
    )
    folder = tmp_path / "new" / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation.json", "evaluation.png"]
    told = json.loads((folder / "evaluation.json").read_text())
    assert told["scores"]["mean_iou"]["value"] == pytest.approx(found.mean_iou, rel=1e-5)
    assert told["against"]["model"]["name"] == "identity"
    assert (folder / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_is_told_before_anything_is_mapped(tmp_path: Path) -> None:
    truth = blobs(20, 20, 3, 7)
    model = Counting()
    (tmp_path / "out").write_text("a file")
    given = data([labelled(tmp_path / "a.tif", truth, truth)], PLAIN)
    with pytest.raises(OutputError, match="give another folder with -o"):
        agriseg.evaluate(model, given, tmp_path / "out")
    assert not model.shapes


def test_numbers_that_are_not_finite_are_told(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken(Identity):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return np.full((len(batch), 3, *batch.shape[2:]), np.nan, np.float32)

    truth = blobs(20, 20, 3, 7)
    with pytest.raises(ModelError):
        agriseg.evaluate(Broken(), data([labelled(tmp_path / "a.tif", truth, truth)], PLAIN))


def test_labels_that_are_mostly_sets_tell_nothing_of_confidence(tmp_path: Path) -> None:
    truth = blobs(40, 40, 3, 9)
    codes = np.where(truth == 1, 1, 3).astype(np.uint8)
    labels = Codes.of(LEGEND, ["soil or weed"])
    found = agriseg.evaluate(Smooth(), data([labelled(tmp_path / "a.tif", truth, codes)], labels))
    assert np.isnan(found.calibration.error)
    assert found.iou["crop"] is not None
    assert (found.iou["soil"], found.iou["weed"]) == (None, None)
    assert "no soil or weed alone" in found.words


def test_photos_without_a_place_at_coarser_pixels(tmp_path: Path) -> None:
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    truth = np.kron(blobs(15, 20, 3, 5), np.ones((3, 3), np.uint8))
    for name in ("i/a.png", "m/a.png"):
        Image.fromarray(truth).save(tmp_path / name)
    entry = {"kind": "folders", "images": "i", "labels": "m", "bands": "red", "gsd_m": 0.01}
    settings = checked(DataSettings, {"legend": LEGEND, "data": [entry]}, "a test")
    given = open_material(settings.data, settings.legend, base=tmp_path)
    coarse = at_gsd(given.scenes, 0.03)[0]
    assert coarse.scene.geobox.shape == (15, 20)
    with coarse.labels.open(coarse.scene) as reader:
        np.testing.assert_array_equal(reader.read(coarse.scene.geobox.window), truth[1::3, 1::3])
