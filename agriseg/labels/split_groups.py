"""Dividing groups of scenes so that each part has about its share of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agriseg.labels.material import Material
from agriseg.labels.survey import Survey

__all__ = ["assign_folds", "assign_groups", "drawn", "group_shares", "unevenness"]

# Ways to divide that are tried.
_TRIALS = 2000
# Shares may be off by so much more than in the best way that was found.
_GOOD_ENOUGH = 0.01
# Added where a part has nothing of a class that others have.
_LACKING = 1.0


def group_shares(
    material: Material, survey: Survey, free: Sequence[int]
) -> tuple[dict[str, list[int]], NDArray[np.float64]]:
    """The scenes of each group, and the labelled pixels (groups, kinds) in them."""
    groups: dict[str, list[int]] = {}
    for index in free:
        groups.setdefault(material.scenes[index].group, []).append(index)
    sums = [survey.scene_totals[members, :-1].sum(axis=0) for members in groups.values()]
    return groups, np.array(sums, np.float64)


def drawn(
    sizes: NDArray[np.float64], order: NDArray[np.intp], wanted: Mapping[int, float]
) -> NDArray[np.uint8]:
    """The part of each group: in this order they go to one part until it has its share.

    Args:
        sizes: (n,) labelled pixels of each.
        order: (n,) which comes first.
        wanted: Share of each part but training (1).
    """
    parts = np.ones(len(sizes), np.uint8)
    # The middle of each group decides, so that large ones go where most of them belongs.
    share = (np.cumsum(sizes[order]) - sizes[order] / 2) / max(float(sizes.sum()), 1)
    begin = 0.0
    for place, (number, wants) in enumerate(wanted.items()):
        mine = (share >= begin) & (share < begin + wants)
        # Each part has one group at least, whatever their sizes.
        if wants and not mine.any() and place < len(order) - 1:
            mine[place] = True
        parts[order[mine]] = number
        begin += wants
    return parts


def unevenness(counts: NDArray[np.float64], wanted: Mapping[int, float]) -> float:
    """How far the parts are from having their shares of each kind.

    Args:
        counts: (4, kinds) pixels of each kind in each part; part 0 is unused.
        wanted: Share of each part but training.
    """
    used = counts[1:]
    total = used.sum(axis=0)
    known = total > 0
    if not known.any():
        return np.inf
    shares = used[:, known] / total[known]
    targets = {1: 1 - sum(wanted.values()), **wanted}
    aims = np.array([targets.get(number, 0.0) for number in (1, 2, 3)])
    lacking = (shares == 0) & (aims > 0)[:, None]
    return float(np.abs(shares - aims[:, None]).mean() + _LACKING * lacking.mean())


def assign_groups(
    counts: NDArray[np.float64], wanted: Mapping[int, float], seed: int
) -> NDArray[np.uint8]:
    """The part of each group.

    Args:
        counts: (groups, kinds) labelled pixels.
        wanted: Share of each part but training.
        seed: From which all that is random follows.
    """
    rng = np.random.default_rng(seed)
    sizes = counts.sum(axis=1)
    tried: list[NDArray[np.uint8]] = []
    bad: list[float] = []
    for _ in range(_TRIALS):
        parts = drawn(sizes, rng.permutation(len(counts)), wanted)
        sums = np.array([counts[parts == number].sum(axis=0) for number in range(4)])
        # A part without any group is worse than any other fault.
        empty = sum(wants > 0 and not (parts == n).any() for n, wants in wanted.items())
        tried.append(parts)
        bad.append(unevenness(sums, wanted) + 10.0 * (empty + (not (parts == 1).any())))
    # The first that is good enough, not the best: else all seeds would give the same few.
    return tried[int(np.argmax(np.array(bad) <= min(bad) + _GOOD_ENOUGH))]


def assign_folds(counts: NDArray[np.float64], folds: int, seed: int) -> NDArray[np.intp]:
    """The fold of each group, from 0: as many groups in each, and of each class about as much.

    Args:
        counts: (groups, kinds) labelled pixels.
        folds: How many; not more than groups.
        seed: From which all that is random follows.
    """
    rng = np.random.default_rng(seed)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    # As many in each, whatever their sizes; what is left over goes to the first.
    dealt = np.arange(len(counts)) % folds
    tried = [dealt[rng.permutation(len(counts))] for _ in range(_TRIALS)]
    bad = [max(float(np.ptp(np.bincount(one, kind, folds))) for kind in shares.T) for one in tried]
    return tried[int(np.argmin(bad))]
