"""The package is typed, strictly. A test, so that others run meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mypy_finds_no_fault() -> None:
    """Slow: without its cache mypy reads torch and all else that is imported, for a minute."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "agriseg"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
