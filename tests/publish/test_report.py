"""A run as one page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

import agriseg
from agriseg.errors import InputError, OptionError, OutputError
from agriseg.legend import Legend
from agriseg.publish.report import write_report
from tests.publish.runs import add_farm, make_run, squares, write_table
from tests.support import NORTH_UP

HARD = Legend.of(("Boden & <Stein>", "#c8a882"), ('"Rübe"', "#1b6e2b"), ("weed", "#d81b9a"))
FACTS = {
    "date": "2026-05-17",
    "farm": "Hof Müller & Söhne",
    "field": "<script>alert(1)</script>",
    "crop": "sugar beet",
    "growth_stage": 'BBCH "14"',
}


class Page(HTMLParser):
    """Texts, tags and addresses of a page; tags must be closed in their order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "image", "rect", "path", "br"):
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                self.links.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open[-1] != "style":
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " | ".join(self.texts)


def assert_stands_alone(path: Path) -> None:
    page, text = Page(path), path.read_text(encoding="utf-8")
    assert page.links
    assert all(link.startswith("data:image/") for link in page.links)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "iframe" not in page.tags
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    outside = re.findall(r"https?://[^\s\"']+", re.sub(r"base64,[^\"]*", "", text))
    assert set(outside) <= {"http://www.w3.org/2000/svg"}


def test_all_that_is_there_is_told_and_escaped(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "Größe & <x>", "Feld 'ä' & #1", legend=HARD, about=FACTS, fields=False
    )
    add_farm(run)
    path = write_report(run)
    assert path == run.path / "report.html"
    assert_stands_alone(path)
    page = Page(path)
    for text in (*FACTS.values(), "Feld 'ä' & #1", *HARD.names):
        assert text in page.texts, text
    assert page.texts.count("<script>alert(1)</script>") >= 2  # the title, the heading
    for heading in ("What grows where", "The image", "Vigour", "Fields", "Weeds", "What to know"):
        assert heading in page.texts
    assert "not health" in page.text
    # Names of fields on the maps and in the table.
    assert 'Großer "Acker" <b>' in page.texts
    assert 'Großer "Acker" <b> (f<1>)' in page.texts
    assert page.tags.count("svg") == 5
    assert run.record["model"]["fingerprint"] in page.text


def test_areas_and_shares_are_those_of_the_record(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    page = Page(write_report(run))
    at = page.texts.index("class")
    table = page.texts[at + 3 : at + 15]
    # 15 x 33 and 8 x 20 pixels of 4 cm²; the rest less 9 x 9 of nodata.
    pixels = {"crop": 15 * 33, "weed": 8 * 20}
    pixels = {"soil": 37 * 53 - 81 - sum(pixels.values()), **pixels}
    for k, (name, count) in enumerate(pixels.items()):
        found, area, share = table[3 * k : 3 * k + 3]
        assert found == name
        assert float(area.removesuffix(" m²")) == pytest.approx(count * 4e-4, rel=5e-3)
        assert share == f"{100 * count / sum(pixels.values()):.1f} %"
    assert table[9] == "together"
    assert table[11] == "100 %"


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    add_farm(run)
    page = Page(write_report(run))
    at = page.texts.index("field", page.texts.index("Fields"))
    assert page.texts[at : at + 4] == ["field", "area", "NDVI", "vigour"]
    at = page.texts.index('Müller & Söhne (f"3")', at)
    assert page.texts[at + 1 : at + 4] == ["0.5 ha", "–", "–"]  # noqa: RUF001


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (CRS.from_epsg(32633), NORTH_UP @ Affine.rotation(33)),
        (CRS.from_epsg(32633), NORTH_UP @ Affine.scale(1, -1)),
        (CRS.from_epsg(4326), Affine(1e-6, 0, 12.0, 0, -1e-6, 60.0)),
        (None, Affine(1, 0, 0, 0, -1, 0)),
    ],
)
def test_any_grid(tmp_path: Path, crs: CRS | None, transform: Affine) -> None:
    run = make_run(tmp_path / "out", crs=crs, transform=transform, fields=False)
    path = write_report(run)
    assert_stands_alone(path)
    page = Page(path)
    assert ("N" in page.texts) == (crs is not None or not transform.is_identity)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_photo_without_a_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", crs=None, transform=Affine.identity(), fields=False)
    page = Page(write_report(run))
    assert "N" not in page.texts
    at = page.texts.index("class")
    assert page.texts[at + 4] == "–"  # noqa: RUF001


def test_the_page_goes_without_an_image_that_is_gone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    for path in (tmp_path / "flights").iterdir():
        path.unlink()
    page = Page(write_report(run))
    assert "The image" not in page.texts
    assert "The image is not where it was any more" in page.text


def test_a_broken_table_is_told_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    add_farm(run)
    (run.path / "fields.gpkg").write_bytes(b"no GeoPackage")
    page = Page(write_report(run.path))
    assert "Fields" not in page.texts
    assert "fields.gpkg cannot be read" in page.text
    assert "Zones" not in page.texts  # of this table nothing tells vigour


def test_zones_are_shown_by_what_they_differ(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    add_farm(run)
    write_table(
        run,
        "zones",
        squares(run, 2, 2)[:3],
        zone=np.array([1, 2, 3]),
        relative_percent=np.array([96.0, np.nan, 103.0]),
        area_ha=np.array([1.0, 2.0, 3.0]),
    )
    text = Page(write_report(run)).text
    assert "these differences are small" in text
    assert "96 to 98 %: 1 ha" in text
    assert "102 to 104 %: 3 ha" in text
    assert "2 ha" not in text


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    add_farm(run)
    first = write_report(run).read_bytes()
    assert write_report(run.path, tmp_path / "x.HTML").read_bytes() == first


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", fields=False)
    with pytest.raises(OptionError, match=r"ends in \.html"):
        write_report(run, tmp_path / "x.pdf")
    with pytest.raises(OutputError, match="there is no folder"):
        write_report(run, tmp_path / "no" / "x.html")
    with pytest.raises(InputError, match="no finished run"):
        write_report(tmp_path)
    assert agriseg.write_report is write_report
