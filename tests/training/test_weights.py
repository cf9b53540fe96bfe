"""What a training starts from: models of agriseg's, encoders from elsewhere, and faults."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from agriseg.errors import OptionError
from agriseg.labels import open_material
from agriseg.legend import Legend
from agriseg.models import BandInput, ModelCard, build_network, save_model
from agriseg.settings import checked
from agriseg.training.card import draft_card
from agriseg.training.config import ModelConfig, read_config
from agriseg.training.weights import base_card, start_weights
from tests.support import LEGEND
from tests.training.conftest import TINY


def card_of(*keys: str, legend: Legend = LEGEND, **options: object) -> ModelCard:
    return ModelCard(
        "tiny", "unet", tuple(BandInput(key, mean=0.5) for key in keys), legend,
        options={**TINY, **options}, chip_size=64, overlap=16,
    )  # fmt: skip


def torchvision_names(channels: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    encoder = smp.encoders.get_encoder("resnet18", in_channels=channels, weights=None)
    return dict(encoder.state_dict())


def test_a_model_keeps_bands_by_role_and_classes_by_name(tmp_path: Path) -> None:
    base = card_of("red", "green")
    old = build_network(base).eval()
    path = save_model(tmp_path / "base.safetensors", base, old.state_dict())
    legend = Legend.of(("weed", "#d81b9a"), ("water", "#0000ff"), ("soil", "#c8a882"))
    card = card_of("nir", "green", "red", legend=legend)
    new = build_network(card).eval()
    said = start_weights(new, card, str(path))
    x = torch.randn(1, 2, 64, 64)
    # An unknown band says nothing yet, so that the known network is there as it was.
    wider = torch.stack([torch.randn(1, 64, 64), x[:, 1], x[:, 0]], 1)
    with torch.inference_mode():
        before, after = old(x), new(wider)
    torch.testing.assert_close(after[:, 0], before[:, 2])
    torch.testing.assert_close(after[:, 2], before[:, 0])
    assert "green, red" in said
    assert "weed, soil" in said
    assert base_card(str(path)) == replace(
        base, agriseg_version=base_card(str(path)).agriseg_version
    )


@pytest.mark.parametrize("keys", [("red", "nir"), ("nir", "red")])
def test_pairs_are_kept_whichever_way_round(tmp_path: Path, keys: tuple[str, str]) -> None:
    base, card = card_of("red", "nir", band_pairs=True), card_of(*keys, band_pairs=True)
    old, new = build_network(base).eval(), build_network(card).eval()
    path = save_model(tmp_path / "base.safetensors", base, old.state_dict())
    start_weights(new, card, str(path))
    x = torch.randn(1, 2, 64, 64) / 5
    with torch.inference_mode():
        before, after = old(x), new(x if keys == base.keys else x.flip(1))
    torch.testing.assert_close(after, before)


def test_pairs_are_added_to_a_known_network_and_left_out(tmp_path: Path) -> None:
    """New ones say nothing yet; without them the rest stays as it was."""
    plain, paired = card_of("red", "green", "nir"), card_of("red", "green", "nir", band_pairs=True)
    old, new = build_network(plain).eval(), build_network(paired).eval()
    path = save_model(tmp_path / "plain.safetensors", plain, old.state_dict())
    start_weights(new, paired, str(path))
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(new(x), old(x))
    path = save_model(tmp_path / "paired.safetensors", paired, new.state_dict())
    again = build_network(plain).eval()
    start_weights(again, plain, str(path))
    with torch.inference_mode():
        torch.testing.assert_close(again(x), old(x))


def test_another_network_is_refused(tmp_path: Path) -> None:
    base = card_of("red")
    path = save_model(tmp_path / "base.safetensors", base, build_network(base).state_dict())
    card = replace(base, options={**TINY, "decoder_channels": [32, 8, 8]})
    with pytest.raises(OptionError, match="another network"):
        start_weights(build_network(card), card, str(path))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", ["", "encoder.", "module."])
def test_an_encoder_from_a_file_is_adapted_to_the_bands(
    tmp_path: Path, suffix: str, prefix: str
) -> None:
    weights = {prefix + name: value for name, value in torchvision_names(3).items()}
    weights[prefix + "fc.weight"] = torch.randn(10, 512)
    path = tmp_path / f"encoder{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": weights}, path)
    else:
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
    card = card_of("nir", "red")
    network = build_network(card)
    start_weights(network, card, str(path))
    stem = weights[f"{prefix}conv1.weight"]
    found = network.encoder.conv1.weight.detach()
    torch.testing.assert_close(found[:, 1], stem[:, 0] * 1.5)
    torch.testing.assert_close(found[:, 0], stem.mean(1) * 1.5)
    own = network.encoder.state_dict()["layer2.0.conv1.weight"]
    torch.testing.assert_close(own, weights[f"{prefix}layer2.0.conv1.weight"])


def test_timm_encoders_take_timm_names(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(2)
    weights = timm.create_model("resnet18", pretrained=False).state_dict()
    path = tmp_path / "timm.safetensors"
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    card = replace(card_of("red", "nir"), options={"encoder_name": "tu-resnet18"})
    network = build_network(card)
    start_weights(network, card, str(path))
    own = network.encoder.state_dict()["model.layer1.0.conv1.weight"]
    torch.testing.assert_close(own, weights["layer1.0.conv1.weight"])


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("__import__('pathlib').Path('owned').touch()",)


def test_a_pickle_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": _Evil()}))
    card = card_of("red")
    with pytest.raises(OptionError, match="is no file of weights") as fault:
        start_weights(build_network(card), card, str(path))
    assert "\n" not in str(fault.value)
    assert "weights_only" not in str(fault.value), "nobody is told how to run it"
    assert not (tmp_path / "owned").exists()


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(dict(torch.nn.Conv2d(3, 8, 3).state_dict()), path)
    card = card_of("red")
    with pytest.raises(OptionError, match="fits 0% of the encoder"):
        start_weights(build_network(card), card, str(path))


def test_a_file_is_looked_for_where_data_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder that is given, not from the working folder; words stay words."""
    base = card_of("red")
    (tmp_path / "models").mkdir()
    save_model(tmp_path / "models/base.safetensors", base, build_network(base).state_dict())
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "imagenet").touch()
    monkeypatch.chdir(tmp_path / "here")
    found = base_card("models/base.safetensors", tmp_path)
    assert found is not None
    assert found.name == "tiny"
    assert "all weights" in start_weights(
        build_network(base), base, "../models/base.safetensors", tmp_path / "here"
    )
    assert base_card("imagenet", tmp_path / "here") is None
    with pytest.raises(OptionError, match=r"looked for at .*here/models/base.safetensors"):
        base_card("models/base.safetensors")
    with pytest.raises(OptionError, match=r"looked for at .*nowhere/enc"):
        base_card("../nowhere/enc", tmp_path / "here")


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(OptionError, match="is not there"):
        base_card("nowhere.safetensors")
    with pytest.raises(OptionError, match="cannot be had from torchgeo"):
        start_weights(build_network(card_of("red")), card_of("red"), "ResNet18_Weights.NOTHING")


