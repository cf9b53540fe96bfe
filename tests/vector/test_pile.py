"""Corners that do not fit into memory go to a file without a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agriseg.errors import OutputError
from agriseg.vector import pile as module
from agriseg.vector.packing import pack, unpack
from agriseg.vector.pile import Pile
from agriseg.vector.strip import trace_band

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("small", [0, 100, 1 << 20])
def test_it_gives_back_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(module, "_SMALL", small)
    parts = [np.arange(2 * n, dtype=np.int32).reshape(n, 2) + n for n in (3, 0, 40, 1)]
    pile = Pile(tmp_path)
    for part in parts:
        pile.add(part)
    found = pile.done()
    np.testing.assert_array_equal(found, np.concatenate(parts))
    assert isinstance(found, np.memmap) == (small < 300)
    assert not list(tmp_path.iterdir())


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert Pile(tmp_path).done().shape == (0, 2)
    assert Pile().done().dtype == np.int32


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from agriseg.vector import pile
pile._SMALL = 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
full = pile.Pile(Path(sys.argv[1]))
try:
    for _ in range(100):
        full.add(np.zeros((999, 2), np.int32))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(OutputError.__name__)
    assert "free some room" in done.stdout
    assert not list(tmp_path.iterdir())


def test_strips_survive_packing_and_damage_is_seen() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, (40, 30)).astype(np.uint8)
    strips = trace_band(classes, rng.random((40, 30)) < 0.9, 1010, steps=classes)
    assert [strip.row_off for strip in strips] == [1010, 1024]
    packed = pack(strips)
    for one, other in zip(strips, unpack(packed), strict=True):
        assert (one.row_off, one.height, one.width) == (other.row_off, other.height, other.width)
        np.testing.assert_array_equal(one.arcs.xy, other.arcs.xy)
        np.testing.assert_array_equal(one.regions.steps, other.regions.steps)
        np.testing.assert_array_equal(one.bottom, other.bottom)
    for _ in range(200):
        damaged = bytearray(packed)
        damaged[rng.integers(len(packed))] ^= 1 << rng.integers(8)
        with pytest.raises(ValueError, match="damaged"):
            unpack(bytes(damaged))
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed[:20])
