"""Networks from elsewhere: ONNX files with a card beside them, in ONNX Runtime."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
import torch
from onnx import TensorProto, helper, numpy_helper

import agriseg
from agriseg.errors import AgrisegError, ModelError, OptionError
from agriseg.legend import Legend
from agriseg.models import (
    BandInput,
    ModelCard,
    build_network,
    check_output,
    load_model,
    new_accumulator,
    onnx_file,
    read_card,
    save_model,
)
from agriseg.models.engines import EngineError, Numerics
from agriseg.models.onnx_predictor import OnnxPredictor
from agriseg.tiling import ChipGrid
from tests.support import result_bytes, write_raster

ROOT = Path(__file__).parents[2]
FREE = ("n", 2, "h", "w")
WEIGHTS = np.random.default_rng(5).standard_normal((3, 2, 3, 3)).astype(np.float32)
TWO = Legend.of(("soil", "#c8a882"), ("weed", "#d81b9a"))


def save_graph(
    path: Path,
    *tail: str | tuple[str, dict[str, Any]],
    weights: np.ndarray = WEIGHTS,
    shape: Sequence[str | int] = FREE,
    kind: int = TensorProto.FLOAT,
    out: int | None = None,
    ending: Sequence[onnx.NodeProto] = (),
    out_shape: Sequence[str | int] | None = None,
) -> Path:
    """A 3 x 3 convolution and what follows it, as an ONNX file.

    Args:
        path: Where.
        tail: Operations on the result, one after the other, each with its attributes or without.
        weights: (channels, bands, 3, 3) of the convolution.
        shape: Of the input; texts are free.
        kind: Type of the input.
        out: Type of the output; that of the input.
        ending: Nodes after those of `tail`, from the value "v" to "y".
        out_shape: Of the output; (batch, channels, height, width).
    """
    pads = [weights.shape[2] // 2] * 4
    nodes = [helper.make_node("Conv", ["x", "w"], ["v0"], pads=pads)]
    for k, item in enumerate(tail):
        name, attributes = (item, {}) if isinstance(item, str) else item
        nodes.append(helper.make_node(name, [f"v{k}"], [f"v{k + 1}"], **attributes))
    if ending:
        nodes.append(helper.make_node("Identity", [f"v{len(tail)}"], ["v"]))
    else:
        nodes.append(helper.make_node("Identity", [f"v{len(tail)}"], ["y"]))
    made = out_shape or (shape[0], len(weights), *shape[2:])
    graph = helper.make_graph(
        [*nodes, *ending],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind if out is None else out, made)],
        [numpy_helper.from_array(weights.astype(helper.tensor_dtype_to_np_dtype(kind)), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def write_card(path: Path, card: ModelCard, **more: Any) -> Path:
    path.with_suffix(".json").write_text(json.dumps({**json.loads(card.to_json()), **more}))
    return path


def reflectance(height: int, width: int, bands: int = 2, n: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((n, bands, height, width), np.float32) * 0.5


def expected_logits(card: ModelCard, x: np.ndarray) -> torch.Tensor:
    """What the convolution of `save_graph` gives, computed in torch."""
    mean, std = (torch.from_numpy(v).reshape(1, -1, 1, 1) for v in (card.means, card.stds))
    return torch.conv2d((torch.from_numpy(x) - mean) / std, torch.from_numpy(WEIGHTS), padding=1)


@pytest.fixture
def card(make_card: Callable[..., ModelCard]) -> ModelCard:
    return make_card(architecture="onnx", options={})


@pytest.fixture
def plain(card: ModelCard, tmp_path: Path) -> Path:
    """The convolution as it is, with its card."""
    return write_card(save_graph(tmp_path / "weeds.onnx"), card)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One trained-looking U-Net as `.safetensors` and, by torch's exporter, as `.onnx`."""
    folder = tmp_path_factory.mktemp("pair")
    card = ModelCard(
        name="tiny",
        architecture="unet",
        options={
            "encoder_name": "resnet18",
            "encoder_depth": 3,
            "decoder_channels": [16, 8, 8],
        },
        bands=(BandInput("red", mean=0.3, std=0.2), BandInput("nir", mean=0.4, std=0.2)),
        legend=Legend.of(("soil", "#c8a882"), ("crop", "#1b6e2b"), ("weed", "#d81b9a")),
        chip_size=64,
        overlap=16,
        stride=8,
        temperature=1.7,
    )
    torch.manual_seed(3)
    network = build_network(card).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, 2, 64, 64))
    own = save_model(folder / "m.safetensors", card, network.state_dict())
    free = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 2, 64, 64),),
            folder / "m.onnx",
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": free, "y": free},
        )
    return own, write_card(folder / "m.onnx", card)


