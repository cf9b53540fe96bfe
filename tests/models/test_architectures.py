"""Networks from cards: shapes, clear refusals, nothing from outside."""

from __future__ import annotations

import sys

import pytest
import torch

from agriseg.errors import ModelError
from agriseg.legend import Legend
from agriseg.models import ARCHITECTURES, BandInput, build_network

SMALL = {
    "unet": {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "unet++": {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "deeplabv3+": {"encoder_name": "resnet18", "decoder_channels": 16},
    "fpn": {
        "encoder_name": "resnet18",
        "decoder_pyramid_channels": 16,
        "decoder_segmentation_channels": 32,
    },
    "fcn": {"num_filters": 4},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_takes_any_bands_and_classes(make_card, name):
    card = make_card(
        architecture=name,
        options=SMALL[name],
        bands=tuple(BandInput(r) for r in ("blue", "green", "red", "rededge", "nir")),
        legend=Legend.of(("a", "#000000"), ("b", "#000001")),
        stride=32,
    )
    network = build_network(card).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 5, 64, 96)).shape == (1, 2, 64, 96)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "unte"}, "did you mean 'unet'"),
        ({"architecture": "os.system"}, "architecture 'os.system' is unknown"),
        ({"options": {"encoder_name": "resnet19"}}, "did you mean 'resnet1"),
        ({"options": {"encoder_name": "tu-resnet18d.evil"}}, "no such encoder"),
        ({"options": {"encoder_name": "tu-hf-hub:someone/something"}}, "no such encoder"),
        ({"options": {"encoder_name": "tu-local-dir:/tmp"}}, "no such encoder"),
        ({"options": {"encoder_name": ["resnet18"]}}, "no such encoder"),
        ({"options": {"encoder_weights": "imagenet"}}, "leave it out"),
        ({"options": {"pretrained": True}}, "'pretrained' is unknown"),
        ({"options": {"checkpoint_path": "/x"}}, "unknown"),
        ({"options": {"encoder_dept": 3}}, "did you mean 'encoder_depth'"),
        ({"options": {"encoder_depth": 9}}, "3 to 5"),
        ({"options": {"decoder_channels": [10**9] * 5}}, "1 to 2048"),
        ({"options": {"decoder_channels": [8] * 4}}, "cannot be built"),
        ({"options": {"decoder_use_norm": 1}}, "expected is one of"),
        ({"options": {"in_channels": 3}}, "cannot be built"),
        (
            {"architecture": "unet++", "options": {"encoder_name": "resnet18"}, "stride": 8},
            "a multiple of 32",
        ),
    ],
)
def test_clear_refusals(make_card, changes, words):
    with pytest.raises(ModelError, match=words) as caught:
        build_network(make_card(**changes))
    assert "\n" not in str(caught.value)


def test_timm_encoders_are_built_without_weights(make_card, monkeypatch):
    def no_network(*args, **kwargs):
        raise AssertionError("reached for the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    options = {"encoder_name": "tu-resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    assert build_network(make_card(options=options)) is not None


def test_dotted_paths_need_trust(make_card, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(
        "import torch\n"
        "def make(in_channels, classes, width=1):\n"
        "    return torch.nn.Conv2d(in_channels, classes, width)\n"
        "nothing = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    card = make_card(architecture="stranger:make", options={"width": 1})
    with pytest.raises(ModelError, match="--trust-model"):
        build_network(card)
    assert "stranger" not in sys.modules
    assert isinstance(build_network(card, trust=True), torch.nn.Conv2d)
    for path, words in {
        "stranger:nothing": "not callable",
        "stranger:other": "cannot be imported",
        "strangest:make": "cannot be imported",
        "builtins:dict": "expected is a torch.nn.Module",
    }.items():
        with pytest.raises(ModelError, match=words):
            build_network(make_card(architecture=path, options={}), trust=True)
    sys.modules.pop("stranger")
