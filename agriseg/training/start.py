"""What a training starts with: the card's constants, the network, and how it learns."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import Tensor

from agriseg.errors import OptionError
from agriseg.models import ModelCard, build_network
from agriseg.training.augment import Augment, Normalise
from agriseg.training.card import with_statistics
from agriseg.training.chips import Chips, Zoom
from agriseg.training.config import AugmentConfig
from agriseg.training.parts import class_shares
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import Plan
from agriseg.training.statistics import band_statistics
from agriseg.training.task import Task
from agriseg.training.weights import base_card, start_weights

__all__ = ["STILL", "chips_of", "first_task", "measured_card"]

_STATISTICS_CHIPS = 256
STILL = AugmentConfig(
    turns=False, scale=(1, 1), brightness=0, band_brightness=0, gamma=0, shadow=0, noise=0, blur=0,
    band_dropout=0,
)  # fmt: skip
"""Nothing is changed at random."""


def chips_of(plan: Plan, store: PixelStore) -> Chips:
    """The chips of a training, read from `store`."""
    config = plan.config
    return Chips(
        plan.training,
        plan.codes,
        store,
        Zoom.of(config.chips, config.augment),
        batch=config.chips.batch,
        rare=config.chips.rare,
        seed=config.learn.seed,
    )


def measured_card(card: ModelCard, chips: Chips, plan: Plan) -> ModelCard:
    """The card with the constants of training chips; a known network keeps those it knows."""
    config = plan.config
    base = base_card(config.model.init, plan.base)
    kept = frozenset(card.keys) & frozenset(base.keys if base is not None else ())
    if kept == set(card.keys):
        return card
    count = -(-_STATISTICS_CHIPS // config.chips.batch)
    batches = (chips.batch(step, "statistics") for step in range(count))
    return with_statistics(card, *band_statistics(batches, len(card.bands)), kept)


def first_task(plan: Plan, card: ModelCard, *, trust: bool) -> tuple[Task, str]:
    """The task before its first step, and in words what its network starts from.

    Raises:
        AgrisegError: Network or weights cannot be had.
    """
    config = plan.config
    pl.seed_everything(config.learn.seed, verbose=False)
    network = build_network(card, trust=trust)
    start = start_weights(network, card, config.model.init, plan.base, config.model.keep)
    normalise = Normalise(torch.from_numpy(card.means), torch.from_numpy(card.stds))
    optional = torch.tensor([not band.required for band in card.bands])
    size = config.chips.size
    augment = Augment(config.augment, size, normalise, optional, card.keys, plan.codes.legend.names)
    prepare = Augment(STILL, size, normalise, optional)
    parts = (_class_weights(plan), _together(plan))
    return Task(network, plan.codes, config.learn, augment, prepare, *parts), start


def _class_weights(plan: Plan) -> Tensor | None:
    asked = plan.config.learn.class_weights
    names = plan.codes.legend.names
    if asked == "none":
        return None
    shares = torch.from_numpy(class_shares(list(plan.training), plan.codes)).float()
    if isinstance(asked, dict):
        unknown = sorted(set(asked) - set(names))
        if unknown:
            raise OptionError(
                f"learn.class_weights: {unknown[0]!r} is no class; they are {', '.join(names)}"
            )
        given = torch.tensor([float(asked.get(name, 1.0)) for name in names])
        if not (given * shares).any():
            there = [name for name, share in zip(names, shares.tolist(), strict=True) if share]
            raise OptionError(
                "learn.class_weights is 0 for all that the training scenes show "
                f"({', '.join(there)}), so nothing would be learned; give one of them more"
            )
        return given
    weights = shares.clamp_min(1e-4).rsqrt()
    return weights / (weights * shares).sum()


def _together(plan: Plan) -> tuple[int, ...]:
    asked, names = plan.config.learn.together, plan.codes.legend.names
    if not asked:
        return ()
    classes = plan.codes.classes(asked)
    if not 2 <= len(classes) < len(names):
        raise OptionError(
            f"learn.together is {asked!r}; two classes or more, but not all, are needed, such as "
            f"{' or '.join(names[-2:])!r}"
        )
    return classes
