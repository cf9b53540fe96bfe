"""What a process gives back of its memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Arrays of one thread, every second of which is freed: room that nobody else uses.
LEAVES_ROOM = """
import threading, psutil
from agriseg.machine import release_memory

kept = []
def work():
    parts = [bytearray(b"1") * 100_000 for _ in range(1000)]
    kept.extend(parts[::2])
thread = threading.Thread(target=work)
thread.start()
thread.join()
before = psutil.Process().memory_info().rss
release_memory()
after = psutil.Process().memory_info().rss
assert all(part == bytearray(b"1") * 100_000 for part in kept)
print((before - after) / 1e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_memory_is_given_back() -> None:
    line = [sys.executable, "-c", LEAVES_ROOM]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    assert float(done.stdout) > 25  # of 50 MB that are free
