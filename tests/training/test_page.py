"""The end of a training: whole scenes are evaluated, and a page says how good the model is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import agriseg
from agriseg.errors import ModelError
from agriseg.models import read_card
from agriseg.training import finish
from tests.training.conftest import SMALL

Make = Callable[..., Path]
BLOCKS = {"by": "blocks", "validation": 0.3, "block": 1.0}


@pytest.mark.parametrize("split", [BLOCKS, {"by": "group", "validation": 0.34}])
def test_page_card_and_evaluate_say_the_same(
    make_config: Make, tmp_path: Path, split: dict[str, object]
) -> None:
    """`evaluate` of the configuration, and of its copy in the folder, see the same pixels."""
    card = {"description": "A <b>bold</b> test & more"}
    path, out = make_config(split=split, model=SMALL, card=card), tmp_path / "out"
    model = agriseg.train(path, out)
    said = read_card(model).scores["validation"]
    given = [(path, None), (out / "config.yaml", tmp_path)]
    for config, base in given if split is BLOCKS else given[:1]:
        found = agriseg.evaluate(model, config, part="validation", base=base)
        assert said["iou"]["mean"] == pytest.approx(found.mean_iou, abs=1e-4)
        assert said["pixels"] == found.pixels.labelled
        assert said["scenes"] == len(found.scenes)
    assert said["pixels"] < 0.5 * 3 * 80 * 112
    page = (out / "report.html").read_text()
    assert page.count("<img") == 3
    assert page.count('src="data:image/png;base64,') == 3
    assert "A &lt;b&gt;bold&lt;/b&gt; test &amp; more" in page
    assert f"{said['iou']['soil']:.3f}" in page
    assert "drawn for a test" in page
    outside = re.sub(r"base64,[^\"]+", "", page)
    assert "http" not in outside
    assert "<script" not in outside
    assert (out / "evaluation.json").exists()
    assert (out / "split.png").exists()


def test_a_failing_evaluation_loses_no_training(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ModelError("the network gave NaN")

    monkeypatch.setattr(finish, "evaluate", fails)
    model = agriseg.train(make_config(model=SMALL, learn={"steps": 2}), tmp_path / "out")
    assert "chips" in read_card(model).scores["validation"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "could not be evaluated: the network gave NaN" in page


def test_killed_before_the_page_it_is_made_by_the_next_call(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path, out = make_config(model=SMALL, learn={"steps": 2}), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(finish, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            agriseg.train(path, out)
    assert not (out / "report.html").exists()
    model = agriseg.train(path, out)
    assert (out / "report.html").exists()
    assert "iou_95" in read_card(model).scores["validation"]
    assert not (out / "checkpoint.pt").exists()


def test_without_validation_the_page_says_so(make_config: Make, tmp_path: Path) -> None:
    path = make_config(model=SMALL, learn={"steps": 2}, split={"validation": 0.0})
    agriseg.train(path, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nothing was kept for validation" in page


def test_of_very_many_scenes_some_are_evaluated(
    make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "MOST_PIXELS", 80 * 112)
    config = make_config(model=SMALL, learn={"steps": 2}, split=BLOCKS)
    said = read_card(agriseg.train(config, tmp_path / "out")).scores["validation"]
    assert said["scenes"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "those of 1 of the 3 validation scenes" in page
