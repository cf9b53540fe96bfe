"""How fast is learned, step by step; a pure function, so that it needs no state."""

from __future__ import annotations

import math

__all__ = ["rate_factor"]


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """The share of the largest learning rate at a step: a straight rise, then a cosine to 0.

    Args:
        step: Counted from 0.
        steps: In all.
        warmup: Share of the steps that the rise takes.
    """
    rise = max(round(steps * warmup), 1)
    if step < rise:
        return (step + 1) / rise
    # 0 only after the last step.
    done = (step - rise) / max(steps - rise, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