# Predicting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64), (64, 32), (32, 96)])
def test_it_is_the_same_network(pair: tuple[Path, Path], shape: tuple[int, int]) -> None:
    exact, model = load_model(pair[0], engine="torch", precision="float32"), load_model(pair[1])
    x = reflectance(*shape)
    before = x.copy()
    found = model(x)
    check_output(found, x.shape, model.card)
    assert torch.allclose(exact(x), found, atol=1e-4)
    assert float(found.std()) > 0.01
    assert np.array_equal(x, before)


def test_a_whole_run_is_that_of_the_same_network(pair: tuple[Path, Path], tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((2, 150, 107), np.float32)
    data[:, 30:60, 20:50] = np.nan
    scene = write_raster(tmp_path / "scene.tif", data, descriptions=["red", "nir"])
    how: dict[str, Any] = {"polygons": False, "ignore_gsd": True}
    own = agriseg.segment(
        scene, tmp_path / "own", model=pair[0], engine="torch", precision="float32", **how
    )
    foreign = agriseg.segment(scene, tmp_path / "foreign", model=pair[1], **how)
    maps = []
    for run in (own, foreign):
        with rasterio.open(run.classes) as dataset:
            maps.append(dataset.read(1))
    assert maps[0].shape == (150, 107)
    assert len(np.unique(maps[0])) > 2
    assert np.array_equal(maps[0] == 255, maps[1] == 255)
    assert (maps[0] == maps[1]).mean() > 0.9995  # two engines may round a tie apart
    told = foreign.record["model"]
    assert told["engine"].startswith("onnxruntime ")
    assert (told["precision"], told["outputs"]) == ("float32", "logits")


@pytest.mark.parametrize("swaths", [2, 5])
def test_any_swaths_give_the_same_bytes(
    pair: tuple[Path, Path], tmp_path: Path, swaths: int
) -> None:
    data = np.random.default_rng(0).random((2, 203, 157), np.float32)
    path = write_raster(tmp_path / "scene.tif", data, descriptions=["red", "nir"])
    runs = [
        agriseg.segment(path, tmp_path / str(count), model=pair[1], swaths=count)
        for count in (1, swaths)
    ]
    assert result_bytes(runs[0].path) == result_bytes(runs[1].path)


def test_logits_with_temperature_and_probabilities(card: ModelCard, tmp_path: Path) -> None:
    x = reflectance(24, 40)
    warm = replace(card, temperature=2.5)
    logits = load_model(write_card(save_graph(tmp_path / "l.onnx"), warm))
    expected = torch.softmax(expected_logits(card, x) / 2.5, dim=1)
    assert torch.allclose(logits(x), expected, atol=1e-5)
    softmax = ("Softmax", {"axis": 1})
    ready = load_model(write_card(save_graph(tmp_path / "p.onnx", softmax), card))
    assert ready.about()["outputs"] == "probabilities"
    expected = torch.softmax(expected_logits(card, x), dim=1)
    assert torch.allclose(ready(x), expected, atol=1e-5)
    # The logarithm of a softmax is as good as logits.
    log = save_graph(tmp_path / "g.onnx", ("LogSoftmax", {"axis": 1}))
    assert torch.allclose(load_model(write_card(log, card))(x), expected, atol=1e-5)


@pytest.mark.parametrize("tail", [(), ("Sigmoid",), ("Sigmoid", "Identity")])
def test_one_channel_for_two_classes(card: ModelCard, tmp_path: Path, tail: tuple[str]) -> None:
    path = save_graph(tmp_path / "m.onnx", *tail, weights=WEIGHTS[:1])
    warmth = 1.0 if tail else 1.6
    model = load_model(write_card(path, replace(card, legend=TWO, temperature=warmth)))
    assert model.about()["outputs"] == ("probabilities" if tail else "logits")
    x = reflectance(16, 24)
    second = torch.sigmoid(expected_logits(card, x)[:, :1] / warmth)
    found = model(x)
    check_output(found, x.shape, model.card)
    assert torch.allclose(found, torch.cat([1 - second, second], 1), atol=1e-5)


def test_large_logits_stay_numbers(card: ModelCard, tmp_path: Path) -> None:
    for name, weights in (("one", WEIGHTS[:1]), ("two", WEIGHTS[:2])):
        path = save_graph(tmp_path / f"{name}.onnx", weights=weights * 1e4)
        found = load_model(write_card(path, replace(card, legend=TWO)))(reflectance(16, 16))
        check_output(found, (1, 2, 16, 16), replace(card, legend=TWO))


def test_a_card_of_zeros_and_ones_leaves_the_numbers_as_they_are(
    card: ModelCard, tmp_path: Path
) -> None:
    bare = replace(card, bands=(BandInput("red"), BandInput("nir")))
    model = load_model(write_card(save_graph(tmp_path / "m.onnx"), bare))
    x = reflectance(16, 16)
    x.setflags(write=False)
    expected = torch.softmax(expected_logits(bare, x.copy()), dim=1)
    assert torch.allclose(model(x), expected, atol=1e-5)
    assert torch.equal(model(np.asfortranarray(x)), model(x))


def test_half_precision_inputs(card: ModelCard, tmp_path: Path) -> None:
    path = save_graph(tmp_path / "m.onnx", kind=TensorProto.FLOAT16)
    x = reflectance(16, 16)
    found = load_model(write_card(path, card))(x)
    assert found.dtype == torch.float32
    expected = torch.softmax(expected_logits(card, x), dim=1)
    assert torch.allclose(found, expected, atol=0.02)


def test_a_result_is_nobodys_but_the_callers(card: ModelCard, tmp_path: Path) -> None:
    path = write_card(save_graph(tmp_path / "m.onnx", ("Softmax", {"axis": 1})), card)
    model, x = load_model(path), reflectance(16, 16)
    first = model(x)
    kept = first.clone()
    model(x * 2)
    assert torch.equal(first, kept), "a later call wrote into an earlier result"
    first.zero_()
    assert torch.equal(model(x), kept), "the caller wrote into the model"


def test_streams_answer_at_once_and_alike(pair: tuple[Path, Path]) -> None:
    inputs = [reflectance(64, 32 * (1 + k % 3)) * (1 + k / 10) for k in range(9)]
    one, three = (load_model(pair[1], threads=threads) for threads in (1, 3))
    assert (one.streams, three.streams) == (1, 3)
    assert one.numerics == three.numerics
    expected = [one(x) for x in inputs]
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(three, inputs))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_session_has_one_thread(plain: Path) -> None:
    options = load_model(plain, threads=4)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.parametrize("tta", ["flips", "turns"])
