"""Engine, device, precision, threads and batch: decided once, from what the machine can do.

Never from a stopwatch: two runs on one machine must come to the same decision, because the bytes of
the result depend on it. The decision is a value, `Numerics`; its key is part of every row file's
name, and a worker that comes to another key refuses.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from dataclasses import dataclass
from typing import Any

from agriseg.errors import ModelError, OptionError
from agriseg.machine import memory_bytes

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "EngineError",
    "Numerics",
    "chips_at_once",
    "numpy_isa",
    "resolve_numerics",
]

ENGINES: dict[str, str] = {
    "openvino": "agriseg.models.openvino_predictor:load",
    "torch": "agriseg.models.torch_predictor:load",
    "onnxruntime": "agriseg.models.onnx_predictor:load",
}
"""Where each engine loads a model file: `load(path, card, numerics, *, trust) -> Predictor`."""

PRECISIONS = ("bfloat16", "float32", "int8")

# A chip's pixel through a large network in float32 takes about so much memory while it lasts.
_BYTES_PER_PIXEL = 1024
# They compute on the CPU here: who asks for one of them and names no device means that.
# Name, what to do on a GPU, and what to do where it is missing.
_CPU_ONLY = {
    "openvino": (
        "OpenVINO",
        "use --engine torch, or --device cpu",
        "pip install openvino, or use --engine torch",
    ),
    "onnxruntime": ("ONNX Runtime", "use --device cpu", "pip install 'agriseg[onnx]'"),
}

_DEVICE = re.compile(r"cpu\Z|cuda(:\d{1,3})?\Z")
_BATCH = {"cpu": 1, "cuda": 4}
_X86 = ("x86_64", "amd64")
_MOST = 4096


class EngineError(ModelError):
    """An engine cannot take a network that another one may take."""


@dataclass(frozen=True)
class Numerics:
    """Everything besides model and pixels that the bytes of a prediction depend on.

    Args:
        engine: A key of `ENGINES`, or "numpy".
        engine_version: Version of that library.
        device: "cpu", "cuda" or "cuda:1".
        precision: One of `PRECISIONS`.
        threads: CPU threads of one predictor: so many calls go on at once, each on one thread.
        batch: Chips in a batch.
        isa: Instruction set, or the GPU and its compute capability.
        why: Why this engine, for a person; no part of the key.

    On a CPU each call is computed on one thread, several at once. Then no call waits for a thread
    that the reader or the writer has taken: with a reader beside it OpenVINO made 1.25 Mpixel/s of
    a U-Net on ResNet-34 so on two cores, and 0.90 with both threads on one call; alone 1.7 either
    way. And the bytes do not depend on the number of threads, as they otherwise may: in torch 2.15
    U-Nets gave the same bits on 1 and 2 threads for most shapes, yet not for all.
    """

    engine: str
    engine_version: str
    device: str
    precision: str
    threads: int
    batch: int
    isa: str
    why: str = ""

    @property
    def key(self) -> str:
        """The numerics key, a line of JSON. Under one key the same bytes come out.

        On a GPU it matters not which of several equal ones it is. Threads never matter: each call
        has one. (Calibrating for int8 gave the same weights on any number of them.)
        """
        device = self.device.partition(":")[0]
        plain = {
            "engine": self.engine,
            "engine_version": self.engine_version,
            "device": device,
            "precision": self.precision,
            "threads": "any",
            "batch": self.batch,
            "isa": self.isa,
        }
        return json.dumps(plain)

    @property
    def streams(self) -> int:
        """Calls that may go on at once."""
        return self.threads if self.device == "cpu" else 1

    @staticmethod
    def options(key: str) -> dict[str, Any]:
        """Arguments for `load_model` with which a worker comes to the same key, if it can."""
        plain = json.loads(key)
        names = ("engine", "device", "precision", "batch", "tta")
        return {name: plain[name] for name in names if plain.get(name, "any") != "any"}


def resolve_numerics(
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
    threads: int | None = None,
    chip_size: int = 1024,
) -> Numerics:
    """Decide how a model is computed on this machine.

    Args:
        engine: A key of `ENGINES`, or "auto": torch on CUDA; OpenVINO on x86 processors, for which
            it is made, where it is installed; torch elsewhere. ONNX Runtime, for ONNX files only,
            is never chosen here.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".
        precision: "auto" (bfloat16 where the processor computes in it), or one of `PRECISIONS`;
            ONNX Runtime computes in float32, and only OpenVINO in int8.
        batch: Chips in a batch; by default 1 on a CPU, where more gains nothing, and 4 on CUDA.
        threads: CPU threads; by default what torch is set to, or fewer where half of the memory
            would not suffice for so many chips at a time.
        chip_size: Side of a chip in pixels, for that.

    Raises:
        OptionError: A value is unknown, or the machine cannot provide it.
    """
    _check(engine, "--engine", ("auto", *ENGINES))
    _check(precision, "--precision", ("auto", *PRECISIONS))
    for name, value in (("--batch", batch), ("--threads", threads)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST
        ):
            raise OptionError(f"{name} {value}: a whole number of 1 to {_MOST} is needed")
    import torch

    if precision == "int8":
        engine = _engine_for_int8(engine)
    where = "cpu" if engine in _CPU_ONLY and device == "auto" else _device(device)
    on_cuda = where.startswith("cuda")
    chosen, why = _engine(engine, where)
    if precision == "int8" and not _may_have_vnni():
        why = "as asked, but this processor has no VNNI: int8 is no faster on it"
    return Numerics(
        engine=chosen,
        engine_version=_versions(chosen, precision),
        device=where,
        precision=_precision(precision, where, chosen),
        threads=threads or min(torch.get_num_threads(), chips_at_once(chip_size**2)),
        batch=batch or _BATCH["cuda" if on_cuda else "cpu"],
        isa=_cuda_isa(where) if on_cuda else _cpu_isa(chosen),
        why=why,
    )


def chips_at_once(pixels: int) -> int:
    """How many chips of so many pixels may be predicted at a time in half of the memory."""
    return max(memory_bytes() // 2 // (pixels * _BYTES_PER_PIXEL), 1)


def _engine_for_int8(engine: str) -> str:
    if engine not in ("auto", "openvino"):
        raise OptionError(
            f"--precision int8 --engine {engine}: only OpenVINO computes in int8 here; leave one "
            "of the two out"
        )
    if _version("nncf") is None:
        raise OptionError(
            "--precision int8: NNCF, which calibrates it, is not installed; pip install "
            "'agriseg[int8]'"
        )
    return "openvino"


def _versions(engine: str, precision: str) -> str:
    """Versions of the libraries that decide the bytes."""
    found = _version(engine) or "unknown"
    return f"{found}, nncf {_version('nncf')}" if precision == "int8" else found


def _engine(engine: str, device: str) -> tuple[str, str]:
    """The engine, and why it is this one."""
    if engine in _CPU_ONLY:
        name, on_a_gpu, if_missing = _CPU_ONLY[engine]
        if device != "cpu":
            raise OptionError(
                f"--engine {engine} --device {device}: {name} computes on the CPU here; {on_a_gpu}"
            )
        if _version(engine) is None:
            raise OptionError(f"--engine {engine}: it is not installed; {if_missing}")
    if engine == "onnxruntime":
        return engine, "it computes ONNX files"
    if engine != "auto":
        return engine, "as asked"
    has_openvino = _version("openvino") is not None
    if device != "cpu":
        return "torch", "there is a GPU"
    if platform.machine().lower() not in _X86:
        return "torch", f"OpenVINO is fast on x86 processors, this is {platform.machine()}"
    if not has_openvino:
        return "torch", "OpenVINO, faster on this processor, is not installed"
    return "openvino", "made for x86 processors"


def _version(engine: str) -> str | None:
    """The version of an engine's library, or None where it is not installed."""
    if engine == "torch":
        import torch

        return str(torch.__version__)
    try:
        return importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return None