def test_options_left_out_are_those_of_the_start_or_the_default(
    make_config: Callable[..., Path],
) -> None:
    def drafted(**model: object) -> Mapping[str, object]:
        path = make_config(model={"options": None, **model})
        config = read_config(path)
        found = open_material(config.data, config.legend, base=path.parent)
        return draft_card(config, found.codes, found.scenes, path.parent).options

    assert drafted() == {"encoder_name": "resnet18"}
    assert drafted(architecture="fcn") == {}
    paired = {"encoder_name": "resnet18", "band_pairs": True}
    assert drafted(options={"band_pairs": True}) == paired
    base = card_of("red", "nir")
    folder = make_config().parent
    save_model(folder / "base.safetensors", base, build_network(base).state_dict())
    found = drafted(init="base.safetensors", options={"band_pairs": True})
    assert found == {**TINY, "band_pairs": True}


def test_a_part_is_kept_beside_fresh_weights(tmp_path: Path) -> None:
    card = card_of("red", "green")
    known, fresh = build_network(card), build_network(card)
    with torch.no_grad():
        for value in known.parameters():
            value.mul_(7)  # grown as in a long training, which is not to count
        for name, value in known.named_buffers():
            if "running" in name:
                value.add_(3)
    path = save_model(tmp_path / "base.safetensors", card, known.state_dict())
    mixed, begun = build_network(card), {}
    mixed.load_state_dict(fresh.state_dict())
    said = start_weights(mixed, card, str(path), keep=0.25)
    assert "25%" in said
    for (name, value), own, old in zip(
        mixed.named_parameters(), fresh.parameters(), known.parameters(), strict=True
    ):
        if value.ndim > 1:
            begun[name] = value
            expected = 0.75 * own + 0.25 * old * (own.norm() / old.norm())
        else:
            expected = 0.75 * own + 0.25 * old
        torch.testing.assert_close(value, expected)
    assert len(begun) > 10
    for (name, value), own in zip(mixed.named_buffers(), fresh.buffers(), strict=True):
        torch.testing.assert_close(value, own, msg=name)


def test_nothing_is_kept_of_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"keep is 0\.5, but init is 'none'"):
        checked(ModelConfig, {"keep": 0.5}, "model")
    path = tmp_path / "enc.safetensors"
    save_file(torchvision_names(3), path)
    with pytest.raises(OptionError, match="an encoder's weights"):
        start_weights(build_network(card_of("red")), card_of("red"), str(path), keep=0.5)