@pytest.mark.parametrize("shape", [FREE, ("n", 2, 64, 64)])
def test_augmentation(card: ModelCard, tmp_path: Path, tta: str, shape: tuple[Any, ...]) -> None:
    path = write_card(save_graph(tmp_path / "m.onnx", shape=shape), card)
    x = reflectance(64, 64)
    found = load_model(path, tta=tta)(x)
    views = [(t, a) for t in ((False, True) if tta == "turns" else (False,)) for a in _AXES]
    total = torch.zeros_like(found)
    for swaps, axes in views:
        seen = np.flip(x.swapaxes(2, 3) if swaps else x, axes).copy()
        one = torch.softmax(expected_logits(card, seen), dim=1).flip(axes)
        total += one.swapaxes(2, 3) if swaps else one
    assert torch.allclose(found, total / len(views), atol=1e-5)
    check_output(load_model(path, tta=tta)(reflectance(40, 24)), (1, 2, 40, 24), card)


_AXES = ((), (2,), (3,), (2, 3))


def test_a_fixed_size_takes_clipped_chips(card: ModelCard, tmp_path: Path) -> None:
    path = write_card(save_graph(tmp_path / "m.onnx", shape=(1, 2, 64, 64)), card)
    model = load_model(path)
    for height, width in ((64, 64), (40, 64), (64, 8), (8, 24)):
        x = reflectance(height, width)
        padded = np.pad(x, ((0, 0), (0, 0), (0, 64 - height), (0, 64 - width)), mode="reflect")
        expected = torch.softmax(expected_logits(card, padded), dim=1)[:, :, :height, :width]
        assert torch.allclose(model(x), expected, atol=1e-5)
    with pytest.raises(ModelError, match=r"64 x 64 pixels.*72 x 64.*leave --chip out"):
        model(reflectance(64, 72))


