"""Work in threads keeps its order, and tells what goes wrong in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agriseg.threads import in_threads, together


def slowly(value: int) -> int:
    time.sleep(0.002 * (value % 3))
    return -value


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_order(threads: int | None, count: int) -> None:
    assert list(in_threads(slowly, range(count), threads)) == [(k, -k) for k in range(count)]


def test_the_only_one_is_done_here() -> None:
    def where(_: int) -> str:
        return threading.current_thread().name

    assert dict(in_threads(where, [0])) == {0: threading.current_thread().name}
    assert threading.current_thread().name not in dict(in_threads(where, [0, 1])).values()


@pytest.mark.parametrize("threads", [1, 3])
def test_not_far_ahead(threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for k in range(100):
            taken.append(k)
            yield k

    stream = in_threads(slowly, items(), threads)
    next(stream)
    assert len(taken) <= threads + 2
    stream.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_faults_of_the_work_and_of_the_items_keep_their_place(threads: int) -> None:
    def picky(value: int) -> int:
        if value == 3:
            raise ValueError("three")
        return value

    stream = in_threads(picky, range(9), threads)
    assert [next(stream) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ValueError, match="three"):
        next(stream)

    def ending() -> Iterator[int]:
        yield from range(2)
        raise OSError("no more")

    stream = in_threads(picky, ending(), threads)
    assert [next(stream) for _ in range(2)] == [(0, 0), (1, 1)]
    with pytest.raises(OSError, match="no more"):
        next(stream)


def test_stopping_early_leaves_no_thread_behind() -> None:
    stream = in_threads(slowly, range(100), 4, "early")
    next(stream)
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("agriseg-early")]


def test_together_begins_nothing_after_a_fault() -> None:
    done: list[str] = []

    def fails() -> None:
        raise ValueError("no")

    def works() -> None:
        time.sleep(0.05)
        done.append("works")

    with pytest.raises(ValueError, match="no"):
        together([fails, works, lambda: done.append("late"), lambda: done.append("later")], 1)
    assert "later" not in done
    together([works, works], 2)
    assert done.count("works") >= 2
