"""Model files: weights as plain tensors, and the card, in one `.safetensors`.

The format (https://github.com/huggingface/safetensors#format) is 8 bytes of little-endian length, a
JSON header of that length, then the tensors' bytes. The card is read from the header alone, without
torch. Nothing in this module unpickles anything. ONNX files from elsewhere are read in `onnx_file`.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from agriseg._version import __version__
from agriseg.errors import ModelError, OptionError, OutputError, said_by
from agriseg.models.augment import augmented
from agriseg.models.baseline import BASELINE, IndexBaseline
from agriseg.models.card import ModelCard
from agriseg.models.engines import ENGINES, EngineError, Numerics, resolve_numerics
from agriseg.models.onnx_file import read_onnx_card
from agriseg.models.predictor import Predictor
from agriseg.models.shipped import known_models, shipped_models
from agriseg.raster.place import check_place

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "LoadOptions",
    "check_model_place",
    "load_model",
    "model_path",
    "read_card",
    "read_weights",
    "save_model",
]

_KEY = "agriseg"
_SUFFIX = ".safetensors"
# The limit of the safetensors library itself. A header names tensors; 100 MB is beyond any model.
_LONGEST_HEADER = 100_000_000
_MAKE_ONE = "make one from your own network with agriseg.save_model"

_FOREIGN = (
    (b"PK\x03\x04", "a zip file, as torch.save writes it (a PyTorch checkpoint)"),
    (b"\x80", "a Python pickle, as torch.save writes it (a PyTorch checkpoint)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it"),
    (b"II*\x00", "a TIFF raster"),
    (b"MM\x00*", "a TIFF raster"),
)


@dataclass(frozen=True)
class _Header:
    """What stands before the tensors: the metadata, and each tensor's (dtype, shape)."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


class LoadOptions(TypedDict, total=False):
    """The keywords of `load_model`."""

    engine: str
    device: str
    precision: str
    batch: int | None
    threads: int | None
    tta: str
    trust: bool


def load_model(
    name_or_path: str | os.PathLike[str],
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
    threads: int | None = None,
    tta: str = "none",
    trust: bool = False,
) -> Predictor:
    """Load a model for predicting.

    Args:
        name_or_path: A model file (`.safetensors`); a network from elsewhere (`.onnx`) with its
            card beside it (the same name, ending in `.json`); the name of a model that comes with
            agriseg (`known_models`); or "index-baseline", which needs no file and no training; it
            runs in numpy, on the CPU, in float32.
        engine: "auto", "openvino" or "torch"; "auto" or "onnxruntime" for an ONNX file; "auto" or
            "numpy" for the baseline. An engine that was chosen by itself and fails gives way to
            torch.
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: "auto", "bfloat16", "float32", or "int8": on a CPU in 8-bit integers, calibrated
            on the scene, where that changes few classes.
        batch: Chips in a batch; by default what suits the device.
        threads: CPU threads, each of which predicts a chip; by default all cores, or as many as
            half of the memory bears. The result does not depend on it.
        tta: Test-time augmentation: "none", "flips" (the mean over 4 mirror images, 4 times the
            work), or "turns" (8, with quarter turns).
        trust: Allow a model whose architecture is code outside agriseg (a dotted path in its card).

    Raises:
        ModelError: The file is missing, damaged, no model of agriseg's, or not trusted.
        OptionError: An option is unknown, or this machine cannot provide it.
    """
    if str(name_or_path) == BASELINE:
        if engine not in ("auto", "numpy"):
            raise OptionError(f"--engine {engine}: {BASELINE} is computed in numpy; leave it out")
        if device not in ("auto", "cpu"):
            raise OptionError(f"--device {device}: {BASELINE} is computed on the CPU; leave it out")
        if precision not in ("auto", "float32"):
            raise OptionError(
                f"--precision {precision}: {BASELINE} is computed in float32; leave it out"
            )
        return augmented(IndexBaseline(), tta)
    path = model_path(name_or_path)
    engine = _engine_for(path, engine)
    card = read_card(path)
    how: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "batch": batch,
        "threads": threads,
        "chip_size": card.chip_size,
    }
    numerics = resolve_numerics(engine=engine, **how)
    try:
        return augmented(_loaded(path, card, numerics, trust=trust), tta)
    except (EngineError, ImportError, OSError) as error:
        if engine != "auto" or numerics.engine == "torch":
            if isinstance(error, ModelError):
                raise
            raise EngineError(
                f"--engine {numerics.engine}: it cannot be loaded ({error}); reinstall it, or use "
                "--engine torch"
            ) from error
        why = f"{numerics.engine} failed: {said_by(error)}"
    numerics = resolve_numerics(engine="torch", **how)
    return augmented(_loaded(path, card, replace(numerics, why=why), trust=trust), tta)


