"""Weights out of files that others wrote: plain tensors, and nothing that could run.

A checkpoint of PyTorch is a pickle, which may name any code. It is read with `weights_only`, which
knows tensors and plain values alone; a file that needs more is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from agriseg.errors import ModelError, said_by, shown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["named_for", "read_tensors"]

# Where training scripts keep the weights, beside optimizers and counters.
_KEYS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_ONLY_WEIGHTS = (
    "where it was made, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the weights in a checkpoint: a state dict, or what holds one.

    Args:
        path: A file of `torch.save` (.pt, .pth, .ckpt), or `.safetensors`.

    Raises:
        ModelError: There are none, or the file holds code.
    """
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; expected is a checkpoint (.pt, .pth or .ckpt)")
    if "://" in str(path) or not path.exists():
        raise ModelError(f"{path}: no such file; expected is a checkpoint on this machine")
    content = _content(path)
    found = _weights_in(content)
    if not found:
        keys = ", ".join(str(key) for key in list(content)[:8]) if _is_dict(content) else ""
        what = f"a dictionary of {keys}" if keys else f"a {type(content).__name__}"
        raise ModelError(f"{path}: holds no weights by name, but {what}; {_ONLY_WEIGHTS}")
    if len(found) > 1:
        raise ModelError(
            f"{path}: holds several sets of weights ({', '.join(found)}); keep one of them: "
            f"torch.save(checkpoint['{next(iter(found))}'], 'weights.pth')"
        )
    return next(iter(found.values()))


def _content(path: Path) -> Any:
    import torch

    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path, device="cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of it is an error here
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # Torch advises to run what the file says, or to allow it: we do not.
        named = _GLOBAL.search(str(error))
        what = f"it names {shown(named[1])}, which is code" if named else "it is no plain data"
        raise ModelError(
            f"{path}: holds more than weights ({what}), and agriseg runs nothing that a file "
            f"says; {_ONLY_WEIGHTS}"
        ) from error
    except Exception as error:  # a stranger's file: torch raises what it likes
        if "TorchScript" in str(error):
            raise ModelError(
                f"{path}: is a TorchScript program, which is code; {_ONLY_WEIGHTS}"
            ) from error
        raise ModelError(
            f"{path}: cannot be read as a checkpoint of PyTorch ({said_by(error)}); check that "
            "it is one, and download it again"
        ) from error


def _is_dict(content: Any) -> bool:
    return isinstance(content, Mapping)


def _weights_in(content: Any) -> dict[str, dict[str, Tensor]]:
    """Sets of weights by the keys that they are under; "" for the whole."""
    if not _is_dict(content):
        return {}
    if whole := _tensors(content):
        return {"": whole}
    for key in _KEYS:
        if tensors := _tensors(content.get(key)):
            return {key: tensors}
    inside = {str(key): _tensors(value) for key, value in content.items()}
    return {key: tensors for key, tensors in inside.items() if tensors}


def _tensors(content: Any) -> dict[str, Tensor]:
    from torch import Tensor

    if not _is_dict(content):
        return {}
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}


def named_for(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Any], prefix: str | None = None
) -> dict[str, Tensor]:
    """Weights under the names that a network has for them.

    Training scripts put their own part before each name (`model.`, `module.`), and weights of
    losses and measures beside them, which are left out.

    Args:
        tensors: As read.
        expected: Names that the network has.
        prefix: What stands before the names; None: found by the names themselves.

    Raises:
        ModelError: Several copies of the network are in the file.
    """
    if prefix is None:
        possible = list(_prefixes(tensors, expected))
        if len(possible) > 1:
            listed = ", ".join(repr(one) for one in possible)
            raise ModelError(
                f"the checkpoint holds several copies of the network, under {listed}; choose one "
                "with --prefix"
            )
        prefix = possible[0] if possible else ""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _prefixes(tensors: Mapping[str, Tensor], expected: Mapping[str, Any]) -> Iterator[str]:
    """What can stand before the names so that the most of them are there."""
    starts: set[str] = set()
    for name in (next(iter(expected)), list(expected)[-1]):
        starts |= {k.removesuffix(name) for k in tensors if k == name or k.endswith(f".{name}")}
    score = {start: sum(start + name in tensors for name in expected) for start in starts}
    best = max(score.values(), default=0)
    yield from sorted(start for start, count in score.items() if count == best)
