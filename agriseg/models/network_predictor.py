"""What predictors of a network have in common, whichever engine computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agriseg.models.architectures import build_network
from agriseg.models.card import ModelCard
from agriseg.models.engines import Numerics
from agriseg.models.file import read_weights
from agriseg.models.torch_accumulator import TorchAccumulator
from agriseg.tiling import ChipGrid

__all__ = ["NetworkPredictor", "SettledPredictor", "load_network"]


def load_network(path: Path, card: ModelCard, *, trust: bool = False) -> torch.nn.Module:
    """The network of a model file with its weights, in float32.

    Raises:
        ModelError: The architecture is not trusted, or the weights do not fit it.
    """
    # Building draws random numbers, which the caller's seed must not notice.
    with torch.random.fork_rng(devices=[]):
        network = build_network(card, trust=trust)
    network.load_state_dict(read_weights(path, card))  # half precision is widened without loss
    return network


class SettledPredictor:
    """A card, and the numerics that were decided for its network.

    Args:
        card: The card.
        numerics: How to compute.
        fingerprint: A text that changes with the card and the weights.
        parameters: How many weights there are.
    """

    def __init__(
        self, card: ModelCard, numerics: Numerics, *, fingerprint: str, parameters: int
    ) -> None:
        self.card, self.settings = card, numerics
        self.fingerprint, self._parameters = fingerprint, parameters

    @property
    def numerics(self) -> str:
        """The numerics key."""
        return self.settings.key

    @property
    def batch(self) -> int:
        """Chips in a batch."""
        return self.settings.batch

    @property
    def streams(self) -> int:
        """Calls that may go on at once."""
        return self.settings.streams

    @property
    def is_asynchronous(self) -> bool:
        """Whether calls return before they are done."""
        return self.settings.device != "cpu"

    def new_accumulator(self, grid: ChipGrid, probabilities: bool = False) -> TorchAccumulator:
        """A merge in torch where the predictor computes; on a CPU it is faster than numpy's."""
        return TorchAccumulator(
            grid,
            len(self.card.legend),
            device=self.settings.device,
            probabilities=probabilities,
            together=self.card.together_values,
            threads=1 if self.settings.device == "cpu" else None,
        )

    def about(self) -> dict[str, Any]:
        """How it computes, and how large it is."""
        settings = self.settings
        return {
            "architecture": self.card.architecture,
            "parameters": self._parameters,
            "fingerprint": self.fingerprint,
            "engine": f"{settings.engine} {settings.engine_version}",
            "device": settings.device,
            "precision": settings.precision,
            "threads": settings.threads,
            "batch": settings.batch,
            "isa": settings.isa,
            "why": settings.why,
        }


class NetworkPredictor(SettledPredictor):
    """What is known of a network in torch.

    Args:
        card: The card.
        network: Its weights are told by the fingerprint; it is not kept.
        numerics: How to compute.
    """

    def __init__(self, card: ModelCard, network: torch.nn.Module, numerics: Numerics) -> None:
        super().__init__(
            card,
            numerics,
            fingerprint=_fingerprint(card, network.state_dict()),
            parameters=sum(p.numel() for p in network.parameters()),
        )


def _fingerprint(card: ModelCard, weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of card and weights. Half precision and the same numbers in float32 are equal."""
    digest = hashlib.sha256(card.digest.encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
