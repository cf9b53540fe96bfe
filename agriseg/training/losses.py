"""Losses that take labels of several classes at once, and pixels of which nothing is known.

Every loss is written once, from what each code allows (`Codes.allowed`): a pixel of one class
allows that class, "soil or weed" allows two, and IGNORE allows all, so that it says nothing.
Losses over regions ask of each class c only the pixels that are decisive for it: those that are c,
and those that cannot be c.

    cross-entropy  -log(sum of the probabilities of the allowed classes)
    focal          the same, times (1 - that sum) ^ gamma (Lin et al. 2017, arXiv:1708.02002)
    dice           1 - Dice coefficient (Milletari et al. 2016, arXiv:1606.04797)
    jaccard        1 - intersection over union
    tversky        missed and false pixels weigh differently (Salehi et al. 2017, arXiv:1706.05721)
    lovasz         Lovasz-Softmax (Berman et al. 2018, arXiv:1705.08790)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agriseg.errors import OptionError, nearest
from agriseg.labels import Codes

__all__ = ["LOSSES", "LossOptions", "SetLoss", "boundary_weights", "parse_losses", "set_nll"]

_TERM = re.compile(r"\s*(?:(\d*\.?\d+)\s*\*?\s*)?([a-z][a-z-]*)\s*\Z")
# Keeps regions of a few pixels from deciding a batch.
_SMOOTH = 1.0


@dataclass(frozen=True)
class LossOptions:
    """Numbers of the losses that have any.

    Args:
        focal_gamma: How much focal turns from pixels that are right already.
        tversky: How much false and missed pixels weigh; 0.5 and 0.5 is Dice.
    """

    focal_gamma: float = 2.0
    tversky: tuple[float, float] = (0.3, 0.7)


class _Seen(NamedTuple):
    """What the losses see of a batch.

    Args:
        nll: (n, h, w) -log of the probability of what is allowed.
        weight: (n, h, w) of each pixel.
        log_probabilities: (n, classes, h, w).
        allowed: (n, classes, h, w) bool.
        options: Numbers of single losses.
    """

    nll: Tensor
    weight: Tensor
    log_probabilities: Tensor
    allowed: Tensor
    options: LossOptions

    def regions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, truth and decisive, each (classes, pixels) float32."""
        allowed = self.allowed.movedim(1, 0).flatten(1)
        alone = allowed.sum(0) == 1
        truth = (allowed & alone).float()
        decisive = (~allowed | alone).float()
        return self.log_probabilities.movedim(1, 0).flatten(1).exp(), truth, decisive


