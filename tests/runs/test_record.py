"""Opening runs, and how they show themselves."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rasterio.io import MemoryFile

import agriseg
from agriseg.errors import InputError
from agriseg.legend import Legend
from tests.publish.runs import make_run


def test_a_run_is_opened_by_its_folder_its_record_or_the_folder_above(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    for path in (run.path, str(run.path), run.path / "run.json", tmp_path / "out"):
        assert agriseg.open_run(path).path.resolve() == run.path.resolve()
    with pytest.raises(InputError, match="no finished run"):
        agriseg.open_run(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no finished run"):
        agriseg.open_run(tmp_path)
    make_run(tmp_path / "out", "second")
    with pytest.raises(InputError, match="field, second"):
        agriseg.open_run(tmp_path / "out")


def test_summary_is_the_record(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    table = run.summary()
    assert list(table["class_name"]) == ["soil", "crop", "weed"]
    assert list(table["area_ha"]) == [row["area_ha"] for row in run.record["classes"]]
    assert table["percent"].sum() == pytest.approx(100)


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        known = dict(attrs)
        self.links += [known["href"] or ""] if "href" in known else []
        self.pictures += [known["src"] or ""] if "src" in known else []

    def handle_data(self, data: str) -> None:
        self.words += data


def test_html_tells_classes_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    legend = Legend.of(("<script>x</script>", "#c8a882"), ("a & b", "#1b6e2b"), ("w", "#d81b9a"))
    monkeypatch.chdir(tmp_path)
    run = make_run(
        Path("out dir"), legend=legend, about={"farm": "<img src=x>", "date": "2026-05-01"}
    )
    page = _Tags(run._repr_html_())
    assert "script" not in page.found
    assert page.found.count("img") == 1  # the thumbnail
    assert "<script>x</script>" in page.words
    assert "2026-05-01, <img src=x>" in page.words
    for row in run.record["classes"]:
        assert f"{row['percent']:.1f}" in page.words
    assert "out%20dir/field/classes.tif" in page.links
    monkeypatch.chdir("/")
    other = _Tags(replace(run, folder=type(run.folder)(tmp_path / "out dir/field"))._repr_html_())
    assert all(re.match(r"file:///|tmp/", link) for link in other.links)


def test_the_thumbnail_is_the_map(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    (url,) = _Tags(run._repr_html_()).pictures
    with MemoryFile(base64.b64decode(url.partition(",")[2])) as memory, memory.open() as dataset:
        picture = dataset.read()
    assert picture.shape == (4, 37, 53)
    assert tuple(picture[:, 10, 20]) == (0x1B, 0x6E, 0x2B, 255)
    assert picture[3, 2, 50] == 0
    assert np.unique(picture[:3, :, :].reshape(3, -1), axis=1).shape[1] >= 3


def test_html_of_a_poor_record(tmp_path: Path) -> None:
    """A look must not fail, whatever became of the files."""
    run = make_run(tmp_path / "out")
    run.classes.unlink()
    page = _Tags(run._repr_html_())
    assert not page.pictures
    assert not any("classes.tif" in link for link in page.links)
    assert "field" in replace(run, record={})._repr_html_()
