"""Cross-validation: each scene is scored by the network that has not seen it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import agriseg
from agriseg.cli.app import app
from agriseg.errors import LabelError, OptionError
from tests.training.conftest import SMALL

Make = Callable[..., Path]


def test_all_scenes_are_scored_by_models_that_have_not_seen_them(
    make_config: Make, tmp_path: Path
) -> None:
    path, out = make_config(model=SMALL), tmp_path / "out"
    found = agriseg.cross_validate(path, out, folds=3)
    assert sorted(scene.name for scene in found.scenes) == ["scene0", "scene1", "scene2"]
    assert found.model == "tiny in 3 folds"
    counts = np.zeros_like(found.pixels.counts)
    for number in (1, 2, 3):
        folder = out / f"fold-{number}"
        split = json.loads((folder / "split.json").read_text())
        held_out = [one["name"] for one in split["scenes"] if "validation" in one]
        assert len(held_out) == 1
        model = folder / "tiny.safetensors"
        mine = agriseg.evaluate(model, folder / "config.yaml", part="validation", base=tmp_path)
        assert [scene.name for scene in mine.scenes] == held_out
        counts += mine.pixels.counts
    assert np.array_equal(counts, found.pixels.counts)
    assert (out / "evaluation.json").exists()


def test_stopped_it_goes_on(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = make_config(model=SMALL), tmp_path / "out"
    whole = agriseg.cross_validate(path, tmp_path / "whole", folds=2)

    class Stops:
        def __getattr__(self, name: str) -> Callable[..., None]:
            def hear(*_: object) -> None:
                if name == "end":
                    raise KeyboardInterrupt

            return hear

    with pytest.raises(KeyboardInterrupt):
        agriseg.cross_validate(path, out, folds=2, listener=Stops())  # type: ignore[arg-type]
    assert (out / "fold-1" / "tiny.safetensors").exists()
    assert not (out / "fold-2").exists()
    again = agriseg.cross_validate(path, out, folds=2)
    assert again.fingerprint == whole.fingerprint


def test_folds_that_make_no_sense(make_config: Make, tmp_path: Path) -> None:
    path = make_config(model=SMALL)
    with pytest.raises(OptionError, match="1 folds: at least 2 are needed"):
        agriseg.cross_validate(path, tmp_path / "out", folds=1)
    with pytest.raises(LabelError, match="4 folds need as many groups of scenes at least"):
        agriseg.cross_validate(path, tmp_path / "out", folds=4)
    assert not (tmp_path / "out").exists()


def test_command_prints_scores_of_all(make_config: Make, tmp_path: Path) -> None:
    path, out = make_config(model=SMALL, learn={"steps": 2}), tmp_path / "out"
    ran = CliRunner().invoke(
        app, ["train", str(path), "-o", str(out), "--folds", "3", "--json", "-q"]
    )
    assert ran.exit_code == 0, ran.output
    assert len(json.loads(ran.stdout)["scenes"]) == 3
