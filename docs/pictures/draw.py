"""Draw the pictures of the guides anew: `python docs/pictures/draw.py`, from the project's folder.

They show what the commands of the guides leave in `out/`: `make demo`, docs/drone.md,
docs/satellite.md and docs/own-model.md come first. The screenshots need QGIS with xvfb, Chromium
and poppler-utils; what is not installed is left as it was, and told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageOps

import agriseg

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
Draw = Callable[[list[plt.Axes]], object]
# Run by QGIS itself: only the layers and the map, and a picture of the window once all is drawn.
_IN_QGIS = """
import os
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface

window, canvas = iface.mainWindow(), iface.mapCanvas()

def arrange():
    window.showNormal()
    window.resize(1280, 780)
    for dock in window.findChildren(QDockWidget):
        dock.setVisible(dock.objectName() == "Layers")
    QTimer.singleShot(1000, canvas.zoomToFullExtent)
    QTimer.singleShot(5000, picture)

def picture():
    window.grab().save(os.environ["PICTURE"])
    os._exit(0)

QTimer.singleShot(3000, arrange)
"""


def save(picture: Image.Image, name: str) -> None:
    """With a palette: a third of the bytes, and no difference that is seen."""
    small = picture.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
    small.save(HERE / name, optimize=True)
    print(f"{HERE / name}  {(HERE / name).stat().st_size / 1000:.0f} kB")


def drawn(name: str, draw: Draw, columns: int, inches: tuple[float, float]) -> None:
    figure, axes = plt.subplots(1, columns, figsize=inches, layout="constrained")
    draw(list(axes))
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(f"{folder}/{name}", dpi=100)
        save(Image.open(f"{folder}/{name}"), name)


def zones(axes: list[plt.Axes]) -> None:
    run = agriseg.open_run("out/june")
    agriseg.plot.overlay(run, ax=axes[0], title="crop and weed over the image")
    agriseg.plot.zones(run, ax=axes[1], title="zones of vigour")


def fields(axes: list[plt.Axes]) -> None:
    run = agriseg.open_run("out/outlines")
    for ax, date, title in zip(axes, (1, 2, 2), ("May", "August", "the fields"), strict=True):
        bands = [f"{role}@{date}" for role in ("nir", "red", "green")]
        agriseg.plot.scene(run, bands=bands, ax=ax, title=title)
    agriseg.plot.fields(run, names=False, ax=axes[2])


def labels() -> None:
    """The upper half of the sheet that a dry run leaves."""
    sheet = Image.open("out/beets-model/data.png")
    save(sheet.crop((0, 0, sheet.width, sheet.height * 52 // 100)).reduce(2), "labels.png")


def qgis() -> None:
    with tempfile.TemporaryDirectory() as folder:
        code, shot = Path(folder, "code.py"), Path(folder, "shot.png")
        code.write_text(_IN_QGIS)
        # Below the system's folder for temporary files QGIS marks all layers as such.
        around = {**os.environ, "PICTURE": str(shot), "XDG_RUNTIME_DIR": folder, "TMPDIR": folder}
        program = shutil.which("qgis.bin") or "qgis"
        options = ["--profiles-path", folder, "--noversioncheck", "--nologo", "--noplugins"]
        project = ["--code", str(code), "--project", "out/demo/field/result.qgz"]
        xvfb = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
        subprocess.run([*xvfb, program, *options, *project], env=around, check=True, timeout=180)
        save(Image.open(shot), "qgis.png")


def report() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder, "report.pdf")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += [f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        page = Path("out/june/report.html").resolve().as_uri()
        subprocess.run(["chromium", *options, f"--print-to-pdf={pdf}", page], check=True)
        subprocess.run(
            ["pdftoppm", "-r", "72", "-png", "-l", "3", pdf, f"{folder}/page"], check=True
        )
        pages = [
            ImageOps.expand(Image.open(one), 1, "#c0c0c0")
            for one in sorted(Path(folder).glob("page-*"))
        ]
    wide = sum(one.width + 16 for one in pages) - 16
    sheet, left = Image.new("RGB", (wide, pages[0].height), "white"), 0
    for one in pages:
        sheet.paste(one, (left, 0))
        left += one.width + 16
    save(sheet, "report.png")


if __name__ == "__main__":
    drawn("zones.png", zones, 2, (11, 4.4))
    drawn("fields.png", fields, 3, (12, 3.6))
    labels()
    for program, make in (("xvfb-run", qgis), ("chromium", report)):
        if shutil.which(program):
            make()
        else:
            print(f"{make.__name__}.png stays as it was: there is no {program}")
