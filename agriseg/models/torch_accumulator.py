"""The streaming merge where the predictor's output is: on the GPU, or in torch on the CPU.

The arithmetic and its order are those of `NumpyAccumulator`; only the arrays are tensors. Every
multiplication and addition is an operation of its own, so no compiler fuses them into one with
another rounding, and the bytes equal the reference's. Only class and confidence bytes, and the
strips at the cuts between swaths, come back to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agriseg.legend import NODATA
from agriseg.models.torch_threads import torch_threads
from agriseg.tiling import CONFIDENCE_STEPS, Chip, ChipGrid, NumpyAccumulator, SeamStrip

__all__ = ["TorchAccumulator", "decided"]


class TorchAccumulator(NumpyAccumulator):
    """`NumpyAccumulator` on a torch device, with the same bytes.

    On a CPU too it is the faster one: 8 ms against 19 ms to decide a chip of 1024 x 1024 pixels and
    three classes on two cores.

    Args:
        grid: The chip grid of the raster.
        classes: Number of classes.
        device: Where the probabilities are.
        probabilities: Also keep the probability of each class.
        together: See `agriseg.tiling.decide`.
        threads: On how many CPU threads; None: as torch is set. Where the predictor's streams keep
            all cores busy, one: torch's other threads would wait for work at full speed, which took
            a tenth of the cores from the network.
    """

    def __init__(
        self,
        grid: ChipGrid,
        classes: int,
        *,
        device: torch.device | str,
        probabilities: bool = False,
        together: Sequence[int] = (),
        threads: int | None = None,
    ) -> None:
        self._device, self._threads = torch.device(device), threads
        super().__init__(grid, classes, probabilities=probabilities, together=together)

    def add(self, probabilities: Any, chip: Chip) -> None:
        # The outputs are inference tensors, which may be overwritten in inference mode only.
        with torch.inference_mode(), torch_threads(self._threads):
            super().add(torch.as_tensor(probabilities, device=self._device), chip)

    def _array(self, values: NDArray[np.float32]) -> torch.Tensor:
        # Copied: the ledger's arrays may be read-only, which torch does not know.
        return torch.from_numpy(np.array(values, np.float32)).to(self._device)

    def _zeros(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float32, device=self._device)

    def _full_bytes(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.full(shape, NODATA, dtype=torch.uint8, device=self._device)

    def _finish(self, probabilities: torch.Tensor, out: torch.Tensor) -> None:
        most, classes = decided(probabilities, self._together)
        # Stays on the device: NaN goes through max and sum, and is asked for once a chip row.
        self._finite = torch.isfinite(most.sum()) & self._finite
        out[0].copy_(classes)
        out[1].copy_(_to_steps(most))
        if self._keep:
            out[2:].copy_(_to_steps(probabilities))

    def _blank(self, planes: torch.Tensor, absent: torch.Tensor) -> None:
        # Not by index, which would make the host wait for the device at every chip.
        planes.masked_fill_(absent, NODATA)

    def _to_host(self, planes: torch.Tensor) -> NDArray[np.uint8]:
        # The one point of a chip row at which the host waits for the device.
        packed = planes.contiguous() if planes.is_cuda else planes  # nobody else has them
        result: NDArray[np.uint8] = packed.cpu().numpy()
        return result

    def _strip_to_host(self, strip: torch.Tensor) -> SeamStrip:
        result: SeamStrip = strip.cpu().numpy()
        return result


def decided(
    probabilities: torch.Tensor, together: Sequence[int] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """The probability of each pixel's class, and the class: `agriseg.tiling.decide` in torch.

    Args:
        probabilities: (classes, ...).
        together: Classes that are decided as one first.
    """
    # Of equal maxima torch.max gives the first, as numpy does. One pass of max over both results
    # is 10 times faster on a CPU than argmax.
    if not together:
        most, classes = probabilities.max(dim=0)
        return most, classes
    planes = [probabilities[k] for k in together]
    total = planes[0]
    for plane in planes[1:]:
        total = total + plane
    others = [k for k in range(len(probabilities)) if k not in together]
    one, member = torch.stack(planes).max(dim=0)
    most, other = torch.stack([probabilities[k] for k in others]).max(dim=0)
    names, rest = (torch.tensor(k, device=probabilities.device) for k in (list(together), others))
    wins = total > most
    return torch.where(wins, one, most), torch.where(wins, names[member], rest[other])


def _to_steps(probabilities: torch.Tensor) -> torch.Tensor:
    """`agriseg.tiling.to_steps` on the device; torch.round takes halves to the even neighbour."""
    return (probabilities * CONFIDENCE_STEPS).round_().clamp_(0, CONFIDENCE_STEPS)
