"""Checkpoints from elsewhere: same outputs, or one clear line."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from agriseg.cli.import_ import import_
from agriseg.errors import ModelError, OptionError, OutputError
from agriseg.models import ModelCard, build_network, import_model, load_model, read_card
from agriseg.models.architectures import ARCHITECTURES
from agriseg.models.presets import PRESETS
from tests.support import command, fresh_command

FACTS: dict[str, Any] = {
    "architecture": "unet",
    "options": {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    "bands": ["red", "nir"],
    "legend": ["soil", "crop", "weed"],
    "chip_size": 64,
    "overlap": 16,
    "stride": 8,
    "radiometry": "any",
}


def network(classes: int = 3, seed: int = 0) -> torch.nn.Module:
    """The network of `FACTS`, as somebody else makes it."""
    torch.manual_seed(seed)
    options = FACTS["options"]
    made: torch.nn.Module = smp.Unet(
        encoder_weights=None, in_channels=2, classes=classes, **options
    ).eval()
    for module in made.modules():  # statistics as after a training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return made


def picture(bands: int = 2, size: int = 64) -> np.ndarray:
    return np.random.default_rng(1).random((1, bands, size, size), dtype=np.float32)


def predicted(path: Path, batch: np.ndarray) -> np.ndarray:
    predictor = load_model(path, engine="torch", device="cpu", precision="float32")
    return np.asarray(predictor(batch))


def truth(model: torch.nn.Module, batch: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(batch)).softmax(1).numpy()


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 7},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {
            "state_dict": {f"model.{name}": value for name, value in state.items()}
            | {"criterion.weight": torch.ones(3), "train_metrics.count": torch.zeros(())}
        },
    ],
)
def test_what_trainings_wrap_around_is_taken_off(tmp_path: Path, wrap: Any) -> None:
    other = network()
    file = saved(tmp_path / "theirs.pt", wrap(other.state_dict()))
    path = import_model(file, tmp_path / "mine.safetensors", card=FACTS)
    np.testing.assert_allclose(predicted(path, picture()), truth(other, picture()), atol=1e-5)
    card = read_card(path)
    assert card.name == "mine"
    assert card.training["imported_from"] == "theirs.pt"
    assert len(card.training["imported_sha256"]) == 64


def test_lightning_checkpoints_of_torchgeo(tmp_path: Path) -> None:
    import lightning
    from torchgeo.trainers import SemanticSegmentationTask

    torch.manual_seed(3)
    task = SemanticSegmentationTask(
        "unet", "resnet18", in_channels=4, num_classes=3, class_weights=torch.ones(3)
    )
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.strategy.connect(task)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    facts = {
        "architecture": "unet",
        "options": {"encoder_name": "resnet18"},
        "bands": ["red", "green", "blue", "nir"],
        "legend": ["a", "b", "c"],
        "radiometry": "any",
    }
    path = import_model(tmp_path / "last.ckpt", tmp_path / "mine.safetensors", card=facts)
    batch = picture(4)
    np.testing.assert_allclose(predicted(path, batch), truth(task.eval(), batch), atol=1e-5)


@pytest.mark.parametrize("preset", ["ftw-3class", "ftw-2class"])
def test_fields_of_the_world(tmp_path: Path, preset: str) -> None:
    from torchgeo.models import Unet_Weights, unet

    entry = Unet_Weights[PRESETS[preset].card.training["weights"].rpartition(".")[2]]
    meta = entry.meta
    torch.manual_seed(4)
    theirs = unet(
        classes=meta["num_classes"],
        encoder_name=meta["encoder"],
        encoder_weights=None,
        in_channels=meta["in_chans"],
    ).eval()
    file = saved(tmp_path / "ftw.pth", theirs.state_dict())
    path = import_model(file, tmp_path / "ftw.safetensors", preset=preset)
    counts = np.random.default_rng(2).integers(0, 6000, (1, 8, 64, 64)).astype(np.float32)
    expected = truth(theirs, entry.transforms(torch.from_numpy(counts.copy())).numpy())
    # They take digital numbers, agriseg reflectance.
    np.testing.assert_allclose(predicted(path, counts / 10000), expected, atol=1e-4)
    assert read_card(path).legend.names == ("background", "field", "boundary")[: len(expected[0])]


def test_presets_say_what_torchgeo_says() -> None:
    from torchgeo.models import Unet_Weights

    roles = {"B4": "red", "B3": "green", "B2": "blue", "B8": "nir"}
    names = {entry.name for entry in Unet_Weights if "FTW" in entry.name}
    for name, preset in PRESETS.items():
        card = preset.card
        entry = Unet_Weights[card.training["weights"].rpartition(".")[2]]
        names.remove(entry.name)
        meta = entry.meta
        assert card.name == name
        assert len(card.legend) == meta["num_classes"]
        assert len(card.bands) == meta["in_chans"]
        assert card.options["encoder_name"] == meta["encoder"]
        assert [key.partition("@")[0] for key in card.keys] == [roles[b] for b in meta["bands"]]
        assert [key.partition("@")[2] for key in card.keys] == ["1"] * 4 + ["2"] * 4
        assert card.licence.startswith(meta["license"])
        scale = entry.transforms[0]
        assert set(card.means) == set(scale.mean) == {0.0}
        np.testing.assert_allclose(card.stds * 10000, scale.std[0], rtol=1e-6)
    assert not names


def test_the_unlabelled_channel_is_never_given_out(tmp_path: Path) -> None:
    card = PRESETS["ftw-3class"].card
    torch.manual_seed(5)
    theirs = smp.Unet("efficientnet-b3", encoder_weights=None, in_channels=8, classes=4).eval()
    with torch.no_grad():
        theirs.segmentation_head[0].bias[3] = 9.0  # it would win everywhere
    file = saved(tmp_path / "ftw.pth", theirs.state_dict())
    path = import_model(file, tmp_path / "ftw.safetensors", preset="ftw-3class")
    batch = picture(8)
    with torch.inference_mode():
        logits = theirs(torch.from_numpy(batch / 0.3))[:, :3]
    found = predicted(path, batch)
    assert found.shape[1] == len(card.legend) == 3
    np.testing.assert_allclose(found, logits.softmax(1).numpy(), atol=1e-4)
    # Two classes of three are no spare channel.
    three = {n: v[:3] if "segmentation_head" in n else v for n, v in theirs.state_dict().items()}
    saved(file, three)
    with pytest.raises(ModelError, match="2 of another shape"):
        import_model(file, path, preset="ftw-2class")


def test_channels_that_are_no_class(tmp_path: Path) -> None:
    other = network(4)
    file = saved(tmp_path / "theirs.pt", other.state_dict())
    facts = FACTS | {"legend": ["soil", "-", "crop", {"name": "weed", "color": "#ff0000"}]}
    path = import_model(file, tmp_path / "mine.safetensors", card=facts)
    with torch.inference_mode():
        logits = other(torch.from_numpy(picture()))[:, [0, 2, 3]]
    np.testing.assert_allclose(predicted(path, picture()), logits.softmax(1).numpy(), atol=1e-5)
    legend = read_card(path).legend
    assert legend.names == ("soil", "crop", "weed")
    assert legend.classes[2].color == "#ff0000"
    short = FACTS | {"legend": ["soil", "-", "-", "crop", "weed"]}
    with pytest.raises(ModelError, match="gives 4 channels, and the legend names 5"):
        import_model(file, tmp_path / "x.safetensors", card=short)


def test_one_channel_becomes_two_classes(tmp_path: Path) -> None:
    other = network(1)
    file = saved(tmp_path / "theirs.pt", other.state_dict())
    facts = FACTS | {"legend": ["soil", "crop"]}
    path = import_model(file, tmp_path / "mine.safetensors", card=facts)
    with torch.inference_mode():
        likely = other(torch.from_numpy(picture())).sigmoid().numpy()
    np.testing.assert_allclose(predicted(path, picture())[:, 1:], likely, atol=1e-5)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture(tmp_path: Path, architecture: str) -> None:
    options: dict[str, Any] = {"encoder_name": "resnet18"}
    options = {"num_filters": 8} if architecture == "fcn" else options
    facts = {"architecture": architecture, "options": options}
    facts |= {"bands": ["red", "nir"], "legend": ["a", "b"], "radiometry": "any"}
    text = ModelCard.from_json(
        json.dumps(
            facts
            | {"name": "x", "bands": [{"role": "red"}, {"role": "nir"}]}
            | {"legend": [{"value": k, "name": n, "color": "#000000"} for k, n in enumerate("ab")]}
        )
    )
    torch.manual_seed(6)
    other = build_network(text).eval()
    state = {f"net.{name}": value for name, value in other.state_dict().items()}
    file = saved(tmp_path / "theirs.pt", {"state_dict": state})
    path = import_model(file, tmp_path / "mine.safetensors", card=facts)
    np.testing.assert_allclose(predicted(path, picture()), truth(other, picture()), atol=1e-5)


def test_cards_in_files(tmp_path: Path) -> None:
    file = saved(tmp_path / "theirs.pt", network().state_dict())
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    options = "{encoder_name: resnet18, encoder_depth: 3, decoder_channels: [16, 8, 8]}"
    (tmp_path / "facts.yaml").write_text(
        f"name: weeds\narchitecture: unet\noptions: {options}\n"
        "bands: [red, {role: nir, mean: 0.3, std: 0.1}]\nlegend: [soil, crop, weed]\n"
        "chip_size: 64\noverlap: 16\nstride: 8\nlicence: MIT\n"
    )
    one = read_card(import_model(file, tmp_path / "a.safetensors", card=tmp_path / "facts.json"))
    assert one.keys == ("red", "nir")
    other = read_card(import_model(file, tmp_path / "b.safetensors", card=tmp_path / "facts.yaml"))
    assert (other.name, other.licence, other.bands[1].mean) == ("weeds", "MIT", 0.3)
    plain = tmp_path / "plain.safetensors"
    save_file(network().state_dict(), plain)
    assert read_card(import_model(plain, tmp_path / "c.safetensors", card=FACTS)).name == "c"


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("owned").write_text, ("x",))


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (
        {"state_dict": network().state_dict(), "args": argparse.Namespace(lr=1)},
        network(),
        _Evil(),
    ):
        file = saved(tmp_path / "theirs.pt", content)
        with pytest.raises(ModelError, match=r"holds more than weights.*state_dict\(\)") as told:
            import_model(file, tmp_path / "mine.safetensors", card=FACTS)
        assert "weights_only" not in str(told.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.pt"]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    torch.jit.script(torch.nn.Conv2d(2, 3, 1)).save(tmp_path / "script.pt")
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    saved(tmp_path / "list.pt", [1, 2])
    saved(tmp_path / "other.pt", {"epoch": 3, "lr": 0.1})
    saved(
        tmp_path / "two.pt",
        {"teacher": network().state_dict(), "student": network().state_dict()},
    )
    for name, words in (
        ("script.pt", "TorchScript"),
        ("text.pt", r"text\.pt: "),
        ("empty.pt", r"empty\.pt: "),
        ("list.pt", "but a list"),
        ("other.pt", "a dictionary of epoch, lr"),
        ("two.pt", "several sets of weights"),
        ("missing.pt", "no such file"),
        ("", "is a folder"),
    ):
        with pytest.raises(ModelError, match=words):
            import_model(tmp_path / name, out, card=FACTS)
    assert not out.exists()


def test_what_does_not_fit_is_told_in_words(tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    state = network().state_dict()
    file = saved(tmp_path / "theirs.pt", state)
    for facts, words in (
        (FACTS | {"bands": ["red", "green", "nir"]}, r"1 of another shape .*expected \(64, 3"),
        (FACTS | {"legend": ["soil", "crop"]}, "2 of another shape"),
        (FACTS | {"options": FACTS["options"] | {"encoder_name": "resnet34"}}, "missing"),
        (FACTS | {"architecture": "unett"}, "did you mean 'unet'"),
        (FACTS | {"colour": "red"}, "colour unknown"),
        ({k: v for k, v in FACTS.items() if k != "bands"}, "bands is missing"),
    ):
        with pytest.raises(ModelError, match=words):
            import_model(file, out, card=facts)
    saved(file, {name: value for name, value in state.items() if "decoder" not in name})
    with pytest.raises(ModelError, match=r"theirs\.pt: .*missing \(decoder"):
        import_model(file, out, card=FACTS)
    both = {f"ema.{k}": v for k, v in state.items()} | {f"model.{k}": v for k, v in state.items()}
    saved(file, both)
    with pytest.raises(ModelError, match=r"several copies of the network, under 'ema\.', 'model"):
        import_model(file, out, card=FACTS)
    assert import_model(file, out, card=FACTS, prefix="ema.") == out
    name = "segmentation_head.0.bias"
    saved(file, state | {name: state[name] * float("nan")})
    with pytest.raises(ModelError, match=r"head\.0\.bias holds NaN"):
        import_model(file, out, card=FACTS)


def test_options_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="either --preset"):
        import_model("no.pt", tmp_path / "a.safetensors")
    with pytest.raises(OptionError, match="did you mean ftw-3class"):
        import_model("no.pt", tmp_path / "a.safetensors", preset="ftw3class")
    with pytest.raises(OutputError, match=r"name it a\.safetensors"):
        import_model("no.pt", tmp_path / "a.pt", preset="ftw-3class")


def test_the_card_in_the_help_is_one(tmp_path: Path) -> None:
    """What people copy works."""
    text = import_.__doc__ or ""
    facts = "\n".join(line[4:] for line in text.partition("holds\n\n")[2].splitlines())
    (tmp_path / "weeds.yaml").write_text(facts)
    torch.manual_seed(8)
    other = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=3)
    file = saved(tmp_path / "theirs.pt", other.state_dict())
    out = tmp_path / "weeds.safetensors"
    card = read_card(import_model(file, out, card=tmp_path / "weeds.yaml"))
    assert card.gsd_m == (0.01, 0.03)
    assert card.bands[1].std == 0.11


def test_the_command(tmp_path: Path) -> None:
    file = saved(tmp_path / "theirs.pt", network().state_dict())
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    out = tmp_path / "weeds.safetensors"
    done = fresh_command("import", file, "-o", out, "--card", tmp_path / "facts.json", "--json")
    assert done.returncode == 0, done.stderr
    assert "classes soil, crop, weed" in done.stderr
    assert "no mean and std" in done.stderr
    assert json.loads(done.stdout)["card"]["name"] == "weeds"
    done = command("import", tmp_path / "none.pt", "-o", out, "--preset", "ftw-3class")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
