"""Workers keep the order of the work and tell what goes wrong, also of their own death."""

from __future__ import annotations

import multiprocessing
import operator
import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from agriseg.errors import AgrisegError
from agriseg.processes import in_processes
from tests import works

ROOT = Path(__file__).parents[1]


def no_worker_is_left() -> bool:
    return not [child for child in multiprocessing.active_children() if child.name == "agriseg"]


def test_order_and_not_far_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for k in range(30):
            taken.append(k)
            yield k

    stream = in_processes(operator.neg, items(), 2)
    assert next(stream) == (0, 0)
    assert len(taken) <= 4
    assert list(stream) == [(k, -k) for k in range(1, 30)]
    assert no_worker_is_left()


def test_the_workers_are_other_processes() -> None:
    found = {pid for _, pid in in_processes(works.process_of, range(40), 2)}
    assert len(found) == 2
    assert os.getpid() not in found


def test_faults_of_the_work_and_of_the_items_keep_their_place() -> None:
    stream = in_processes(int, ["1", "2", "three", "4"], 2)
    assert [next(stream) for _ in range(2)] == [("1", 1), ("2", 2)]
    with pytest.raises(ValueError, match="three") as caught:
        next(stream)
    assert "In a worker process:\nTraceback" in caught.value.__notes__[0]

    def ending() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    stream = in_processes(operator.neg, ending(), 2)
    assert next(stream) == (1, -1)
    with pytest.raises(OSError, match="no more"):
        next(stream)
    assert no_worker_is_left()


def test_a_fault_that_cannot_travel_is_told_in_words() -> None:
    with pytest.raises(RuntimeError, match="very odd"):
        list(in_processes(works.fails_oddly, [1], 1))


def test_warnings_are_given_here() -> None:
    with pytest.warns(UserWarning, match="look out"):
        list(in_processes(warnings.warn, ["look out"], 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="look out"):
            list(in_processes(warnings.warn, ["look out"], 1))


def test_too_little_memory_is_one_line() -> None:
    with pytest.raises(AgrisegError, match="too little memory; use fewer workers"):
        list(in_processes(bytearray, [1 << 62], 1))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_worker_that_dies_at_work_is_told() -> None:
    with pytest.raises(AgrisegError, match=r"died \(SIGKILL\): memory .* fewer workers"):
        list(in_processes(signal.raise_signal, [signal.SIGKILL], 2))
    with pytest.raises(AgrisegError, match=r"died \(code 7\)"):
        list(in_processes(os._exit, [7], 1))
    assert no_worker_is_left()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
@pytest.mark.parametrize("delay_s", [0.0, 0.013])
def test_a_worker_that_dies_in_the_middle_of_a_result_is_told(delay_s: float) -> None:
    stream = in_processes(bytes, [40_000_000] * 200, 2)
    next(stream)
    victim = next(c for c in multiprocessing.active_children() if c.name == "agriseg")
    assert victim.pid is not None
    time.sleep(delay_s)
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(AgrisegError, match="SIGKILL"):
        for _ in stream:
            pass
    assert no_worker_is_left()


def test_stopping_early_waits_for_nobody() -> None:
    stream = in_processes(time.sleep, [0, 100, 100, 100], 2)
    next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 30
    assert no_worker_is_left()


def test_a_worker_has_no_workers() -> None:
    with pytest.raises(AgrisegError, match="itself somebody's worker"):
        list(in_processes(works.with_workers_of_its_own, [1], 1))


def test_work_that_cannot_be_sent_starts_nothing() -> None:
    with pytest.raises(Exception, match="pickle"):
        list(in_processes(lambda item: item, [1], 1))
    assert no_worker_is_left()


@pytest.mark.parametrize("is_file", [False, True])
def test_a_script_is_not_run_again(is_file: bool, tmp_path: Path) -> None:
    """Nor has it to be a file; and what it did to `__main__` is as it was."""
    code = (
        "print('script')\n"
        "import sys, tests.works\n"
        "main = sys.modules['__main__']\n"
        "from agriseg.processes import in_processes\n"
        "print(list(in_processes(tests.works.script_of, [1, 2], 2)))\n"
        "assert sys.modules['__main__'] is main\n"
    )
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py" if is_file else "-"],
        input=code,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("script\n[(1, None), (2, None)]\n", "")


def test_a_worker_that_draws_loads_little() -> None:
    ((_, loaded),) = in_processes(works.loaded_with, ["agriseg.simulate.rasters"], 1)
    assert "agriseg.simulate.field" in loaded
    heavy = {"geopandas", "matplotlib", "pandas", "pyogrio", "scipy", "shapely", "torch", "pytest"}
    assert not loaded & heavy


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep it")
def test_a_worker_keeps_memory_for_the_next_array() -> None:
    script = "from tests import works; print(works.faults_of_large_arrays(10))"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    given_back = int(run.stdout)
    found = [faults for _, faults in in_processes(works.faults_of_large_arrays, [10], 1)]
    assert 10 * found[0] < given_back
