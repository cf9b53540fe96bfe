"""Models as ONNX files for QGIS: what Deepness reads of them, and that they give our classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import agriseg
from agriseg.errors import ModelError, OptionError, OutputError
from agriseg.legend import Legend
from agriseg.models import (
    BandInput,
    ModelCard,
    build_network,
    export_onnx,
    load_model,
    onnx_export,
    read_card,
    save_model,
)
from agriseg.models.onnx_export import _by_largest
from agriseg.models.onnx_file import read_graph_facts
from agriseg.tiling.accumulator import decide
from tests.support import fresh_command, read_classes, write_raster

FIVE = Legend.of(
    ("soil", "#c8a882"), ("beet", "#1b6e2b"), ("rye", "#7cb342"), ("weed", "#d81b9a"),
    ("stone", "#888888"),
)  # fmt: skip
BANDS = (
    BandInput("red", 640, mean=0.1, std=0.05),
    BandInput("green", 560, required=False, mean=0.12, std=0.04),
    BandInput("nir", 842, required=False, mean=0.4, std=0.1),
)


SMALL = {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}

SAVED: dict[str, Path] = {}


@pytest.fixture
def save(
    make_card: Callable[..., ModelCard], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """A model file, made once for all tests, in half precision as models are shipped."""

    def save(**changes: Any) -> Path:
        card = make_card(**{"bands": BANDS, "gsd_m": (0.002, 0.05), "temperature": 0.8} | changes)
        if card.digest not in SAVED:
            torch.manual_seed(4)
            network = build_network(card).train()
            with torch.no_grad():
                for _ in range(3):  # for the statistics of its batch norms
                    network(torch.randn(2, len(card.bands), 64, 64))
            weights = {
                key: value.half() if value.is_floating_point() else value
                for key, value in network.state_dict().items()
            }
            path = tmp_path_factory.mktemp("models") / f"{card.name}.safetensors"
            SAVED[card.digest] = save_model(path, card, weights)
        return SAVED[card.digest]

    return save


def metadata(path: Path) -> dict[str, Any]:
    """All that stands in a file, as ONNX Runtime gives it to Deepness."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map
    return {key: json.loads(text) for key, text in texts.items()}


def deepness(path: Path, numbers: np.ndarray) -> np.ndarray:
    """The classes that Deepness 0.6.5 finds in tiles of (n, bands, h, w) numbers of any type."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    mean, std = (
        np.float32(told[f"standardization_{name}"]).reshape(1, -1, 1, 1) for name in ("mean", "std")
    )
    with np.errstate(over="ignore"):
        tiles = (np.float32(numbers * 1.0 / 255.0) - mean) / std
    (found,) = session.run(None, {session.get_inputs()[0].name: tiles})
    assert abs(found.sum(axis=1) - 1).max() < 1e-5
    return found.argmax(axis=1)


def own_classes(model: Path, reflectance: np.ndarray) -> np.ndarray:
    """What agriseg decides on (n, bands, h, w) with all of the model's bands."""
    predictor = load_model(model, engine="torch", precision="float32")
    found = predictor(reflectance.astype(np.float32)).numpy()
    return np.stack([decide(one, predictor.card.together_values)[0] for one in found])