def test_a_fixed_size_through_a_whole_run(card: ModelCard, tmp_path: Path) -> None:
    """Without padding at the lower and right edge the graph would not take the chips."""
    data = np.random.default_rng(1).random((2, 90, 75), np.float32)
    scene = write_raster(tmp_path / "scene.tif", data, descriptions=["red", "nir"])
    maps = []
    for name, shape in (("free", FREE), ("fixed", (2, 2, 64, 64))):
        # One pixel at a time, so that what lies beyond an edge does not matter.
        path = save_graph(tmp_path / f"{name}.onnx", weights=WEIGHTS[:, :, 1:2, 1:2], shape=shape)
        run = agriseg.segment(
            scene, tmp_path / name, model=write_card(path, card), polygons=False, ignore_gsd=True
        )
        with rasterio.open(run.classes) as dataset:
            maps.append(dataset.read(1))
    assert len(np.unique(maps[0])) == 3
    assert np.array_equal(*maps)


def test_a_fixed_batch_is_the_batch(card: ModelCard, tmp_path: Path) -> None:
    path = write_card(save_graph(tmp_path / "m.onnx", shape=(3, 2, "h", "w")), card)
    model = load_model(path)
    assert model.batch == 3
    assert json.loads(model.numerics)["batch"] == 3
    assert load_model(path, **Numerics.options(model.numerics)).numerics == model.numerics
    x = reflectance(16, 24, n=3)
    expected = torch.softmax(expected_logits(card, x), dim=1)
    assert torch.allclose(model(x), expected, atol=1e-5)
    with pytest.raises(OptionError, match=r"--batch 2.*batches of 3 only; leave it out"):
        load_model(path, batch=2)


def test_it_merges_in_torch_and_tells_about_itself(plain: Path) -> None:
    model = load_model(plain)
    assert type(new_accumulator(model, ChipGrid(64, 64, 64, 0))).__name__ == "TorchAccumulator"
    told = model.about()
    assert told["engine"] == f"onnxruntime {metadata.version('onnxruntime')}"
    assert told["parameters"] == WEIGHTS.size
    assert (told["device"], told["precision"], told["outputs"]) == ("cpu", "float32", "logits")
    assert json.loads(model.numerics)["threads"] == "any"
    assert "numpy" in json.loads(model.numerics)["isa"]


