"""A trained network made ready to learn something else: part of what it knows, part fresh weights.

A network that has learned for long learns badly what is new to it. Its weights have grown, so that
a step of AdamW turns them less, and what it has settled on draws it back: fresh weights end up
better once there are some labels. Shrunk and mixed with fresh ones it keeps the directions that it
found, and learns like a new one (Ash and Adams 2020, "On Warm-Starting Neural Network Training",
NeurIPS 33, arXiv:1910.08475).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["mix_with"]

_MATRIX_DIMENSIONS = 2


def mix_with(network: nn.Module, fresh: Mapping[str, Tensor], keep: float) -> None:
    """Replace part of a network's weights by fresh ones, in place.

    Kernels are first brought to the size (Frobenius norm) of the fresh ones, so that `keep` says
    what it means wherever they have grown. Statistics of batch norm, which hold for other weights,
    begin anew.

    Args:
        network: With the weights that it knows.
        fresh: Weights of the same network as it was built, by name.
        keep: Share of the known weights, 0 to 1.
    """
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in network.state_dict().items():
            own = fresh[name]
            if name not in parameters:
                value.copy_(own)
                continue
            known = value
            if value.ndim >= _MATRIX_DIMENSIONS:
                known = value * (own.norm() / value.norm().clamp_min(torch.finfo(value.dtype).tiny))
            value.copy_(torch.lerp(own, known, keep))