def numpy_isa() -> str:
    """The instruction sets that numpy found beyond its baseline, on which its `exp` depends."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    found = (config or {}).get("SIMD Extensions", {}).get("found", [])
    return "+".join(found) or "baseline"


def _check(value: str, option: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise OptionError(f"{option} {value}: unknown; possible are {', '.join(valid)}")


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not _DEVICE.match(device):
        raise OptionError(f"--device {device}: unknown; possible are auto, cpu, cuda, cuda:1")
    if device == "cpu":
        return device
    if not torch.cuda.is_available():
        why = "this torch is built without CUDA" if torch.version.cuda is None else "none was found"
        raise OptionError(
            f"--device {device}: {why}; use --device cpu, or install a driver and a torch for CUDA"
        )
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise OptionError(
            f"--device {device}: this machine has {torch.cuda.device_count()} CUDA device(s), "
            f"counted from 0; use --device cuda:{torch.cuda.device_count() - 1}"
        )
    return device


def _precision(precision: str, device: str, engine: str) -> str:
    if engine == "onnxruntime":
        if precision == "bfloat16":
            raise OptionError(
                "--precision bfloat16: ONNX Runtime computes in float32 here; leave it out"
            )
        return "float32"
    if not device.startswith("cuda"):
        if precision == "auto":
            fast = _cpu_has("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            return "bfloat16" if fast else "float32"
        return precision  # int8 too, which only OpenVINO on a CPU comes here with
    major, minor = _properties(device)[1:]
    if precision == "bfloat16" and major < 8:
        raise OptionError(
            f"--precision bfloat16: {_properties(device)[0]} (compute capability {major}.{minor}) "
            "cannot compute in it, 8.0 is needed; use --precision float32"
        )
    if precision == "auto":
        return "bfloat16" if major >= 8 else "float32"
    return precision


def _cpu_has(*tests: str) -> bool:
    # Private in torch, and not in every version: a missing one means "not known to have it".
    import torch

    return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)


def _may_have_vnni() -> bool:
    """Whether the processor may multiply bytes faster than floats: False only where it is known.

    On an EPYC with AVX2 only, a U-Net made 0.29 Mpixel/s in int8 and in float32.
    """
    import torch

    # Not in every version of torch.
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name, True) for name in ("avx_vnni", "avx512_vnni"))


def _cpu_isa(engine: str) -> str:
    import numpy as np
    import torch

    # oneDNN takes other kernels, which add up in another order, where these are there.
    extra = {
        "bf16": "_is_avx512_bf16_supported",
        "vnni": "_is_vnni_supported",
        "amx": "_is_amx_tile_supported",
        "amx_fp16": "_is_amx_fp16_supported",
    }
    capability = str(torch.backends.cpu.get_cpu_capability())
    isa = "+".join([capability, *(name for name, test in extra.items() if _cpu_has(test))])
    # What surrounds an ONNX graph, normalisation and softmax, is computed in numpy.
    return f"{isa}, numpy {np.__version__} {numpy_isa()}" if engine == "onnxruntime" else isa


def _cuda_isa(device: str) -> str:
    import torch

    name, major, minor = _properties(device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name}, sm_{major}{minor}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def _properties(device: str) -> tuple[str, int, int]:
    """(name, major, minor) of a CUDA device."""
    import torch

    index = int(device.partition(":")[2] or torch.cuda.current_device())
    properties = torch.cuda.get_device_properties(torch.device("cuda", index))
    return str(properties.name), int(properties.major), int(properties.minor)