def _loaded(path: Path, card: ModelCard, numerics: Numerics, *, trust: bool) -> Predictor:
    module, _, function = ENGINES[numerics.engine].partition(":")
    load = getattr(importlib.import_module(module), function)
    predictor: Predictor = load(path, card, numerics, trust=trust)
    return predictor


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read a model file's card; neither torch nor, but for ONNX files, the weights are loaded.

    Raises:
        ModelError: The file is missing, damaged, or no model of agriseg's.
    """
    file = model_path(path)
    return _format_of(file).read_card(file)


def _read_own_card(file: Path) -> ModelCard:
    header = _read_header(file)
    if _KEY not in header.metadata:
        raise ModelError(
            f"{file}: holds {len(header.tensors)} tensors but no agriseg model card, so its bands "
            "and classes are unknown; tell them with `agriseg import`, or agriseg.save_model"
        )
    try:
        return ModelCard.from_json(header.metadata[_KEY])
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error


def save_model(
    path: str | os.PathLike[str], card: ModelCard, state_dict: Mapping[str, Tensor]
) -> Path:
    """Write a model file; half precision weights are kept as they are.

    An architecture that is a dotted path is imported, to compare the weights with it.

    Args:
        path: Where; it must end in `.safetensors`. A file that is there is replaced in one step.
        card: The card; `agriseg_version` is filled in where it is empty.
        state_dict: The weights, as `network.state_dict()` gives them.

    Returns:
        The path.

    Raises:
        ModelError: The weights do not fit the architecture in the card.
        OutputError: The file cannot be written.
    """
    file = Path(path)
    check_model_place(file)
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    card = card if card.agriseg_version else replace(card, agriseg_version=__version__)
    check_weights(card, {name: tuple(t.shape) for name, t in state_dict.items()}, "state dict")
    # Copies: safetensors refuses tensors that share memory (tied weights) or are channels-last.
    tensors = {name: t.detach().cpu().clone().contiguous() for name, t in state_dict.items()}
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        # One key only: the library's order of several is random, and files should be reproducible.
        save_file(tensors, beside, metadata={_KEY: card.to_json()})
        os.replace(beside, file)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{file}: cannot be written ({error}); check folder and disk") from error
    finally:
        beside.unlink(missing_ok=True)
    return file


def check_model_place(file: Path) -> None:
    """See, before any work, that a model file can be written there.

    Raises:
        OutputError: It cannot, or its name does not end as model files do.
    """
    if file.suffix != _SUFFIX:
        raise OutputError(f"{file}: a model file ends in {_SUFFIX}; name it {file.stem}{_SUFFIX}")
    check_place(file)


def read_weights(path: str | os.PathLike[str], card: ModelCard) -> dict[str, Tensor]:
    """Read the weights of a model file, once their names and shapes are known to fit the card.

    The card's architecture is built for that: whether it is trusted is for the caller to decide.

    Raises:
        ModelError: The file is damaged, or its weights do not fit the card.
    """
    file = model_path(path)
    shapes = {name: shape for name, (_, shape) in _read_header(file).tensors.items()}
    check_weights(card, shapes, str(file))
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(file, str(error)) from error


def check_weights(card: ModelCard, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Compare names and shapes of weights with those of the card's network, strictly.

    Raises:
        ModelError: They differ; `where` says whose they are.
    """
    expected = expected_shapes(card)
    missing, unexpected = sorted(expected.keys() - shapes), sorted(shapes.keys() - expected)
    other = [name for name in expected if name in shapes and shapes[name] != expected[name]]
    if not (missing or unexpected or other):
        return
    parts = []
    for words, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            parts.append(f"{len(names)} {words} ({first})")
    if other:
        name = other[0]
        parts.append(
            f"{len(other)} of another shape ({name} is {shapes[name]}, expected {expected[name]})"
        )
    fix = "make architecture, options, bands and legend of the card those of the trained network"
    for prefix in sorted({name.partition(".")[0] + "." for name in unexpected}) if missing else ():
        if all(prefix + name in shapes for name in missing):
            fix = f"strip the prefix {prefix!r} from the names of the weights"
    raise ModelError(
        f"{where}: the weights do not fit {card.architecture} with {len(card.bands)} bands and "
        f"{len(card.legend)} classes: {'; '.join(parts)}; {fix}"
    )


