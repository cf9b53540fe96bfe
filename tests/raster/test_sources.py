"""What the user gives becomes scenes: files, addresses, patterns, folders, pairs."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agriseg.errors import BandError, InputError, OptionError
from agriseg.raster import open_scene
from agriseg.raster.sources import Source, find_sources

Tif = Callable[..., str]
Touch = Callable[..., Path]

BAND = np.full((1, 3, 4), 7, np.uint16)
STACK = np.zeros((5, 3, 4), np.uint16)
PICTURE = np.zeros((3, 3, 4), np.uint8)


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files, which nobody could open as rasters, and give the folder."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def names(sources: list[Source]) -> list[str | None]:
    return [source.name for source in sources]


def below(root: Path, sources: list[Source]) -> list[str]:
    return [Path(str(source.inputs)).relative_to(root).as_posix() for source in sources]


# files and addresses


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("https://example.org/a/north.tif?sig=ab/cd&se=2024", "north"),
        ("s3://bucket/2024/north*.tif", "north*"),
        ("/vsizip/flights.zip/north.tif", "north"),
        ("/vsicurl/https://example.org/north.tif", "north"),
        ("no such Fläche 7.tif", "no such Fläche 7"),
    ],
)
def test_paths_and_addresses_pass_untouched(given: str, name: str) -> None:
    assert find_sources([given]) == [Source(given, {}, name)]


def test_one_path_without_a_list(touch: Touch) -> None:
    root = touch("one.tif")
    assert find_sources(root / "one.tif") == find_sources([str(root / "one.tif")])
    assert find_sources(str(root / "one.tif"))[0].inputs == str(root / "one.tif")
    assert find_sources([]) == []
    with pytest.raises(InputError, match="is empty; give a raster"):
        find_sources([" "])


def test_the_name_is_that_of_open_scene(tif: Tif) -> None:
    paths = [tif("my field (1) ü.tif", BAND), tif("v1.2.final.tif", BAND)]
    for source in find_sources(paths):
        assert source.name == open_scene(source.inputs, bands="red").name
    assert names(find_sources(paths)) == ["my field (1) ü", "v1.2.final"]


def test_what_is_given_twice_is_listed_once(touch: Touch, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch("a.tif", "b.tif")
    monkeypatch.chdir(root)
    sources = find_sources(["a.tif", str(root / "a.tif"), "*.tif", "./b.tif"])
    assert names(sources) == ["a", "b"]
    assert [source.key for source in sources] == [str(root / "a.tif"), str(root / "b.tif")]


# by role


def test_pairs_are_one_scene(tmp_path: Path) -> None:
    red, nir = str(tmp_path / "north_red.tif"), str(tmp_path / "north nir.tif")
    expected = [Source({"red": red, "nir": nir}, {}, "north")]
    assert find_sources([f"red={red}", f"nir={nir}"]) == expected
    assert find_sources({"red": red, "nir": Path(nir)}) == expected


def test_several_scenes_by_role() -> None:
    given = [{"red": f"{day}/red.tif", "nir": f"{day}/nir.tif"} for day in ("may", "june")]
    assert names(find_sources([*given, "other.tif"])) == ["may", "june", "other"]


def test_pairs_given_wrongly(touch: Touch) -> None:
    green = touch("G.tif", "red=1.tif") / "G.tif"
    with pytest.raises(OptionError, match=r"x\.tif stands among files given by role \(red="):
        find_sources(["red=R.tif", "x.tif"])
    with pytest.raises(OptionError, match="the band red is given twice"):
        find_sources(["red=R.tif", "red=S.tif"])
    with pytest.raises(BandError, match="'grean' is unknown"):
        find_sources([f"grean={green}"])
    with pytest.raises(OptionError, match="no file is given"):
        find_sources([{}])
    # An equals sign in a name or an address is no role.
    assert names(find_sources([str(green.parent / "red=1.tif")])) == ["red=1"]
    assert names(find_sources(["https://x.org/a.tif?nir=1"])) == ["a"]


# patterns


def test_a_pattern_in_natural_order(touch: Touch) -> None:
    root = touch("f/flight10.tif", "f/flight2.tif", "f/Flight1.tif", "f/g/deep.tif", "f/x.txt")
    sources = find_sources([str(root / "f" / "*.tif")])
    assert names(sources) == ["Flight1", "flight2", "flight10"]
    assert below(root, find_sources([f"{root}/f/**/*.tif"])) == [
        "f/Flight1.tif",
        "f/flight2.tif",
        "f/flight10.tif",
        "f/g/deep.tif",
    ]


def test_names_below_a_pattern_do_not_depend_on_the_others(touch: Touch) -> None:
    root = touch("flights/2024-05-01/ortho.tif")
    before = find_sources(f"{root}/flights/*/ortho.tif")
    touch("flights/2024-06-01/ortho.tif", "flights/2024-06-01/more/ortho.tif")
    after = find_sources(f"{root}/flights/*/ortho.tif")
    assert names(before) == ["2024-05-01-ortho"]
    assert names(after) == ["2024-05-01-ortho", "2024-06-01-ortho"]
    assert names(find_sources(f"{root}/flights/**/*.tif"))[1:] == [
        "2024-06-01-more-ortho",
        "2024-06-01-ortho",
    ]


def test_a_pattern_that_matches_nothing(touch: Touch) -> None:
    root = touch("f/notes.txt", "f/empty/notes.txt")
    with pytest.raises(InputError, match=r"f/\*\.tif matches nothing; check the folder"):
        find_sources(f"{root}/f/*.tif")
    with pytest.raises(InputError, match=r"matches nothing but 1 files that are no rasters"):
        find_sources(f"{root}/f/n*")
    with pytest.raises(InputError, match=r"matches 1 folders, and none holds rasters"):
        find_sources(f"{root}/f/*")


def test_what_lies_beside_rasters_is_not_matched(touch: Touch) -> None:
    sidecars = ("a.tif.aux.xml", "a.tif.ovr", "a.tfw", "notes.txt", "classes.tif")
    root = touch("a.tif", *sidecars, "b.TIF", "c.bil")
    assert names(find_sources(f"{root}/*")) == ["a", "b"]
    assert names(find_sources(f"{root}/*.tif*")) == ["a"]
    assert names(find_sources(f"{root}/*.bil")) == ["c"]
    assert names(find_sources(f"{root}/*.tif")) == ["a"]
    assert names(find_sources(f"{root}/**/classes.tif")) == ["classes"]


def test_a_file_with_brackets_is_no_pattern(touch: Touch) -> None:
    root = touch("north[1].tif", "north1.tif")
    assert names(find_sources(str(root / "north[1].tif"))) == ["north[1]"]
    assert names(find_sources(str(root / "north[12].tif"))) == ["north1"]


def test_a_pattern_of_tables(touch: Touch) -> None:
    root = touch("may.csv", "june.csv")
    (root / "may.csv").write_text("path\na.tif\n")
    (root / "june.csv").write_text("path\nb.tif\n")
    assert below(root, find_sources(f"{root}/*.csv")) == ["b.tif", "a.tif"]


# folders


def test_a_folder_of_bands_is_one_scene_as_before(tif: Tif, tmp_path: Path) -> None:
    for name in ("red", "nir", "elevation"):
        tif(f"2024.05 May/{name}.tif", BAND)
    tif("2024.05 May/preview.tif", PICTURE)
    tif("2024.05 May/sub/other.tif", STACK)
    folder = tmp_path / "2024.05 May"
    assert find_sources([folder]) == [Source(str(folder), {}, "2024.05 May")]
    assert open_scene(find_sources([folder])[0].inputs).name == "2024.05 May"


def test_bands_that_only_descriptions_tell(tif: Tif, tmp_path: Path) -> None:
    tif("may/1.tif", BAND, descriptions=["Red"])
    assert find_sources([tmp_path / "may"]) == [Source(str(tmp_path / "may"), {}, "may")]


@pytest.mark.parametrize("data", [STACK, PICTURE, STACK[:2]])
def test_a_folder_of_many_bands_is_a_scene_a_file(tif: Tif, tmp_path: Path, data: Any) -> None:
    # Names such as these tell bands, wrongly: what the files hold decides.
    for name in ("east red barn", "west green farm", "north 10", "north 9"):
        tif(f"flights/{name}.tif", data)
    sources = find_sources([tmp_path / "flights"])
    assert names(sources) == ["east red barn", "north 9", "north 10", "west green farm"]


def test_a_folder_of_folders(tif: Tif, tmp_path: Path) -> None:
    for day in ("2024-05-01", "2024-06-01"):
        tif(f"season/{day}/B04.tif", BAND)
        tif(f"season/{day}/B08.tif", BAND)
    tif("season/2024-07-01/ortho.tif", STACK)
    tif("season/2024-08-01/east.tif", STACK)
    tif("season/2024-08-01/west.tif", STACK)
    tif("season/reports/deep/x.tif", STACK)
    sources = find_sources([tmp_path / "season"])
    assert dict(zip(names(sources), below(tmp_path / "season", sources), strict=True)) == {
        "2024-05-01": "2024-05-01",
        "2024-06-01": "2024-06-01",
        "2024-07-01-ortho": "2024-07-01/ortho.tif",
        "2024-08-01-east": "2024-08-01/east.tif",
        "2024-08-01-west": "2024-08-01/west.tif",
    }


def test_folders_that_a_pattern_matches(tif: Tif, tmp_path: Path) -> None:
    for day in ("may", "june"):
        tif(f"season/{day}/red.tif", BAND)
        tif(f"season/{day}/nir.tif", BAND)
    (tmp_path / "season" / "notes").mkdir()
    sources = find_sources(f"{tmp_path}/season/*")
    assert names(sources) == ["june", "may"]
    assert below(tmp_path / "season", sources) == ["june", "may"]


def test_runs_are_no_scenes(tif: Tif, tmp_path: Path) -> None:
    tif("season/a.tif", STACK)
    tif("season/out/a/segments.tif", BAND)
    tif("season/a-run/other.tif", BAND)
    for run in ("a-run", "out/a"):
        (tmp_path / "season" / run / "run.json").write_text("{}")
    assert names(find_sources([tmp_path / "season"])) == ["a"]
    assert names(find_sources(f"{tmp_path}/season/*")) == ["a"]


def test_folders_with_two_meanings(tif: Tif, tmp_path: Path) -> None:
    tif("a/ortho.tif", STACK)
    tif("a/red.tif", BAND)
    with pytest.raises(InputError, match=r"ortho\.tif has 5 bands, red\.tif has one.*pattern"):
        find_sources([tmp_path / "a"])
    tif("b/ortho.tif", PICTURE)
    tif("b/elevation.tif", BAND)
    with pytest.raises(InputError, match=r"ortho\.tif has 3 bands, elevation\.tif has one"):
        find_sources([tmp_path / "b"])
    tif("c/ortho.tif", STACK)
    tif("c/more/ortho.tif", STACK)
    with pytest.raises(InputError, match=r"holds scenes, such as ortho\.tif, and a folder"):
        find_sources([tmp_path / "c"])
    (tmp_path / "d" / "e").mkdir(parents=True)
    with pytest.raises(InputError, match=r"d is a folder without rasters.*d/\*\*/\*\.tif"):
        find_sources([tmp_path / "d"])


def test_a_damaged_file_does_not_hide_the_others(tif: Tif, tmp_path: Path) -> None:
    tif("f/b.tif", STACK)
    (tmp_path / "f" / "a.tif").write_bytes(b"no raster")
    assert names(find_sources([tmp_path / "f"])) == ["a", "b"]
    (tmp_path / "f" / "b.tif").unlink()
    with pytest.raises(InputError, match=r"a\.tif cannot be opened as a raster"):
        find_sources([tmp_path / "f"])


def test_a_link_to_a_folder_is_named_as_open_scene_does(tif: Tif, tmp_path: Path) -> None:
    tif("2024-05-01/red.tif", BAND)
    tif("2024-05-01/nir.tif", BAND)
    (tmp_path / "latest").symlink_to(tmp_path / "2024-05-01")
    (source,) = find_sources([tmp_path / "latest"])
    assert source.name == open_scene(source.inputs).name == "2024-05-01"


def test_many_folders_need_no_look_at_their_files(touch: Touch) -> None:
    # The files are empty: opening one would be an error.
    files = [f"s/T33UXP_{day}/T33UXP_{day}_{band}.jp2" for day in range(12) for band in BANDS]
    root = touch(*files, *(f"s/one{day}/ortho.tif" for day in range(12)))
    sources = find_sources([root / "s"])
    assert len(sources) == 24
    assert names(sources)[-2:] == ["T33UXP_10", "T33UXP_11"]
    assert names(sources)[:2] == ["one0-ortho", "one1-ortho"]


BANDS = ("B02", "B03", "B04", "B08")


def test_twenty_thousand_files_take_seconds(touch: Touch) -> None:
    root = touch(*(f"f/day {k % 50}/flight {k}.tif" for k in range(20_000)))
    start = time.perf_counter()
    by_pattern = find_sources(f"{root}/f/**/*.tif")
    one_by_one = find_sources([str(source.inputs) for source in by_pattern])
    # About a second and a half here; quadratic would be minutes.
    assert time.perf_counter() - start < 20
    assert len({str(name).casefold() for name in names(by_pattern)}) == 20_000
    assert names(by_pattern)[1] == "day 0-flight 50"
    assert names(one_by_one)[1] == "flight 50"


# opening


def test_own_words_outrank_those_for_all(tif: Tif) -> None:
    path = tif("a.tif", np.zeros((2, 3, 4), np.uint16))
    own = Source(path, {"bands": "red,nir", "about": {"field": "Süd"}}, "mine")
    scene = own.open(bands="blue,green", scale=0.5, about={"field": "all", "farm": "Höhe"})
    assert [band.role for band in scene.bands] == ["red", "nir"]
    assert [band.scale for band in scene.bands] == [0.5, 0.5]
    assert scene.about == {"field": "Süd", "farm": "Höhe"}
    assert scene.name == "mine"
    assert own.open(name="other").name == "other"


def test_words_for_all_outrank_a_catalogue() -> None:
    stated = Source("a.tif", {"scale": 1e-4, "offset": -0.1, "nodata": 0.0}, "a", stated=True)
    assert stated.options_among({"scale": None, "masks": (), "nodata": None}) == {
        "scale": 1e-4,
        "offset": -0.1,
        "nodata": 0.0,
        "name": "a",
    }
    # A scale without its offset is another scale.
    joined = stated.options_among({"scale": 2e-5, "nodata": 255.0})
    assert joined == {"scale": 2e-5, "nodata": 255.0, "name": "a"}
    own = Source("a.tif", {"scale": 1e-4}, "a")
    assert own.options_among({"scale": 1.0, "offset": 5.0}) == {"scale": 1e-4, "name": "a"}


def test_a_source_travels_to_workers() -> None:
    source = Source({"red": "r.tif"}, {"about": {"field": "ä"}}, "a")
    assert pickle.loads(pickle.dumps(source)) == source