def field(shape: tuple[int, ...] = (1, 3, 64, 64), seed: int = 0) -> np.ndarray:
    """Reflectance with patches, about as the cards have it, in steps of 1 / 10000."""
    n, bands, height, width = shape
    rng = np.random.default_rng(seed)
    patches = rng.normal(0, 1, (n, bands, height // 8, width // 8)).repeat(8, 2).repeat(8, 3)
    noise = rng.normal(0, 0.5, shape)
    means, stds = (
        np.array([getattr(b, k) for b in BANDS[:bands]]).reshape(1, -1, 1, 1)
        for k in ("mean", "std")
    )
    return np.rint(((patches + noise) * stds + means).clip(0, 1) * 10000) / 10000


# What Deepness reads -----------------------------------------------------------------------------


def test_the_metadata_are_what_deepness_reads(save, tmp_path):
    done = export_onnx(save(), tmp_path / "q.onnx", gsd_m=0.0123, bands="nir,red", scale=1e-4)
    told = metadata(done.path)
    assert told.pop("agriseg")["name"] == "tiny"
    assert told == json.loads(json.dumps(done.metadata))
    mean, std = told.pop("standardization_mean"), told.pop("standardization_std")
    assert mean == pytest.approx([4000 / 255, 1000 / 255])
    assert std == pytest.approx([1000 / 255, 500 / 255])
    assert told == {
        "model_type": "Segmentor",
        "class_names": {"0": "soil", "1": "crop", "2": "weed"},
        "resolution": 1.23,
        "tile_size": 64,
        "tiles_size": 64,
        "tiles_overlap": 25,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }


def test_height_width_and_channels_are_fixed(save, tmp_path):
    path = export_onnx(save(), tmp_path / "q.onnx", chip=40, overlap=7).path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, 40, 40]
    assert session.get_outputs()[0].shape == ["batch", 3, 40, 40]
    assert metadata(path)["tiles_overlap"] == 18  # 17.5 %
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    # ONNX Runtime 1.12 reads no newer ones.
    assert model.ir_version <= 8
    assert [item.version for item in model.opset_import] == [17]
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in types
    assert str(Path.cwd()).encode() not in path.read_bytes()


def test_pictures_have_8_bits_and_other_rasters_reflectance(save, tmp_path):
    model = save()
    picture = export_onnx(model, tmp_path / "a.onnx", bands=["green", "red"])
    assert picture.scale == 1 / 255
    assert picture.metadata["standardization_mean"] == pytest.approx([0.12, 0.1])
    other = export_onnx(model, tmp_path / "b.onnx")
    assert other.scale == 1
    assert other.metadata["standardization_std"] == pytest.approx(np.array([5, 4, 10]) / 25500)


def test_without_a_size_deepness_works_in_the_middle_of_the_range(save, tmp_path):
    done = export_onnx(save(), tmp_path / "a.onnx")
    assert done.metadata["resolution"] == pytest.approx(1, rel=1e-5)  # of 0.2 to 5 cm
    anywhere = export_onnx(save(gsd_m=None), tmp_path / "b.onnx")
    assert "resolution" not in anywhere.metadata
    assert export_onnx(save(gsd_m=None), tmp_path / "c.onnx", gsd_m=10).metadata[
        "resolution"
    ] == pytest.approx(1000)


# The same classes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"options": {**SMALL, "band_pairs": True}},
        {"architecture": "unet++", "together": ("crop", "weed")},
        {"architecture": "fpn", "options": {"encoder_name": "resnet18"}, "stride": 32},
        {"architecture": "deeplabv3+", "options": {"encoder_name": "resnet18"}, "stride": 16},
        {"legend": FIVE, "together": ("weed", "beet", "rye")},
    ],
    ids=["unet", "pairs", "unet++", "fpn", "deeplabv3+", "five classes"],
)
def test_the_likeliest_class_is_ours(save, tmp_path, changes):
    model = save(**changes)
    path = export_onnx(model, tmp_path / "q.onnx", scale=1).path
    data = field((2, 3, 64, 64))
    expected = own_classes(model, data)
    assert len(np.unique(expected)) >= 2
    assert (deepness(path, data) == expected).mean() >= 0.999


@pytest.mark.parametrize(
    ("scale", "offset", "kind"),
    [(1.0, 0.0, np.float64), (1e-4, 0.0, np.uint16), (1e-4, -0.1, np.int16), (1 / 255, 0, None)],
)
def test_numbers_of_any_kind(save, tmp_path, scale, offset, kind):
    model = save(together=("crop", "weed"))
    path = export_onnx(model, tmp_path / "q.onnx", scale=scale, offset=offset).path
    data = field()
    numbers = (data - offset) / scale
    if kind is None:
        numbers = np.rint(numbers).clip(0, 255).astype(np.uint8)
        data = numbers / 255
    else:
        numbers = np.rint(numbers).astype(kind) if kind != np.float64 else numbers
    assert (deepness(path, numbers) == own_classes(model, data)).mean() >= 0.999


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("keys", [("red",), ("nir", "red"), ("green", "red", "nir")])
def test_missing_bands_are_their_means_and_the_order_is_the_users(save, tmp_path, keys, pairs):
    model = save(options={**SMALL, "band_pairs": pairs})
    done = export_onnx(model, tmp_path / "q.onnx", bands=keys, scale=1)
    assert done.card.keys == keys
    data = field()
    given = np.concatenate(
        [data[:, [b.role for b in BANDS].index(key)][:, None] for key in keys], 1
    )
    whole = data.copy()
    for k, band in enumerate(BANDS):
        if band.role not in keys:
            whole[:, k] = band.mean
    assert (deepness(done.path, given) == own_classes(model, whole)).mean() >= 0.999


