"""What a real browser makes of a page; skipped where there is none.

Slow by its nature: a browser takes seconds to start.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from matplotlib.image import imread

from agriseg.publish.report import write_report
from tests.publish.runs import add_farm, make_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="there is no Chromium (Debian, Ubuntu: apt-get install chromium); CHROMIUM names it",
    ),
]


def browse(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Chromium without a window, a network, or anything of the user's."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",  # in containers, as root
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            # Whatever is asked of the network fails, and is told.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page itself made Chromium complain of."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Größe & #1 ä")
    about = {"farm": "<img src=x onerror=alert(1)>", "field": 'Süd "<b>" & so'}
    run = make_run(folder / "out", about=about, fields=False)
    add_farm(run)
    return write_report(run)


def test_it_stands_in_the_browser_as_it_was_written(page: Path, tmp_path: Path) -> None:
    done = browse(tmp_path, "--dump-dom", page.as_uri())
    assert not complaints(done)
    # What a browser mends of broken HTML would be of another structure.
    for tag in ("svg", "h1", "h2", "table", "figure", "tr", "td", "image", "li", "img", "script"):
        wanted = len(re.findall(rf"<{tag}[ >]", page.read_text(encoding="utf-8")))
        assert len(re.findall(rf"<{tag}[ >]", done.stdout)) == wanted, tag
    assert "&lt;img src=x onerror=alert(1)&gt;" in done.stdout
    assert '<h1>Süd "&lt;b&gt;" &amp; so</h1>' in done.stdout


def test_its_maps_are_seen(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    browse(tmp_path, "--window-size=1000,5000", f"--screenshot={shot}", page.as_uri())
    pixels = np.rint(imread(shot)[..., :3] * 255).astype(int)
    assert pixels.shape[:2] == (5000, 1000)
    for color in ((200, 168, 130), (27, 110, 43), (216, 27, 154)):
        # The class map is most of a screen.
        assert (np.abs(pixels - color).max(axis=2) <= 2).sum() > 5000, color
    # Nothing runs out of the page.
    assert (pixels[:, :8] >= 245).all()
    assert (pixels[:, -8:] >= 245).all()


def test_it_prints_on_a4(page: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browse(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri())
    data = pdf.read_bytes()
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert 2 <= len(boxes) <= 8
    for width, height in boxes:
        assert float(width) == pytest.approx(595.3, abs=1.5)
        assert float(height) == pytest.approx(841.9, abs=1.5)


class _Server(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_asks_nothing_of_the_network(page: Path, tmp_path: Path, address: str) -> None:
    """Everything that is asked of any host goes to a server here: a page with a link shows it."""
    _Server.asked.clear()
    rules = f"--proxy-server=http://{address}"
    other = tmp_path / "other.html"
    other.write_text('<img src="http://example.org/seen.png">')
    browse(tmp_path, rules, "--dump-dom", other.as_uri())
    assert any("seen.png" in one for one in _Server.asked)
    _Server.asked.clear()
    browse(tmp_path, rules, "--dump-dom", page.as_uri())
    # Chromium itself asks its maker for the time and for updates, whatever it shows.
    assert not [one for one in _Server.asked if "google" not in one]