def test_the_fingerprint_covers_card_and_file(card: ModelCard, plain: Path) -> None:
    prints = [load_model(plain).fingerprint]
    assert load_model(plain).fingerprint == prints[0]
    write_card(plain, replace(card, temperature=2))
    prints.append(load_model(plain).fingerprint)
    save_graph(plain, weights=WEIGHTS * 1.01)
    prints.append(load_model(plain).fingerprint)
    assert len(set(prints)) == 3


def test_a_fault_in_the_middle_is_one_line(plain: Path) -> None:
    model = load_model(plain)
    with pytest.raises(ModelError, match=r"model 'tiny': ONNX Runtime failed on 1 .* 16") as caught:
        model(np.zeros((1, 2, 16, 16, 1), np.float32)[:, :1, :, :, 0].repeat(3, axis=1)[:, :3])
    assert "\n" not in str(caught.value)


# The card ----------------------------------------------------------------------------------------


def test_the_card_in_the_docs_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "weeds.json").write_text(block)
    weights = np.random.default_rng(1).standard_normal((2, 3, 3, 3)).astype(np.float32)
    path = save_graph(tmp_path / "weeds.onnx", weights=weights, shape=("n", 3, 512, 512))
    model = load_model(path)
    assert model.card == read_card(path)
    assert model.card.keys == ("red", "green", "nir")
    assert model.card.architecture == "onnx"
    assert model.about()["outputs"] == "logits" == json.loads(block)["outputs"]


def test_the_card_in_the_refusal_works(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "weeds.onnx", weights=WEIGHTS[:2, :1], shape=("n", 1, 512, 512))
    with pytest.raises(ModelError, match=r"no model card.*weeds\.json beside it") as caught:
        load_model(path)
    said = str(caught.value)
    assert "\n" not in said
    for name in ("name", "bands", "legend", "chip_size"):
        assert name in said
    path.with_suffix(".json").write_text(said[said.index("{") :])
    assert load_model(path).card.keys == ("red",)


def put_inside(path: Path, card: ModelCard, **more: Any) -> Path:
    model = onnx.load(path)
    text = json.dumps({**json.loads(card.to_json()), **more})
    helper.set_model_props(model, {"agriseg": text, "other": "x"})
    path.write_bytes(model.SerializeToString())
    return path


def test_a_card_inside_the_file(card: ModelCard, tmp_path: Path) -> None:
    path = put_inside(save_graph(tmp_path / "m.onnx"), card, outputs="logits")
    assert read_card(path) == card
    assert load_model(path).card == card
    other = replace(card, name="beside")
    write_card(path, other)
    assert read_card(path) == other == load_model(path).card


def test_info_shows_and_compares_it(card: ModelCard, plain: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from agriseg.cli.app import app

    shown = CliRunner().invoke(app, ["info", str(plain)])
    assert shown.exit_code == 0, shown.output
    assert "weed" in shown.output
    data = np.random.default_rng(0).random((2, 40, 40), np.float32)
    scene = write_raster(tmp_path / "scene.tif", data, descriptions=["red", "nir"])
    shown = CliRunner().invoke(app, ["info", str(scene), "--model", str(plain)])
    assert shown.exit_code == 0, shown.output
    assert "fits" in shown.output
    assert "does not fit" not in shown.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", r"m\.json: model file.*JSON object"),
        ("{", r"m\.json: model card: not readable as JSON"),
        ('{"images": []}', r"m\.json: model card: images unknown"),
        ('{"name": "a"}', r"m\.json: model card: bands, legend is missing"),
        ('{"outputs": "softmax"}', r"outputs is 'softmax'; expected is logits or probabilities"),
        ('{"outputs": ["logits"]}', r"expected is logits or probabilities"),
        ('{"any_size": 1}', r"any_size is 1; expected is true"),
        ("\udcff", r"m\.json: cannot be read .*UTF-8"),
        (" " * 1_000_001, r"1000001 bytes.*give that file another name"),
        ("[" * 100_000, r"not readable as JSON"),
    ],
)
def test_a_card_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = save_graph(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ModelError, match=words) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


# Refusals ----------------------------------------------------------------------------------------