@pytest.mark.parametrize("nodata", [np.nan, -10000, -3.4e38, 6.5535, np.inf])
def test_missing_pixels_are_filled_as_ours_are(save, tmp_path, nodata):
    model = save()
    path = export_onnx(model, tmp_path / "q.onnx", scale=1).path
    data = field()
    broken, filled = data.copy(), data.copy()
    broken[:, 1, 20:50, :13] = nodata  # of one band: the pixel is missing in all of them
    filled[:, :, 20:50, :13] = [[[b.mean]] for b in BANDS]
    np.testing.assert_array_equal(deepness(path, broken), deepness(path, filled))
    assert (deepness(path, broken) == own_classes(model, filled)).mean() >= 0.999


def test_a_model_for_any_numbers_takes_large_ones(save, tmp_path):
    bands = (BandInput("red", mean=3000, std=900), BandInput("nir", mean=9000, std=2000))
    model = save(bands=bands, radiometry="any")
    path = export_onnx(model, tmp_path / "q.onnx", scale=1).path
    data = field((1, 2, 64, 64)) * 20000
    assert (deepness(path, data) == own_classes(model, data)).mean() >= 0.999
    data[:, 0, :9] = np.nan
    assert len(np.unique(deepness(path, data))) > 1  # it does not spread


@given(
    hnp.arrays(np.float32, (5, 3, 4), elements=st.floats(0, 1, width=32)),
    st.sets(st.integers(0, 4), min_size=2, max_size=4),
)
def test_the_largest_is_the_class_that_is_decided(data, together):
    members = sorted(together)
    data = (data + 1e-3) / (data + 1e-3).sum(axis=0)
    found = _by_largest(torch.from_numpy(data)[None], members)[0].numpy()
    expected, _ = decide(data, members)
    total = sum(data[k] for k in members)
    most = data[[k for k in range(5) if k not in together]].max(axis=0)
    # Where both sides are equal, the first is the likeliest, and the other side wins here.
    clear = total != most
    np.testing.assert_array_equal(found.argmax(axis=0)[clear], expected[clear])
    np.testing.assert_array_equal(decide(found, members)[0][clear], expected[clear])
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(found[members].sum(axis=0), total, atol=1e-6)
    # Nothing is moved where one class is the likeliest by itself, and the one that is decided.
    best, second = np.sort(data, axis=0)[:-3:-1]
    stays = (data.argmax(axis=0) == expected) & (best > second)
    np.testing.assert_array_equal(found[:, stays], data[:, stays])


# agriseg reads it too ----------------------------------------------------------------------------


def test_agriseg_segments_with_the_file_alone(save, tmp_path):
    model = save(together=("crop", "weed"), caution="a rough one")
    path = export_onnx(model, tmp_path / "q.onnx").path
    card = read_card(path)
    assert (card.bands, card.together, card.gsd_m) == (BANDS, ("crop", "weed"), (0.002, 0.05))
    assert (card.temperature, card.caution) == (1, "a rough one")
    data = field((1, 3, 64, 128))[0]
    data[:, :9, :11] = np.nan
    raster = write_raster(
        tmp_path / "f.tif", data.astype(np.float32), descriptions=["Red", "Green", "NIR"]
    )
    runs = [
        agriseg.segment(raster, tmp_path / name, model=which, polygons=False, **how)
        for name, which, how in (
            ("a", path, {}),
            ("b", model, {"engine": "torch", "precision": "float32"}),
        )
    ]
    found, expected = (read_classes(run.classes) for run in runs)
    np.testing.assert_array_equal(found == 255, expected == 255)
    # The graph decides what is decided as one in each chip, before chips are blended.
    alone = np.r_[:48, 64:96, 112:128]
    assert (found[:, alone] == expected[:, alone]).mean() >= 0.999
    assert (found == expected).mean() >= 0.995