def expected_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a card's network, which is built for it."""
    import torch

    from agriseg.models.architectures import build_network

    # Building draws random numbers, also on the meta device; the caller's seed must not notice.
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):  # takes no memory
                network = build_network(card, trust=True)
        except ModelError:
            # Some constructors compute with values, which the meta device has not; faults recur.
            network = build_network(card, trust=True)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@dataclass(frozen=True)
class _Format:
    """A kind of model file: what `--engine` may be, first what "auto" means, and its card."""

    engines: tuple[str, ...]
    read_card: Callable[[Path], ModelCard]


_OWN = _Format(("auto", "openvino", "torch"), _read_own_card)
_FORMATS = {".onnx": _Format(("onnxruntime",), read_onnx_card)}


def _format_of(file: Path) -> _Format:
    return _FORMATS.get(file.suffix.lower(), _OWN)


def _engine_for(file: Path, engine: str) -> str:
    """The engine to ask for, once it is known to read such files."""
    possible = _format_of(file).engines
    if engine == "auto":
        return possible[0]
    # What is no engine at all is told where all of them are known.
    if engine in ENGINES and engine not in possible:
        names = " or ".join(name for name in possible if name != "auto")
        raise OptionError(
            f"--engine {engine}: {file} is not for it, {names} computes such files; leave --engine "
            "out"
        )
    return engine


def model_path(path: str | os.PathLike[str]) -> Path:
    """The file of a model that is named by its path, or by the name of one that is shipped.

    Raises:
        ModelError: There is none.
    """
    text = os.fspath(path)
    if "://" in text:
        raise ModelError(f"{text}: models are read from a local file; download it first")
    if text in (own := shipped_models()):
        return own[text]
    file = Path(text)
    if file.is_dir():
        inside = sorted([*file.glob(f"*{_SUFFIX}"), *file.glob("*.onnx")])
        hint = f"did you mean {inside[0]}?" if inside else _MAKE_ONE
        raise ModelError(f"{file}: is a folder; expected is a {_SUFFIX} model file; {hint}")
    if not file.exists():
        names = known_models()
        if near := difflib.get_close_matches(text, names, n=1, cutoff=0.6):
            raise ModelError(f"no model {text!r}; did you mean {near[0]!r}?")
        listed = " or ".join(repr(name) for name in names)
        raise ModelError(
            f"no model file {text!r}; expected is the path of a {_SUFFIX} or .onnx file, or "
            f"{listed}, which needs none"
        )
    return file


def _read_header(file: Path) -> _Header:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(9)
            length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
            # Length first: a file that only claims to be one must not make us allocate.
            if start[8:] != b"{" or not 2 <= length <= _LONGEST_HEADER:
                raise _foreign(file, start, size)
            if 8 + length > size:
                raise _damaged(file, f"its header claims {length} bytes, the file has {size}")
            text = start[8:] + stream.read(length - 1)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}); check the file") from error
    try:
        plain = json.loads(text)
        metadata = plain.pop("__metadata__", {})
        tensors = {name: (t["dtype"], tuple(t["shape"])) for name, t in plain.items()}
        end = max((t["data_offsets"][1] for t in plain.values()), default=0)
        if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY, ""), str):
            raise TypeError("its metadata are no texts")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _damaged(file, f"its header is not readable: {type(error).__name__}") from error
    if end != size - 8 - length:
        raise _damaged(file, f"{size - 8 - length} bytes of weights where {end} should be")
    return _Header(metadata, tensors)


def _damaged(file: Path, what: str) -> ModelError:
    return ModelError(f"{file}: is damaged or incomplete ({what}); copy or download it again")


def _foreign(file: Path, start: bytes, size: int) -> ModelError:
    for magic, name in _FOREIGN:
        if start.startswith(magic):
            fix = (
                "such files can run code when opened, so agriseg does not; convert it once with "
                "`agriseg import`"
                if "checkpoint" in name
                else _MAKE_ONE
            )
            return ModelError(f"{file}: is {name}; expected is a {_SUFFIX} model file; {fix}")
    found = f"begins with {start.hex(' ')}" if size else "is empty"
    return ModelError(f"{file}: {found}; expected is a {_SUFFIX} model file; {_MAKE_ONE}")