def refusal(path: Path, card: ModelCard, **more: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(write_card(path, card), **more)
    said = str(caught.value)
    assert "\n" not in said
    assert path.name in said
    return said


_CAST = helper.make_node("Cast", ["v"], ["y"], to=TensorProto.INT64)
_ARGMAX = helper.make_node("ArgMax", ["v"], ["y"], axis=1, keepdims=0)
_LAST = helper.make_node("Transpose", ["v"], ["y"], perm=[0, 2, 3, 1])
_HALF = helper.make_node("MaxPool", ["v"], ["y"], kernel_shape=[2, 2], strides=[2, 2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": WEIGHTS[:, :1], "shape": ("n", 1, "h", "w")}, r"takes 1 bands.*2 \(red, nir"),
        ({"weights": WEIGHTS[:, :1], "shape": ("n", "c", "h", "w")}, r"state its bands"),
        ({"weights": WEIGHTS[:2]}, r"gave \(1, 2, 64, 56\).*expected is \(1, 3, 64, 56\)"),
        ({"weights": WEIGHTS[:1]}, r"gave \(1, 1, 64, 56\).*correct the legend"),
        ({"shape": ("n", 2, 32, 32)}, r"32 x 32 pixels only.*chip_size 64; make chip_size"),
        ({"shape": ("n", 2, "h", 96)}, r"96 x any pixels only.*chip_size 64"),
        ({"ending": [_CAST], "out": TensorProto.INT64}, r"tensor\(int64\).*argmax"),
        (
            {"ending": [_ARGMAX], "out": TensorProto.INT64, "out_shape": ("n", "h", "w")},
            r"map of classes.*argmax",
        ),
        ({"ending": [_LAST], "out_shape": ("n", "h", "w", 3)}, r"gave \(1, 64, 56, 3\)"),
        ({"ending": [_HALF], "out_shape": ("n", 3, "a", "b")}, r"gave \(1, 3, 32, 28\)"),
        ({"weights": WEIGHTS * np.float32(np.nan)}, r"NaN or infinity.*mean and std"),
    ],
)
def test_graphs_that_do_not_fit(
    card: ModelCard, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    assert re.search(words, refusal(save_graph(tmp_path / "m.onnx", **options), card))


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        (TensorProto.UINT8, FREE, r"tensor\(uint8\); expected is tensor\(float\)"),
        (TensorProto.FLOAT, ("n", "h", "w", 2), r"bands last.*--inputs-as-nchw"),
        (TensorProto.FLOAT, (2, "h", "w"), r"expected are 4 axes"),
    ],
)
def test_inputs_that_do_not_fit(
    card: ModelCard, tmp_path: Path, kind: int, shape: tuple[Any, ...], words: str
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    assert re.search(words, refusal(path, card))


def test_two_outputs(card: ModelCard, tmp_path: Path) -> None:
    path = save_graph(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("v0", TensorProto.FLOAT, FREE))
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 3
    path.write_bytes(model.SerializeToString())
    assert "2 output(s) (y, v0); expected is one each" in refusal(path, card)


def test_a_stride_that_is_too_small(card: ModelCard, tmp_path: Path) -> None:
    """A graph that halves and doubles takes even sides; else the edges of a raster would fail."""
    ending = [
        helper.make_node("Constant", [], ["s"], value_floats=[1.0, 1.0, 2.0, 2.0]),
        helper.make_node("MaxPool", ["v"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["a", "", "s"], ["b"], mode="nearest"),
        helper.make_node("Add", ["v", "b"], ["y"]),
    ]
    path = save_graph(tmp_path / "m.onnx", ending=ending)
    load_model(write_card(path, replace(card, stride=2)))
    said = refusal(path, replace(card, stride=1))
    assert "as stride what height and width must be a multiple of (now 1)" in said


@pytest.mark.parametrize(
    ("tail", "channels", "said", "words"),
    [
        ((("Softmax", {"axis": 1}),), 3, "logits", "add up to one and made by Softmax"),
        ((), 3, "probabilities", "its card says probabilities"),
        (("Sigmoid",), 3, None, "say in its card"),
        (("Sigmoid",), 3, "logits", "made by Sigmoid"),
        (("Sigmoid",), 3, "probabilities", "add up to one over the"),
        ((("Softmax", {"axis": 3}),), 3, None, "say in its card"),
        (("HardSigmoid",), 1, None, "say in its card"),
        (("Sigmoid",), 1, "logits", "made by Sigmoid"),
        ((), 1, "probabilities", "its card says probabilities"),
    ],
)
def test_outputs_that_are_not_what_the_card_says(
    card: ModelCard,
    tmp_path: Path,
    tail: tuple[Any, ...],
    channels: int,
    said: str | None,
    words: str,
) -> None:
    path = save_graph(tmp_path / "m.onnx", *tail, weights=WEIGHTS[:channels])
    fitting = replace(card, legend=TWO) if channels == 1 else card
    write_card(path, fitting, **({"outputs": said} if said else {}))
    with pytest.raises(ModelError, match=words):
        load_model(path)


def test_what_is_in_doubt_can_be_said(card: ModelCard, tmp_path: Path) -> None:
    path = save_graph(tmp_path / "m.onnx", "HardSigmoid", weights=WEIGHTS[:1])
    two = replace(card, legend=TWO)
    model = load_model(write_card(path, two, outputs="probabilities"))
    x = reflectance(16, 16)
    second = torch.clamp(expected_logits(card, x)[:, :1] * 0.2 + 0.5, 0, 1)
    assert torch.allclose(model(x)[:, 1:], second, atol=1e-5)


def test_a_temperature_needs_logits(card: ModelCard, tmp_path: Path) -> None:
    path = save_graph(tmp_path / "m.onnx", ("Softmax", {"axis": 1}))
    assert "temperature of 2 cannot be applied" in refusal(path, replace(card, temperature=2))


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"PK\x03\x04" + bytes(40), b"\x08\x09", b"<html>no</html>"]
)
def test_files_that_are_none(card: ModelCard, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert "is no ONNX file, or a damaged one" in refusal(path, card)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="is no ONNX file, or a damaged one"):
        read_card(path)


def test_damage_anywhere_is_one_line(card: ModelCard, plain: Path) -> None:
    """Whatever bytes there are: a model, or one of our errors."""
    whole, random = plain.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(256)
        plain.write_bytes(bytes(damaged[: random.integers(len(whole) // 2, len(whole) + 1)]))
        try:
            load_model(plain)
        except AgrisegError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in said for said in refused)


def test_an_operation_of_a_strangers_own(card: ModelCard, tmp_path: Path) -> None:
    node = helper.make_node("Steal", ["v"], ["y"], domain="evil.example")
    path = save_graph(tmp_path / "m.onnx", ending=[node])
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("evil.example", 1))
    path.write_bytes(model.SerializeToString())
    assert "without custom operations" in refusal(path, card)


def test_too_large(card: ModelCard, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "_LARGEST", 100)
    assert "expected are at most" in refusal(plain, card)


# Weights in other files --------------------------------------------------------------------------


def send_out(path: Path, location: str, **more: Any) -> Path:
    """Say of the weights that they lie elsewhere; they are not written there."""
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_file(card: ModelCard, plain: Path) -> None:
    x = reflectance(16, 16)
    inside = load_model(plain)
    data = plain.with_name("weeds.onnx.data")
    data.write_bytes(b"before" + WEIGHTS.tobytes() + b"after")
    send_out(plain, data.name, offset=6, length=WEIGHTS.nbytes)
    model = load_model(plain)
    assert torch.equal(model(x), inside(x))
    data.write_bytes(b"before" + (WEIGHTS * 2).tobytes() + b"after")
    assert load_model(plain).fingerprint != model.fingerprint
    data.write_bytes(b"before")
    assert "is no ONNX file, or a damaged one" in refusal(plain, card)
    data.unlink()
    assert "copy that file beside it" in refusal(plain, card)


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "{secret}",
        "sub/../../secret.bin",
        "link.bin",
        "..\\secret.bin",
        "C:\\s",
        "",
    ],
)
def test_weights_elsewhere_are_not_read(card: ModelCard, tmp_path: Path, location: str) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(secret)
    (folder / "..\\secret.bin").write_bytes(WEIGHTS.tobytes())
    path = save_graph(folder / "m.onnx")
    send_out(path, location.format(secret=secret))
    assert "expected is a file in its own folder" in refusal(path, card)


def test_weights_of_constants_elsewhere_are_not_read(card: ModelCard, tmp_path: Path) -> None:
    """Tensors are also in attributes of nodes."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(1, np.float32).tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    constant = helper.make_node("Constant", [], ["c"])
    constant.attribute.append(helper.make_attribute("value", tensor))
    add = helper.make_node("Add", ["v", "c"], ["y"])
    path = save_graph(folder / "m.onnx", ending=[constant, add])
    assert "expected is a file in its own folder" in refusal(path, card)


def test_one_file_named_many_times_does_not_fill_the_memory(
    card: ModelCard, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.with_name("w.data").write_bytes(WEIGHTS.tobytes())
    model = onnx.load(send_out(plain, "w.data"), load_external_data=False)
    for k in range(9):
        more = model.graph.initializer.add()
        more.CopyFrom(model.graph.initializer[0])
        more.name = f"more{k}"
    plain.write_bytes(model.SerializeToString())
    monkeypatch.setattr(onnx_file, "_LARGEST", plain.stat().st_size + 5 * WEIGHTS.nbytes)
    assert "is no ONNX file, or a damaged one" in refusal(plain, card)


# Engines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_other_engines_are_refused(plain: Path, engine: str) -> None:
    with pytest.raises(OptionError, match=rf"--engine {engine}: .*weeds\.onnx.*onnxruntime"):
        load_model(plain, engine=engine)


def test_it_is_for_onnx_files_only(pair: tuple[Path, Path]) -> None:
    with pytest.raises(OptionError, match=r"--engine onnxruntime: .*openvino or torch"):
        load_model(pair[0], engine="onnxruntime")
    assert load_model(pair[1], engine="onnxruntime").settings.why == "it computes ONNX files"
    with pytest.raises(OptionError, match="possible are auto, openvino, torch, onnxruntime"):
        load_model(pair[1], engine="tensorrt")


def test_the_ending_may_be_in_capitals(plain: Path, tmp_path: Path) -> None:
    assert load_model(plain.rename(tmp_path / "weeds.ONNX")).settings.engine == "onnxruntime"


def test_precision_and_device(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"--precision bfloat16.*float32 here; leave it out"):
        load_model(plain, precision="bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert load_model(plain).settings.device == "cpu"
    with pytest.raises(OptionError, match=r"ONNX Runtime computes on the CPU here; use --device"):
        load_model(plain, device="cuda")


def test_without_onnxruntime(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnx"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(EngineError, match=r"pip install 'agriseg\[onnx\]'") as caught:
                load_model(plain)
            assert "\n" not in str(caught.value)
            assert read_card(plain).name == "tiny"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(OptionError, match=r"not installed; pip install 'agriseg\[onnx\]'"):
        load_model(plain)


def test_nothing_is_loaded_before_it_is_needed(plain: Path) -> None:
    code = (
        "import sys, agriseg.models as m\n"
        f"m.read_card({str(plain)!r})\n"
        "print(sorted({'onnx', 'onnxruntime', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_file_and_a_folder(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\.safetensors or \.onnx file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"did you mean .*weeds\.onnx"):
        load_model(tmp_path)


def test_its_type_is_what_is_promised(plain: Path) -> None:
    assert isinstance(load_model(plain), OnnxPredictor)
