"""Predicting with torch, on a CPU or a CUDA GPU."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.errors import ModelError
from agriseg.models.card import ModelCard
from agriseg.models.engines import Numerics, resolve_numerics
from agriseg.models.network_predictor import NetworkPredictor, load_network
from agriseg.models.torch_threads import torch_threads

__all__ = ["TorchPredictor", "load"]

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
# Batches that a GPU has yet to do: with one it would wait for each next one to come.
_QUEUED = 2


def load(path: Path, card: ModelCard, numerics: Numerics, *, trust: bool = False) -> TorchPredictor:
    """Load a model file into a predictor.

    Raises:
        ModelError: The architecture is not trusted, or the weights do not fit it.
    """
    return TorchPredictor(card, load_network(path, card, trust=trust), numerics)


class TorchPredictor(NetworkPredictor):
    """A network and its card as a `Predictor`.

    Args:
        card: The card.
        network: From (n, bands, h, w) to logits (n, classes, h, w); copied, so that the caller's
            keeps its precision and mode.
        numerics: How to compute; decided for this machine by default.
    """

    def __init__(
        self, card: ModelCard, network: torch.nn.Module, numerics: Numerics | None = None
    ) -> None:
        super().__init__(card, network, numerics or resolve_numerics())
        self._device = torch.device(self.settings.device)
        self._dtype = _DTYPES[self.settings.precision]
        # bfloat16 weights once and for all, not autocast: a ResNet-18 U-Net of 5 bands took
        # 161 ms (autocast 184, float32 421) on 512 x 512 pixels and 692 ms (792, 1840) on
        # 1024 x 1024, medians on two cores with avx512_bf16; channels-last is 1.7 times as fast
        # as not. Folding the batch norms into the convolutions gained nothing measurable.
        self._network = (
            copy.deepcopy(network)
            .eval()
            .requires_grad_(False)
            .to(self._device, self._dtype)
            .to(memory_format=torch.channels_last)
        )
        shape = (1, -1, 1, 1)
        self._means = torch.from_numpy(card.means).reshape(shape).to(self._device)
        self._stds = torch.from_numpy(card.stds).reshape(shape).to(self._device)
        self._queued: deque[tuple[torch.cuda.Event, NDArray[np.float32]]] = deque()

    def __getstate__(self) -> dict[str, Any]:
        # What a GPU has yet to do stays here when the predictor goes to a worker.
        return {**self.__dict__, "_queued": deque()}

    def new_batch(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Memory for a batch: for a GPU such as it copies from while others work."""
        if self._device.type != "cuda":
            return np.empty(shape, np.float32)
        batch: NDArray[np.float32] = torch.empty(
            shape, dtype=torch.float32, pin_memory=True
        ).numpy()
        return batch

    def __call__(self, batch: NDArray[np.float32], /) -> torch.Tensor:
        """Probabilities (n, classes, h, w) float32 on the device of (n, bands, h, w) reflectance.

        Raises:
            ModelError: Memory does not suffice, or the network gives no logits.
        """
        with torch.inference_mode(), self._fixed_arithmetic(), _memory_faults(self, batch.shape):
            x = self._upload(batch)
            # Constants of the card, never the chip's own (a seam would show at every chip).
            x = ((x - self._means) / self._stds).to(self._dtype, memory_format=torch.channels_last)
            logits = self._network(x)
            if not isinstance(logits, torch.Tensor):
                raise ModelError(
                    f"model {self.card.name!r}: its network returned a {type(logits).__name__}; "
                    "expected is one tensor of logits (n, classes, h, w)"
                )
            logits = logits.float()
            if self.card.temperature != 1:
                logits = logits / self.card.temperature
            probabilities = torch.softmax(logits, dim=1).contiguous()
            self._wait_where_far_ahead(batch)
            return probabilities

    def _upload(self, batch: NDArray[np.float32]) -> torch.Tensor:
        x = torch.from_numpy(batch if batch.flags.writeable else batch.copy())
        if self._device.type != "cuda":
            return x
        # What `new_batch` gave is pinned already. If not, torch reuses the pinned copy only once
        # the GPU has it.
        return x.pin_memory().to(self._device, non_blocking=True)

    def _wait_where_far_ahead(self, batch: NDArray[np.float32]) -> None:
        """Wait until a GPU has no more than `_QUEUED` batches to do.

        Else all that is there would be asked of it at once, before the merging of finished rows;
        these would then come back with nothing left for it to do meanwhile.
        """
        if self._device.type != "cuda":
            return
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self._device))
        # The batch is kept until the GPU has read it.
        self._queued.append((done, batch))
        if len(self._queued) > _QUEUED:
            self._queued.popleft()[0].synchronize()

    def _fixed_arithmetic(self) -> Any:
        """What makes equal inputs give equal bytes: cuDNN's algorithms, one CPU thread."""
        if self._device.type == "cuda":
            return torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            )
        return torch_threads(1)


@contextmanager
def _memory_faults(predictor: TorchPredictor, shape: tuple[int, ...]) -> Iterator[None]:
    """Turn "out of memory" into what the user can do about it."""
    try:
        yield
    except RuntimeError as error:
        on_cuda = isinstance(error, torch.OutOfMemoryError)
        if not on_cuda and "DefaultCPUAllocator" not in str(error):
            raise
        n, _, height, width = shape
        where = f"the GPU ({predictor.settings.device})" if on_cuda else "this machine"
        if n > 1:
            fix = f"use --batch {n // 2}"
        else:
            stride = predictor.card.stride
            half = max(max(height, width) // 2 // stride * stride, stride)
            fix = f"use --chip {half}" + (", or --device cpu" if on_cuda else "")
        raise ModelError(
            f"model {predictor.card.name!r}: the memory of {where} does not suffice for {n} "
            f"chip(s) of {width} x {height} pixels at a time; {fix}"
        ) from error
