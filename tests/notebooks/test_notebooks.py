"""The notebooks run from the first cell to the last, and are stored without what came out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Pictures that each shows at least, and what else must be seen.
SHOWN = {
    "crop_health": (5, "application/vnd.jupyter.widget-view+json"),
    "quickstart": (3, "text/html"),
    "season": (5, "text/html"),
    "train_your_own": (3, "text/plain"),
}
_CELL_S = 280


def cells_of(path: Path) -> list[Any]:
    cells: list[Any] = nbformat.read(path, as_version=4).cells
    return cells


def test_all_are_known() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_clean(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in cells_of(path):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert set(cell["metadata"]) <= {"tags"}
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/tmp/" not in text


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute to a minute each: they segment, and one trains."""
    work = tmp_path / "notebooks"
    work.mkdir()
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    # As Jupyter draws; and this agriseg, wherever another one is installed.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(work)}}
    # An error in a cell raises, with the cell and its traceback.
    NotebookClient(notebook, timeout=_CELL_S, kernel_name="python3", resources=where).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    assert not [one for one in outputs if one["output_type"] == "error"]
    warned = [one["text"] for one in outputs if one.get("name") == "stderr"]
    assert not [text for text in warned if "Warning" in text]
    pictures, kind = SHOWN[path.stem]
    assert sum("image/png" in one.get("data", {}) for one in outputs) >= pictures
    assert any(kind in one.get("data", {}) for one in outputs)
    assert (work / "out").is_dir()
    assert {one.name for one in tmp_path.iterdir()} == {"notebooks", "sample_data"}
