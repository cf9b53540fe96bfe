"""Names of scenes: distinct on any disk, and the same again when flights were added."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agriseg.raster.sources import find_sources
from agriseg.raster.sources_names import Found, name_all


def named(*paths: str, earlier: dict[str, str] | None = None) -> dict[str, str]:
    return {str(source.inputs): str(source.name) for source in find_sources(paths, earlier=earlier)}


def test_folders_tell_apart_only_what_is_called_the_same() -> None:
    assert named("/d/2024-05-01/ortho.tif", "/d/2024-06-01/ortho.tif", "/d/other.tif") == {
        "/d/2024-05-01/ortho.tif": "2024-05-01-ortho",
        "/d/2024-06-01/ortho.tif": "2024-06-01-ortho",
        "/d/other.tif": "other",
    }


def test_a_clash_elsewhere_changes_no_other_name() -> None:
    two = ("/d/north/may/ortho.tif", "/d/north/june/ortho.tif")
    before = named(*two)
    after = named(*two, "/d/south/may/ortho.tif")
    assert before == {two[0]: "may-ortho", two[1]: "june-ortho"}
    assert after[two[1]] == "june-ortho"
    assert after[two[0]] == "north-may-ortho"
    assert after["/d/south/may/ortho.tif"] == "south-may-ortho"


def test_earlier_names_are_kept_and_given_to_nobody_else() -> None:
    first, second = "/d/2024-05-01/ortho.tif", "/d/2024-06-01/ortho.tif"
    before = {source.key: str(source.name) for source in find_sources([first])}
    assert before == {first: "ortho"}
    assert named(first, second, earlier=before) == {first: "ortho", second: "2024-06-01-ortho"}
    # Nor when the first flight is not in the list any more.
    assert named(second, earlier=before) == {second: "2024-06-01-ortho"}


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("/d/x.tif", "/d/x.jp2"), {"x-tif", "x-jp2"}),
        (("/d/A/x.tif", "/d/B/X.tif"), {"A-x", "B-X"}),
        (("/d/a/x.tif", "/d/A/x.tif"), {"d-a-x-2", "d-A-x"}),
        # One letter, and the same letter as two characters, as macOS stores it.
        (("/d/m\u00fc.tif", "/e/mu\u0308.tif"), {"d-m\u00fc", "e-mu\u0308"}),
        (("/d/a-b/c.tif", "/d/a/b-c.tif"), {"c", "b-c"}),
        (("/d/e/a/b-c.tif", "/d/a-b/c.tif", "/d/z/c.tif"), {"b-c", "a-b-c", "z-c"}),
        (("https://a.org/x.tif", "https://b.org/x.tif"), {"a.org-x", "b.org-x"}),
        (("/d/.tif", "/e/ok.tif"), {".tif", "ok"}),
        (("/d/b\\c.tif",), {"b-c"}),
    ],
)
def test_names_that_are_hard_to_tell_apart(paths: tuple[str, ...], names: set[str]) -> None:
    for order in permutations(paths):
        assert set(named(*order).values()) == names
    assert len({str(named(*order)) for order in [paths] * 2}) == 1


def test_the_order_of_the_list_does_not_matter() -> None:
    paths = ("/d/a/x.tif", "/d/A/x.tif", "/d/b/x.jp2", "/d/b/x.tif", "/x.tif")
    assert len({tuple(sorted(named(*order).items())) for order in permutations(paths)}) == 1


def test_a_name_that_the_user_gave_is_nobody_else_s(tmp_path: Path) -> None:
    table = tmp_path / "s.csv"
    table.write_text("path,name\nfar/away.tif,Ortho\n")
    sources = find_sources([table, "/d/may/ortho.tif"])
    assert [source.name for source in sources] == ["Ortho", "may-ortho"]


WORDS = st.sampled_from(["a", "A", "b", "a-b", "b-a", "1", "-2", "ü", "u\u0308"])


@given(st.sets(st.lists(WORDS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=12))
def test_all_names_differ_whatever_the_paths(paths: set[tuple[str, ...]]) -> None:
    scenes = [Found("/" + "/".join(parts) + ".tif", "x", parts) for parts in sorted(paths)]
    names = name_all(scenes, {})
    assert len({name.casefold() for name in names}) == len(scenes)
    again = name_all(scenes[::-1], {})
    assert names == again[::-1]
