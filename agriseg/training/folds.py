"""Cross-validation: how good a training is, on all scenes and not on the few of one split.

Where labels are few, what one split keeps for validation is a handful of scenes, and another
handful would give other scores. Here each scene is mapped by a network that did not learn from it.
"""

from __future__ import annotations

from pathlib import Path

from agriseg.errors import OptionError
from agriseg.evaluation import Evaluation, evaluate_folds
from agriseg.labels import LabelledScene, part_of
from agriseg.models import Predictor, load_model
from agriseg.training.config import TrainConfig
from agriseg.training.finish import Told, at_fitting_gsd
from agriseg.training.keeper import Listener
from agriseg.training.plan import make_plan
from agriseg.training.verb import given, train

__all__ = ["cross_validate", "folder_of"]


def cross_validate(
    config: str | Path | TrainConfig,
    out: str | Path | None = None,
    *,
    folds: int = 5,
    base: str | Path | None = None,
    resume: bool = True,
    listener: Listener | None = None,
    trust: bool = False,
) -> Evaluation:
    """Train once for each fold, and score all scenes by the models that have not seen them.

    Groups of scenes are dealt into folds of equal size, with about as much of each class in each.
    `split.validation` of the configuration is not used. Each training goes to OUT/fold-1 and so on,
    where the same call goes on after a stop; scores and pictures go to OUT.

    Args:
        config: As in `train`.
        out: Folder; by default out/NAME-folds.
        folds: How many; as many trainings are run.
        base, resume, listener, trust: As in `train`.

    Returns:
        Scores over all scenes, with intervals.

    Raises:
        AgrisegError: As `train`; or there are fewer groups of scenes than folds.
    """
    if folds < 2:
        raise OptionError(f"{folds} folds: at least 2 are needed, 5 are usual")
    settings, start, _ = given(config, out, base)
    folder = folder_of(settings, out)
    each = [_of_fold(settings, folds, number) for number in range(1, folds + 1)]
    scenes: list[tuple[LabelledScene, ...]] = []
    for one in each:  # all of them can be divided before the first is trained
        plan = make_plan(one, start)
        scenes.append(part_of(plan.material, plan.survey, plan.split, "validation").scenes)
    parts: list[tuple[Predictor, tuple[LabelledScene, ...]]] = []
    for number, (one, some) in enumerate(zip(each, scenes, strict=True), start=1):
        path = train(
            one,
            folder / f"fold-{number}",
            base=start,
            resume=resume,
            report=False,
            listener=listener,
            trust=trust,
        )
        model = load_model(path, trust=trust)
        asked = one.chips.gsd_range_m
        parts.append((model, tuple(at_fitting_gsd(s, model.card, asked) for s in some)))
    codes = plan.material.codes
    return evaluate_folds(parts, codes, folder, watcher=Told(listener), trust=trust)


def folder_of(config: str | Path | TrainConfig, out: str | Path | None) -> Path:
    """The folder of a cross-validation."""
    return Path(out) if out is not None else Path(f"{given(config, None, None)[2]}-folds")


def _of_fold(settings: TrainConfig, folds: int, number: int) -> TrainConfig:
    split = settings.split.model_copy(update={"folds": folds, "fold": number})
    return settings.model_copy(update={"split": split})
