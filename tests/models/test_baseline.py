"""The index baseline: index, threshold and probabilities, on easy and on hopeless scenes."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import agriseg.raster
from agriseg.errors import BandError
from agriseg.models import (
    IndexBaseline,
    ModelCard,
    about,
    adapt,
    batch_of,
    check_fit,
    check_output,
    check_predictor,
    fingerprint_of,
    numerics_of,
)
from agriseg.models.baseline import INDICES, split
from agriseg.raster import Pixels

DATA = Path(__file__).parents[3] / "shared" / "data"
SOIL, LEAF = 0.12, 0.80  # NDVI of both surfaces


@pytest.fixture
def sampled(monkeypatch):
    """Replaces sampling: `sampled(data)` sets what every scene consists of; returns the calls."""
    calls = []

    def use(data, valid=None):
        data = np.asarray(data, np.float32)
        valid = np.ones(data.shape[1:], bool) if valid is None else valid

        def sample(scene, keys, *, max_pixels):
            calls.append(tuple(keys))
            assert len(keys) == len(data)
            return Pixels(data, valid)

        monkeypatch.setattr(agriseg.raster, "sample_pixels", sample, raising=False)
        return calls

    return use


def ndvi_pixels(ndvi):
    """(2, n, 1) red and nir whose sum is 0.5."""
    ndvi = np.asarray(ndvi, np.float32)[:, None]
    return np.stack([0.25 * (1 - ndvi), 0.25 * (1 + ndvi)])


def field(n=4000, share=0.2, noise=0.04, soil=SOIL, leaf=LEAF, seed=0):
    rng = np.random.default_rng(seed)
    is_leaf = np.arange(n) < share * n
    return np.clip(np.where(is_leaf, leaf, soil) + rng.normal(0, noise, n), -1, 1)


def test_before_a_scene_the_card_can_be_shown():
    baseline = check_predictor(IndexBaseline())
    card = ModelCard.from_json(baseline.card.to_json())
    assert card == baseline.card
    assert card.legend.names == ("soil", "vegetation")
    assert [label.color for label in card.legend] == ["#c8a882", "#1b6e2b"]
    assert (card.overlap, card.stride, card.chip_size) == (0, 1, 1024)
    assert batch_of(baseline) == 1
    assert json.loads(numerics_of(baseline))["engine"] == "numpy"
    with pytest.raises(RuntimeError, match="for_scene"):
        baseline(np.zeros((1, 2, 4, 4), np.float32))


def test_soil_and_vegetation_are_told_apart(make_scene, sampled):
    ndvi = field()
    sampled(ndvi_pixels(ndvi))
    scene = make_scene("green", ("red", 668.0), ("nir", 842.0))
    predictor = adapt(IndexBaseline(), scene)
    assert predictor.card.keys == ("red", "nir")
    assert predictor.card.bands[1].wavelength_nm == 842.0
    assert 0.2 <= predictor.card.options["threshold"] <= 0.6
    assert check_fit(predictor.card, scene)
    batch = ndvi_pixels(ndvi).reshape(1, 2, 50, 80)
    before = batch.copy()
    found = check_output(predictor(batch), batch.shape, predictor.card)
    assert np.array_equal(found[0].argmax(0).ravel(), np.arange(4000) < 800)
    assert np.array_equal(batch, before)
    facts = about(predictor)
    assert facts["index"] == "NDVI"
    assert facts["sampled_pixels"] == 4000
    assert "date" not in facts


def test_excess_green_where_there_is_no_near_infrared(make_scene, sampled):
    soil, leaf = [0.30, 0.25, 0.20], [0.10, 0.30, 0.08]
    calls = sampled(np.array([soil] * 90 + [leaf] * 10).T[..., None])
    predictor = IndexBaseline().for_scene(make_scene("blue", "green", "red"))
    assert calls == [("red", "green", "blue")]
    assert predictor.card.options["index"] == "ExG"
    out = predictor(np.array([soil, leaf], np.float32).T[None, :, :, None])
    assert out[0, 1, :, 0].round().tolist() == [0, 1]
    # (2 g - r - b) / (r + g + b), worked out by hand
    value = INDICES["ExG"].compute(np.array(leaf, np.float32)[:, None, None])
    assert float(value[0, 0]) == pytest.approx((0.6 - 0.18) / 0.48)


def test_scenes_without_the_bands(make_scene):
    for keys in (("green",), ("red", "green"), ("red", "rededge"), ("nir", "blue", "green")):
        with pytest.raises(BandError, match=r"red and nir, or red, green and blue.*--bands"):
            IndexBaseline().for_scene(make_scene(*keys))


def test_the_first_complete_date_is_taken_and_stated(make_scene, sampled):
    calls = sampled(ndvi_pixels(field()))
    scene = make_scene("red@may", "red@june", "nir@june", "red@july", "nir@july")
    predictor = IndexBaseline().for_scene(scene)
    assert calls == [("red@june", "nir@june")]
    assert predictor.card.keys == ("red@june", "nir@june")
    assert about(predictor)["date"] == "june"
    undated = make_scene("red@1", "nir@1", "red", "nir")
    assert IndexBaseline().for_scene(undated).card.keys == ("red", "nir")


def test_dates_are_never_mixed(make_scene, sampled):
    sampled(ndvi_pixels(field()))
    assert about(IndexBaseline().for_scene(make_scene("red@1", "nir@1")))["date"] == "1"
    with pytest.raises(BandError):
        IndexBaseline().for_scene(make_scene("red@1", "nir@2"))


def test_landsat_has_nir08(make_scene, sampled):
    calls = sampled(ndvi_pixels(field()))
    IndexBaseline().for_scene(make_scene("red", "nir08"))
    assert calls == [("red", "nir")]


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize(
    "values",
    [
        [],
        [np.nan] * 500,
        [0.3] * 15,
        [np.inf, -np.inf, 0.2],
        [0.25] * 500,
        [0.25] * 499 + [np.nan],
    ],
)
def test_hopeless_samples_get_the_usual_threshold(name, values):
    index = INDICES[name]
    found = split(np.array(values, np.float32), index)
    assert found.threshold == index.usual
    assert found.spread == index.spreads[1]
    assert "usual" in found.note


@pytest.mark.parametrize(
    ("mean", "noise", "is_green"),
    [(0.05, 0.03, False), (0.2, 0.05, False), (0.75, 0.05, True), (0.9, 0.02, True)],
)
def test_one_surface_is_not_split_through_its_noise(mean, noise, is_green):
    values = np.random.default_rng(1).normal(mean, noise, 20_000).astype(np.float32)
    threshold = split(values, INDICES["NDVI"]).threshold
    share = float((values > threshold).mean())
    assert share > 0.999 if is_green else share < 0.03


def test_the_threshold_stays_plausible():
    # Two soils and two canopies: Otsu's threshold lies between them, and is of no use.
    index = INDICES["NDVI"]
    soils, canopies = field(soil=-0.2, leaf=0.15), field(soil=0.62, leaf=0.95)
    low, high = split(soils, index), split(canopies, index)
    assert low.threshold == index.thresholds[0] != low.otsu
    assert high.threshold == index.thresholds[1] != high.otsu
    assert "moved" in low.note
    assert "moved" in high.note


def test_noisier_scenes_are_less_certain():
    index = INDICES["NDVI"]
    calm, noisy = (split(field(noise=noise), index).spread for noise in (0.09, 0.16))
    assert index.spreads[0] <= calm < noisy <= index.spreads[2]


def test_masked_pixels_do_not_count(make_scene, sampled):
    data = ndvi_pixels(field())
    scene = make_scene("red", "nir")
    sampled(data)
    expected = IndexBaseline().for_scene(scene)
    filler = np.full((2, 9000, 1), [[[9.0]], [[0.001]]], np.float32)
    valid = np.arange(13_000)[:, None] < 4000
    sampled(np.concatenate([data, filler], axis=1), valid)
    assert IndexBaseline().for_scene(scene).card == expected.card


def test_undefined_pixels_are_soil_with_half_a_chance(make_scene, sampled):
    sampled(ndvi_pixels(field()))
    predictor = IndexBaseline().for_scene(make_scene("red", "nir"))
    batch = np.array(
        [[0, 0], [np.nan, 1], [-1, 0.5], [np.inf, 1], [2e38, 3e38], [np.inf] * 2], np.float32
    ).T[None, :, :, None]
    out = predictor(batch)
    assert (out == 0.5).all()
    assert (out.argmax(1) == 0).all()


def test_a_scale_far_too_small_does_not_matter():
    bands = ndvi_pixels(field())
    index = INDICES["NDVI"]
    assert np.allclose(index.compute(bands * np.float32(1e-5)), index.compute(bands), atol=1e-5)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(1), st.integers(2, 3), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(width=32),
    )
)
def test_whatever_the_pixels_probabilities_come_out(batch):
    name = "NDVI" if batch.shape[1] == 2 else "ExG"
    index = INDICES[name]
    found = split(index.compute(batch), index)
    assert index.thresholds[0] <= found.threshold <= index.thresholds[1]
    base = IndexBaseline()
    card = json.loads(base.card.to_json()) | {
        "bands": [{"role": role} for role in index.roles],
        "options": {"index": name, "threshold": found.threshold, "spread": found.spread},
    }
    predictor = IndexBaseline(ModelCard.from_json(json.dumps(card)))
    with np.errstate(all="raise"):
        check_output(predictor(batch), batch.shape, predictor.card)


def test_a_value_like_any_other(make_scene, sampled):
    sampled(ndvi_pixels(field()))
    scene = make_scene("red", "nir")
    one, same = IndexBaseline().for_scene(scene), IndexBaseline().for_scene(scene)
    assert one == same == pickle.loads(pickle.dumps(one))
    assert fingerprint_of(one) == fingerprint_of(same) != fingerprint_of(IndexBaseline())
    sampled(ndvi_pixels(field(leaf=0.6)))
    assert fingerprint_of(IndexBaseline().for_scene(scene)) != fingerprint_of(one)
    with pytest.raises(AttributeError):
        one.card = None


def test_predicting_needs_no_torch():
    code = (
        "import sys, json, numpy as np\n"
        "from agriseg.models import IndexBaseline, ModelCard, check_output, new_accumulator\n"
        "from agriseg.tiling import ChipGrid\n"
        "d = json.loads(IndexBaseline().card.to_json())\n"
        "d['bands'] = [{'role': 'red'}, {'role': 'nir'}]\n"
        "d['options'] = {'index': 'NDVI', 'threshold': 0.3, 'spread': 0.05}\n"
        "p = IndexBaseline(ModelCard.from_json(json.dumps(d)))\n"
        "p(np.ones((1, 2, 4, 4), np.float32)); new_accumulator(p, ChipGrid(4, 4, 4, 0))\n"
        "assert not {'torch', 'skimage', 'geopandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
def test_a_real_flight():
    scene = agriseg.raster.open_scene(DATA / "scenes" / "rededge_vineyard.tif")
    predictor = adapt(IndexBaseline(), scene)
    pixels = scene.read(keys=predictor.card.keys)
    out = check_output(predictor(pixels.data[None]), (1, *pixels.data.shape), predictor.card)
    # Vine rows and an orchard over bare soil and a track; with the shade between the vines, which
    # has their NDVI, it would be 0.56.
    assert 0.35 < float((out[0, 1] > 0.5)[pixels.valid].mean()) < 0.45


def test_shaded_ground_between_rows_is_no_vegetation(make_scene, sampled):
    """Sunlit soil, leaves, and ground in shade that is as red and infrared as leaves, but dark."""
    red = np.repeat([0.20, 0.04, 0.008], 1000)
    nir = np.repeat([0.25, 0.50, 0.080], 1000)
    data = np.stack([red, nir]).astype(np.float32)[:, :, None]
    sampled(data)
    predictor = IndexBaseline().for_scene(make_scene("red", "nir"))
    assert predictor.card.options["shade_below"] == pytest.approx(0.15)
    classes = predictor(data[None])[0].argmax(axis=0)[:, 0]
    assert classes.reshape(3, 1000).mean(axis=1).tolist() == [0, 1, 0]


def test_where_a_pixel_is_larger_than_a_shadow_there_is_no_rule_for_shade(make_scene, sampled):
    sampled(np.array([[0.2, 0.04] * 50, [0.25, 0.5] * 50], np.float32)[:, :, None])
    predictor = IndexBaseline().for_scene(make_scene("red", "nir", gsd_m=10.0))
    assert "shade_below" not in predictor.card.options
