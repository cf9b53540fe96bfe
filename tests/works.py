"""What worker processes are given to do in tests; they load this, and nothing that it does not."""

from __future__ import annotations

import operator
import os
import sys
from typing import NoReturn

from agriseg.processes import in_processes


def loaded_with(name: str) -> set[str]:
    """All modules that a process has which loaded this one."""
    __import__(name)
    return set(sys.modules)


def process_of(_: object) -> int:
    return os.getpid()


def script_of(_: object) -> str | None:
    return getattr(sys.modules["__main__"], "__file__", None)


def with_workers_of_its_own(item: int) -> list[tuple[int, int]]:
    return list(in_processes(operator.neg, [item], 2))


class Odd(Exception):
    """Cannot be unpickled: it is made of two things, and tells of one."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def fails_oddly(item: int) -> NoReturn:
    raise Odd("very ", "odd")


def faults_of_large_arrays(times: int) -> int:
    """Pages that the system gave for six arrays of 8 MB, made and dropped again and again."""
    import resource

    import numpy as np

    before = 0
    for k in range(times + 1):
        if k == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        sum(array.sum() for array in [np.ones(1 << 20) for _ in range(6)])
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
