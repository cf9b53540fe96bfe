"""Model files: round trips, and one clear line for everything that is none."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from agriseg._version import __version__
from agriseg.errors import AgrisegError, ModelError, OptionError, OutputError
from agriseg.models import (
    BandInput,
    IndexBaseline,
    ModelCard,
    build_network,
    load_model,
    read_card,
    save_model,
)


@pytest.fixture
def saved(make_card, tmp_path):
    """(path, card, weights) of a tiny network."""
    torch.manual_seed(0)
    card = make_card()
    weights = build_network(card).state_dict()
    return save_model(tmp_path / "tiny.safetensors", card, weights), card, weights


def test_round_trip(saved):
    path, card, weights = saved
    read = read_card(path)
    assert read.agriseg_version == __version__
    assert ModelCard.from_json(read.to_json()) == read
    assert (read.bands, read.legend, read.options) == (card.bands, card.legend, card.options)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(weights)
        assert all(torch.equal(file.get_tensor(name), weights[name]) for name in weights)


def test_files_are_reproducible_and_replaced_in_one_step(saved, tmp_path):
    path, card, weights = saved
    first = path.read_bytes()
    again = save_model(tmp_path / "again.safetensors", card, dict(reversed(weights.items())))
    assert again.read_bytes() == first
    save_model(path, card, weights)
    assert sorted(file.name for file in tmp_path.iterdir()) == [again.name, path.name]


def test_a_failed_write_leaves_the_old_file(saved, tmp_path, monkeypatch):
    path, card, weights = saved
    first = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("agriseg.models.file.os.replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_model(path, card, weights)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_channels_last_and_shared_weights_can_be_saved(make_card, tmp_path):
    network = build_network(make_card()).to(memory_format=torch.channels_last)
    weights = network.state_dict()
    first, other = [name for name in weights if weights[name].shape == (64,)][:2]
    weights[other] = weights[first]
    path = save_model(tmp_path / "shared.safetensors", make_card(), weights)
    assert load_model(path, device="cpu").card.name == "tiny"


def test_half_precision_is_kept_and_computes(saved, tmp_path):
    _, card, weights = saved
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    path = save_model(tmp_path / "half.safetensors", card, half)
    with safe_open(path, "pt") as file:
        assert file.get_tensor("segmentation_head.0.weight").dtype == torch.float16
    x = torch.rand(1, 2, 16, 16).numpy()
    out = load_model(path, device="cpu", precision="float32")(x)
    assert torch.allclose(out.sum(1), torch.ones(1, 16, 16))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.popitem(), r"1 missing \(segmentation_head"),
        (lambda w: w.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (
            lambda w: w.update({"segmentation_head.0.bias": torch.zeros(9)}),
            r"segmentation_head\.0\.bias is \(9,\), expected \(3,\)",
        ),
        (lambda w: w.clear(), r"missing \(.*, \.\.\.\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, tmp_path, change, words):
    _, card, weights = saved
    weights = dict(weights)
    change(weights)
    with pytest.raises(ModelError, match=words):
        save_model(tmp_path / "bad.safetensors", card, weights)
    # The same on reading, from a file that somebody else wrote.
    save_file(weights, tmp_path / "bad.safetensors", metadata={"agriseg": card.to_json()})
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path / "bad.safetensors", device="cpu")


def test_the_prefix_of_a_trainer_is_named(saved, tmp_path):
    _, card, weights = saved
    prefixed = {f"model.{name}": tensor for name, tensor in weights.items()}
    with pytest.raises(ModelError, match=r"strip the prefix 'model\.'"):
        save_model(tmp_path / "bad.safetensors", card, prefixed)


def test_the_suffix_is_checked(make_card, tmp_path):
    with pytest.raises(OutputError, match=r"name it model\.safetensors"):
        save_model(tmp_path / "model.pt", make_card(), {})


# What is no model ---------------------------------------------------------------------------------


def header(plain: object, length: int | None = None) -> bytes:
    text = json.dumps(plain).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


NO_MODELS = {
    "empty": (b"", "is empty"),
    "short": (b"\x10\x00", "begins with 10 00"),
    "text": (b"hello, this is a text file", "begins with 68 65"),
    "zip": (b"PK\x03\x04\x14\x00\x00\x00{data", "agriseg import"),
    "pickle": (pickle.dumps(Bomb(), protocol=2), "agriseg import"),
    "pickle4": (pickle.dumps(Bomb(), protocol=4), "pickle"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "HDF5"),
    "tiff": (b"II*\x00" + b"\0" * 64, "TIFF"),
    "huge header": (header({}, length=2**63), "begins with"),
    "header of 200 MB": (header({}, length=200_000_000), "begins with"),
    "header beyond the end": (header({}, length=5000), "header claims 5000 bytes"),
    "no JSON": (struct.pack("<Q", 9) + b"{nonsense", "damaged"),
    "JSON list": (struct.pack("<Q", 4) + b"[{}]", "begins with"),
    "deep JSON": (
        struct.pack("<Q", 300_000) + b'{"a":' * 60_000,
        "damaged",
    ),
    "tensor without shape": (header({"a": {"dtype": "F32"}}), "damaged"),
    "metadata of the wrong type": (header({"__metadata__": 5}), "damaged"),
    "card of the wrong type": (header({"__metadata__": {"agriseg": 5}}), "damaged"),
    "card that is none": (header({"__metadata__": {"agriseg": "{}"}}), "model card"),
    "no card": (header({"__metadata__": {"format": "pt"}}), "no agriseg model card"),
    "missing bytes": (
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}) + b"1234",
        "4 bytes of weights where 16",
    ),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_one_clear_line_for_what_is_no_model(tmp_path, name, capsys):
    content, words = NO_MODELS[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for read in (read_card, load_model):
        with pytest.raises(ModelError, match=words) as caught:
            read(path)
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message
    assert "unpickled" not in capsys.readouterr().out


def test_a_checkpoint_is_not_unpickled(tmp_path, capsys):
    path = tmp_path / "model.pt"
    torch.save({"weights": Bomb()}, path)
    with pytest.raises(ModelError, match=r"PyTorch checkpoint.*agriseg import"):
        load_model(path)
    assert "unpickled" not in capsys.readouterr().out


def test_paths_that_lead_nowhere(saved, tmp_path):
    for path, words in [
        (tmp_path / "other.safetensors", "no model file"),
        (tmp_path, r"did you mean .*tiny\.safetensors"),
        ("index-baselin", "did you mean 'index-baseline'"),
        ("https://example.com/m.safetensors", "download it first"),
    ]:
        with pytest.raises(ModelError, match=words):
            load_model(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_damaged_files_never_raise_anything_else(saved, tmp_path, data):
    content = bytearray(saved[0].read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(content) - 1))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[:cut])
    message = None
    try:
        load_model(path, engine="torch", device="cpu")  # OpenVINO gets the same network, later
    except AgrisegError as error:
        message = str(error)
    assert message is None or "\n" not in message
    assert message is not None or cut is None


def test_dotted_architectures_are_not_imported(saved, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    plain = json.loads(saved[1].to_json()) | {"architecture": "stranger:make"}
    path = tmp_path / "dotted.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"agriseg": json.dumps(plain)})
    assert read_card(path).architecture == "stranger:make"
    with pytest.raises(ModelError, match=r"trust=True or --trust-model"):
        load_model(path, device="cpu")
    assert "stranger" not in sys.modules


def test_dotted_architectures_work_with_trust(tmp_path, monkeypatch, make_card):
    (tmp_path / "friend.py").write_text(
        "import torch\ndef make(in_channels, classes):\n"
        "    return torch.nn.Conv2d(in_channels, classes, 3, padding=1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    card = make_card(architecture="friend:make", options={})
    path = save_model(
        tmp_path / "m.safetensors", card, build_network(card, trust=True).state_dict()
    )
    predictor = load_model(path, device="cpu", trust=True)
    assert predictor(torch.zeros(1, 2, 8, 8).numpy()).shape == (1, 3, 8, 8)
    sys.modules.pop("friend")


def test_loading_leaves_the_random_numbers_alone(saved):
    torch.manual_seed(5)
    load_model(saved[0], device="cpu")
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_the_baseline_by_name():
    baseline = load_model("index-baseline")
    assert isinstance(baseline, IndexBaseline)
    assert "vegetation" in baseline.card.to_json()
    with pytest.raises(OptionError, match="numpy"):
        load_model("index-baseline", engine="torch")


def test_cards_are_read_without_torch(saved):
    code = (
        "import sys, agriseg.models as m\n"
        f"card = m.read_card({str(saved[0])!r})\n"
        "m.load_model('index-baseline'); m.ARCHITECTURES['unet']; card.digest\n"
        "heavy = {'torch', 'torchgeo', 'geopandas', 'skimage', 'segmentation_models_pytorch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "m.TorchPredictor, m.TorchAccumulator\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'torchgeo', 'geopandas', 'skimage'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_required_and_optional_bands_survive(make_card, tmp_path):
    card = make_card(bands=(BandInput("red@1"), BandInput("nir@2", 842, required=False)))
    path = save_model(tmp_path / "m.safetensors", card, build_network(card).state_dict())
    assert read_card(path).bands == card.bands