def test_a_network_that_holds_its_size_is_exported_all_the_same(save, tmp_path, monkeypatch):
    class Ramp(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ramp = np.linspace(0, 1, int(x.shape[3]), dtype=np.float32)
            return x * torch.from_numpy(ramp)

    model = save()
    assert read_graph_facts(export_onnx(model, tmp_path / "a.onnx").path).any_size
    monkeypatch.setattr(onnx_export, "load_network", lambda *_, **__: Ramp())
    path = export_onnx(model, tmp_path / "b.onnx").path
    assert not read_graph_facts(path).any_size
    assert load_model(path)(field()[:, :, :24, :40].astype(np.float32)).shape == (1, 3, 24, 40)


def test_agriseg_gets_the_same_probabilities(save, tmp_path):
    """Of chips that the raster's edge clips, too, which the graph takes as they are."""
    model = save()
    bands = ("green", "nir", "red")
    path = export_onnx(model, tmp_path / "q.onnx", bands=bands).path
    own, read = load_model(model, engine="torch", precision="float32"), load_model(path)
    for height, width in ((64, 64), (64, 24), (8, 40)):
        data = np.ascontiguousarray(field()[:, :, :height, :width], np.float32)
        found = read(np.ascontiguousarray(data[:, [1, 2, 0]]))
        torch.testing.assert_close(found, own(data), atol=1e-4, rtol=0)


def test_the_same_export_gives_the_same_bytes(save, tmp_path):
    model = save()
    for name in "ab":
        export_onnx(model, tmp_path / f"{name}.onnx", chip=32)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# What goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bands": "red,rededge"}, "no band 'rededge'"),
        ({"bands": "nir,green"}, "needs red"),
        ({"bands": "red,nir,red"}, "red is named twice"),
        ({"bands": " , "}, "needs red"),
        ({"chip": 60}, "56 or 64"),
        ({"chip": 3}, "use 8$"),
        ({"chip": -64}, "use 8$"),
        ({"overlap": 33}, "0 to 32 pixels"),
        ({"gsd_m": 0.2}, "0.002 to 0.05 m"),
        ({"gsd_m": 0.0}, "above 0"),
        ({"scale": 0.0}, "above 0"),
        ({"scale": 1.0, "offset": float("nan")}, "finite"),
    ],
)
def test_options_that_do_not_fit(save, tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        export_onnx(save(), tmp_path / "q.onnx", **options)
    assert not list(tmp_path.glob("*.onnx*"))


def test_what_cannot_be_exported(save, tmp_path):
    with pytest.raises(ModelError, match="looking at the whole scene"):
        export_onnx("index-baseline", tmp_path / "q.onnx")
    path = export_onnx(save(), tmp_path / "q.onnx").path
    with pytest.raises(ModelError, match="an ONNX file already"):
        export_onnx(path, tmp_path / "r.onnx")
    with pytest.raises(ModelError, match="no model file"):
        export_onnx(tmp_path / "no.safetensors", tmp_path / "r.onnx")
    with pytest.raises(OutputError, match=r"name it r\.onnx"):
        export_onnx(save(), tmp_path / "r.pt")
    with pytest.raises(OutputError, match="nowhere"):
        export_onnx(save(), tmp_path / "nowhere" / "r.onnx")


def test_without_onnx_it_says_how_to_get_it(save, tmp_path, monkeypatch):
    model = save()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'agriseg\[onnx\]'"):
        export_onnx(model, tmp_path / "q.onnx")


def test_a_graph_that_gives_something_else_is_not_left(save, tmp_path, monkeypatch):
    (tmp_path / "q.onnx").write_bytes(b"older")
    write = onnx_export._write

    def other(path: Path, whole: Any, *rest: Any, any_size: bool) -> None:
        write(path, whole, *rest, any_size=any_size)
        whole.temperature *= 0.05

    monkeypatch.setattr(onnx_export, "_write", other)
    with pytest.raises(ModelError, match="other probabilities"):
        export_onnx(save(), tmp_path / "q.onnx")
    assert (tmp_path / "q.onnx").read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir() if "onnx" in file.name] == ["q.onnx"]


def test_a_network_that_the_exporter_does_not_know(save, tmp_path, monkeypatch):
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft2(x).abs()

    monkeypatch.setattr(onnx_export, "load_network", lambda *_, **__: Odd())
    with pytest.raises(ModelError, match="cannot be written as ONNX"):
        export_onnx(save(), tmp_path / "q.onnx")


def test_an_architecture_of_a_strangers_is_not_run(make_card, tmp_path):
    card = make_card(architecture="tests.works:nothing", options={}, bands=BANDS)
    file = tmp_path / "m.safetensors"
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, file, metadata={"agriseg": card.to_json()})
    with pytest.raises(ModelError, match="--trust-model"):
        export_onnx(file, tmp_path / "q.onnx")


# The command -------------------------------------------------------------------------------------


def test_the_command_says_what_to_set(save, tmp_path):
    path = tmp_path / "q.onnx"
    done = fresh_command("export", save(), path, "--bands", "green,red", "--gsd", "0.01", "--json")
    assert done.returncode == 0, done.stderr
    for words in (
        "1 green, 2 red",
        "8 bits",
        "1 cm",
        "64 x 64",
        "0 soil",
        "Load default parameters",
    ):
        assert words in done.stderr
    told = json.loads(done.stdout)
    assert (told["file"], told["bands"]) == (str(path), ["green", "red"])
    assert told["deepness"]["resolution"] == 1
