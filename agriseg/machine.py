"""What this machine has of memory, what this process took of it, and what it keeps."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["keep_memory", "memory_bytes", "peak_bytes", "release_memory"]

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

# Numbers of glibc's mallopt, and the largest threshold that it takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_ARRAY = 32 << 20
_KEPT_BYTES = 256 << 20


def keep_memory() -> None:
    """Let this process keep the memory of arrays that it is done with, for the next ones.

    glibc gives large arrays back to the system at once. A process that makes many of them, one
    after the other, then spends a sixth of its time on pages that are cleared for it anew. Other C
    libraries are left as they are.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_ARRAY)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def release_memory() -> None:
    """Give the system back what this process has freed, before it takes as much for other things.

    Each thread's arrays leave room that other threads do not use. No array is touched. Other C
    libraries than glibc are left as they are.
    """
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return


def memory_bytes() -> int:
    """Memory of the machine, or of the container that this process is in."""
    import psutil

    found = int(psutil.virtual_memory().total)
    for path in _LIMITS:
        try:
            found = min(found, int(Path(path).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return found


def peak_bytes() -> int:
    """The most memory that this process has taken so far."""
    try:
        # Not getrusage: that counts what the process was before it became this program.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import psutil

    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
