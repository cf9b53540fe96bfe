"""Engine, device and precision from capabilities, and the key under which bytes are equal."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from agriseg.errors import OptionError
from agriseg.models import Numerics, engines, resolve_numerics
from agriseg.models.engines import ENGINES, numpy_isa


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are GPUs; returns the list of (major, minor) to be filled."""
    found = [(9, 0)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(
            name=f"GPU {found[device.index]}",
            major=found[device.index][0],
            minor=found[device.index][1],
        ),
    )
    return found


def pretend(monkeypatch, **flags):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if name in flags:
            monkeypatch.setattr(torch.cpu, name, lambda name=name: flags[name], raising=False)
        else:
            monkeypatch.delattr(torch.cpu, name, raising=False)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({}, "float32"),  # a torch that cannot say
        ({"_is_avx512_bf16_supported": False, "_is_amx_tile_supported": False}, "float32"),
        ({"_is_avx512_bf16_supported": True}, "bfloat16"),
        ({"_is_amx_tile_supported": True}, "bfloat16"),
    ],
)
def test_precision_of_a_cpu(monkeypatch, no_cuda, flags, precision):
    pretend(monkeypatch, **flags)
    numerics = resolve_numerics()
    assert (numerics.device, numerics.precision, numerics.batch) == ("cpu", precision, 1)
    assert resolve_numerics(precision="float32").precision == "float32"


def test_precision_of_gpus(gpus):
    numerics = resolve_numerics()
    assert (numerics.device, numerics.precision, numerics.batch) == ("cuda", "bfloat16", 4)
    assert "sm_90" in numerics.isa
    gpus.append((7, 5))
    old = resolve_numerics(device="cuda:1")
    assert (old.device, old.precision) == ("cuda:1", "float32")
    with pytest.raises(OptionError, match=r"compute capability 7\.5.*--precision float32"):
        resolve_numerics(device="cuda:1", precision="bfloat16")
    with pytest.raises(OptionError, match=r"2 CUDA device\(s\).*cuda:1"):
        resolve_numerics(device="cuda:2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tpu"}, "auto, openvino, torch"),
        ({"engine": "openvino", "device": "cuda"}, "--device cpu"),
        ({"precision": "int4"}, "auto, bfloat16, float32, int8"),
        ({"device": "gpu"}, "auto, cpu, cuda"),
        ({"device": "cuda:x"}, "auto, cpu, cuda"),
        ({"device": "cuda"}, "--device cpu"),
        ({"batch": 0}, "--batch 0"),
        ({"batch": 2.5}, "--batch 2.5"),
        ({"threads": -1}, "--threads -1"),
    ],
)
def test_what_cannot_be(no_cuda, options, words):
    with pytest.raises(OptionError, match=words):
        resolve_numerics(**options)


def test_the_key_holds_what_the_bytes_depend_on(no_cuda):
    key = resolve_numerics(threads=1).key
    assert key == resolve_numerics(threads=1).key
    others = {resolve_numerics(engine=engine, threads=1).key for engine in ENGINES}
    assert len(others) == len(ENGINES)
    assert key in others
    assert key != resolve_numerics(batch=2).key


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_that_share_no_call_are_not_in_the_key(no_cuda, engine):
    one, four = (resolve_numerics(engine=engine, threads=threads) for threads in (1, 4))
    assert one.key == four.key
    assert (one.streams, four.streams) == (1, 4)
    assert "threads" not in Numerics.options(four.key)


def test_memory_limits_the_threads_unless_they_are_said(no_cuda, monkeypatch):
    monkeypatch.setattr(engines, "memory_bytes", lambda: 8 << 30)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert resolve_numerics().threads == 4
    assert resolve_numerics(chip_size=512).threads == 16
    assert resolve_numerics(chip_size=8192).threads == 1
    assert resolve_numerics(threads=9).threads == 9


def test_precision_is_in_the_key(no_cuda):
    assert resolve_numerics(precision="float32").key != (resolve_numerics(precision="bfloat16").key)


@pytest.mark.parametrize(
    ("machine", "installed", "engine", "words"),
    [
        ("x86_64", True, "openvino", "x86"),
        ("AMD64", True, "openvino", "x86"),
        ("aarch64", True, "torch", "aarch64"),
        ("x86_64", False, "torch", "not installed"),
    ],
)
def test_the_engine_of_a_cpu(monkeypatch, no_cuda, machine, installed, engine, words):
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)

    def version(name):
        if not installed:
            raise engines.importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(engines.importlib.metadata, "version", version)
    found = resolve_numerics()
    assert (found.engine, found.device) == (engine, "cpu")
    assert words in found.why
    assert "why" not in json.loads(found.key)
    if not installed:
        with pytest.raises(OptionError, match="pip install openvino"):
            resolve_numerics(engine="openvino")


def test_a_gpu_is_torchs(gpus):
    found = resolve_numerics()
    assert (found.engine, found.why) == ("torch", "there is a GPU")
    assert resolve_numerics(engine="openvino").device == "cpu"


def test_a_worker_comes_to_the_same_key(no_cuda):
    key = resolve_numerics(precision="float32", batch=3, threads=1).key
    assert resolve_numerics(**Numerics.options(key)).key == key
    assert resolve_numerics().key != key


def test_which_of_equal_gpus_does_not_matter(gpus):
    gpus.append(gpus[0])
    keys = {resolve_numerics(device=device).key for device in ("cuda:0", "cuda:1")}
    assert len(keys) == 1


def test_numpy_says_what_it_runs_on():
    assert isinstance(numpy_isa(), str)
    assert numpy_isa()


@pytest.mark.parametrize(
    ("known", "is_slow"),
    [
        ({"avx_vnni": False, "avx512_vnni": False}, True),
        ({"avx_vnni": True, "avx512_vnni": False}, False),
        ({"avx_vnni": False, "avx512_vnni": True}, False),
        ({}, False),
    ],
)
def test_int8_is_said_to_be_no_faster_where_that_is_known(monkeypatch, known, is_slow):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    why = resolve_numerics(precision="int8", device="cpu").why
    assert ("no VNNI" in why) == is_slow
    assert "VNNI" not in resolve_numerics(precision="float32", device="cpu").why