def set_nll(log_probabilities: Tensor, allowed: Tensor) -> Tensor:
    """-log of the summed probability of the allowed classes, (n, ...).

    Args:
        log_probabilities: (n, classes, ...), as `log_softmax` gives them.
        allowed: (n, classes, ...) bool; at least one class of each pixel is.
    """
    return -torch.logsumexp(log_probabilities.masked_fill(~allowed, -torch.inf), 1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


def _cross_entropy(seen: _Seen) -> Tensor:
    return _mean(seen.nll, seen.weight)


def _focal(seen: _Seen) -> Tensor:
    missing = 1 - torch.exp(-seen.nll).clamp(max=1)
    return _mean(missing**seen.options.focal_gamma * seen.nll, seen.weight)


def _overlap(seen: _Seen, false: float, missed: float) -> Tensor:
    """1 - I / (I + false x false positives + missed x false negatives), mean over classes."""
    p, truth, decisive = seen.regions()
    hit = (p * truth).sum(1)
    too_much = (p * (decisive - truth)).sum(1)
    too_little = truth.sum(1) - hit
    score = (hit + _SMOOTH) / (hit + false * too_much + missed * too_little + _SMOOTH)
    return _over_present(1 - score, truth)


def _lovasz(seen: _Seen) -> Tensor:
    p, truth, decisive = seen.regions()
    losses = []
    for k in range(len(p)):
        known = decisive[k] > 0
        is_class = truth[k][known]
        error, order = torch.sort((is_class - p[k][known]).abs(), descending=True)
        is_class = is_class[order]
        total = is_class.sum()
        inside = total - is_class.cumsum(0)
        union = total + (1 - is_class).cumsum(0)
        jaccard = 1 - inside / union.clamp_min(1)
        steps = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
        losses.append((error * steps).sum())
    return _over_present(torch.stack(losses), truth)


def _over_present(losses: Tensor, truth: Tensor) -> Tensor:
    """The mean over the classes that the batch has."""
    present = (truth.sum(1) > 0).float()
    return (losses * present).sum() / present.sum().clamp_min(1)


LOSSES: Mapping[str, Callable[[_Seen], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "focal": _focal,
    "dice": lambda seen: _overlap(seen, 0.5, 0.5),
    "jaccard": lambda seen: _overlap(seen, 1.0, 1.0),
    "tversky": lambda seen: _overlap(seen, *seen.options.tversky),
    "lovasz": _lovasz,
}
"""The losses by name; `learn.loss` adds them up."""


def parse_losses(text: str) -> dict[str, float]:
    """The losses and their weights that a text such as "cross-entropy + 0.5 dice" names.

    Raises:
        OptionError: It names something else.
    """
    found: dict[str, float] = {}
    for term in text.split("+"):
        match = _TERM.match(term)
        if not match:
            raise OptionError(
                f"loss {text!r}: {term.strip()!r} is no loss; write 'cross-entropy + 0.5 dice', "
                f"with {', '.join(LOSSES)}"
            )
        weight, name = float(match[1] or 1), match[2]
        if name not in LOSSES:
            raise OptionError(f"loss {text!r}: {name!r} is unknown; {nearest(name, LOSSES)}")
        if name in found or weight == 0:
            raise OptionError(f"loss {text!r}: name {name!r} once, with a weight above 0")
        found[name] = weight
    return found


def boundary_weights(codes: Tensor, ignore: int, radius: int, extra: float) -> Tensor:
    """1 for each pixel, 1 + `extra` within `radius` pixels of another code; (n, h, w).

    Args:
        codes: (n, h, w) uint8.
        ignore: The code whose borders say nothing.
        radius: In pixels.
        extra: What borders weigh more.
    """
    plane = codes[:, None].float()
    known = plane != ignore
    kernel, pad = 2 * radius + 1, radius
    highest = F.max_pool2d(plane.masked_fill(~known, -1.0), kernel, 1, pad)
    lowest = -F.max_pool2d((-plane).masked_fill(~known, -256.0), kernel, 1, pad)
    return (1 + extra * ((highest != lowest) & known).float())[:, 0]


class SetLoss(nn.Module):
    """A sum of losses.

    Args:
        codes: What the numbers in labels mean.
        text: Losses and weights, as `parse_losses` reads them.
        class_weights: Of each class, or None. A pixel that may be of several has their mean.
        boundary: What pixels near a border weigh more; 0: nothing.
        radius: How near, in pixels.
        options: Numbers of single losses.
        together: Which classes, by value, are also learned as one. The loss is then the sum of two:
            with all classes, and with these as one. Where nothing tells crop from weed, plants are
            still told from soil.
    """

    allowed: Tensor
    pixel_weight: Tensor
    joined: Tensor

    def __init__(
        self,
        codes: Codes,
        text: str = "cross-entropy",
        *,
        class_weights: Tensor | None = None,
        boundary: float = 0.0,
        radius: int = 2,
        options: LossOptions | None = None,
        together: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self._terms = parse_losses(text)
        self._boundary, self._radius = boundary, radius
        self._options = options or LossOptions()
        allowed = torch.from_numpy(codes.allowed)
        share = allowed.float() / allowed.sum(1, keepdim=True)
        weight = share @ (torch.ones(allowed.shape[1]) if class_weights is None else class_weights)
        weight[allowed.all(1)] = 0.0  # they would only thin the mean out
        self._ignore = int(len(allowed) - 1)
        self.register_buffer("allowed", allowed, persistent=False)
        self.register_buffer("pixel_weight", weight, persistent=False)
        self.register_buffer("joined", _joined(allowed.shape[1], together), persistent=False)

    def forward(self, logits: Tensor, codes: Tensor) -> Tensor:
        """The loss of logits (n, classes, h, w) against codes (n, h, w) uint8; a scalar."""
        logits = logits.float()
        index = codes.long()
        allowed = self.allowed[index].movedim(-1, 1)
        weight = self.pixel_weight[index]
        if self._boundary:
            weight = weight * boundary_weights(codes, self._ignore, self._radius, self._boundary)
        log_p = F.log_softmax(logits, 1)
        loss = self._loss(log_p, allowed, weight)
        if not len(self.joined):
            return loss
        both = [log_p.masked_fill(~one[:, None, None], -torch.inf) for one in self.joined]
        allows = [(allowed & one[:, None, None]).any(1) for one in self.joined]
        allowed = torch.stack(allows, 1)
        # "Soil or weed" forbids neither of the two that are left.
        weight = weight * ~allowed.all(1)
        log_p = torch.stack([torch.logsumexp(one, 1) for one in both], 1)
        return loss + self._loss(log_p, allowed, weight)

    def _loss(self, log_p: Tensor, allowed: Tensor, weight: Tensor) -> Tensor:
        seen = _Seen(set_nll(log_p, allowed), weight, log_p, allowed, self._options)
        parts = [share * LOSSES[name](seen) for name, share in self._terms.items()]
        return torch.stack(parts).sum()


def _joined(classes: int, together: Sequence[int]) -> Tensor:
    """(groups, classes) bool: which classes make up each; none if nothing is joined."""
    if not together:
        return torch.zeros(0, classes, dtype=torch.bool)
    alone = [[k] for k in range(classes) if k not in together]
    rows = torch.zeros(len(alone) + 1, classes, dtype=torch.bool)
    for row, group in enumerate([list(together), *alone]):
        rows[row, group] = True
    return rows
