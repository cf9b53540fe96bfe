"""What the real QGIS makes of results; skipped where the system's Python has none.

Each look takes about half a second in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from affine import Affine

from agriseg.legend import Legend
from agriseg.publish import write_project
from agriseg.runs import Run, read_run
from tests.publish.runs import HEIGHT, WIDTH, add_farm, make_run
from tests.support import LEGEND, NORTH_UP

PYTHON = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
LOOK = Path(__file__).with_name("qgis_look.py")
# Pixels (col, row) in the middle of each class of `runs.classes`, and one of nodata.
SOIL, CROP, WEED, NOTHING = (3, 30), (20, 12), (40, 26), (49, 4)
WHITE = "#ffffff"


def _environment() -> dict[str, str]:
    """The environment without what leads to this Python's packages and their GDAL."""
    strange = ("PYTHON", "VIRTUAL_ENV", "GDAL_", "PROJ_")
    return {name: text for name, text in os.environ.items() if not name.startswith(strange)}


@cache
def _has_qgis() -> bool:
    try:
        return not subprocess.run(
            [PYTHON, "-c", "import qgis.core"],
            env=_environment(),
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode
    except OSError:
        return False


@pytest.fixture(scope="module", autouse=True)
def _needs_qgis() -> None:
    if not _has_qgis():
        pytest.skip(
            f"{PYTHON} has no QGIS (Debian, Ubuntu: apt-get install qgis python3-qgis); "
            "QGIS_PYTHON names another"
        )


def look(task: str, *arguments: object) -> Any:
    done = subprocess.run(
        [PYTHON, str(LOOK), task, *map(str, arguments)],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[-1].removeprefix("FOUND "))


def at(pixel: tuple[int, int], transform: Affine = NORTH_UP) -> tuple[float, float]:
    x, y = transform @ (pixel[0] + 0.5, pixel[1] + 0.5)
    return x, y


def opened(path: Path, places: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """A project that must open without a fault; with the colours at places of its layers."""
    found: dict[str, Any] = look("project", path, json.dumps(places))
    assert found["read"]
    assert [one for one in found["layers"] if not one["valid"]] == []
    return found


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["layers"]}


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


FALSE_COLOR = "False colour (plants red)"
WEEDS = "Weeds, percent of the ground"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with everything that may lie beside it, and its project."""
    folder = tmp_path_factory.mktemp("home")
    run = make_run(folder / "out", about={"field": "Langacker"}, probabilities=True)
    add_farm(run)
    write_project(run)
    return run


@pytest.fixture(scope="module")
def found(run: Run) -> dict[str, Any]:
    """What QGIS finds in the project."""
    return opened(
        run.path / "result.qgz",
        {
            "Class map": [at(SOIL), at(CROP), at(WEED), at(NOTHING)],
            "Polygons by class": [at(NOTHING)],
            FALSE_COLOR: [at(WEED), at(SOIL), at(NOTHING)],
            WEEDS: [at((8, 18)), at((26, 18)), at((46, 18))],
        },
    )


def test_a_project_opens_in_the_right_colours(found: dict[str, Any]) -> None:
    colors = [one.color for one in LEGEND]
    assert found["drawn"]["Class map"] == [*colors, WHITE]
    assert found["drawn"]["Polygons by class"] == [WHITE]
    layers = by_name(found)
    assert [color for _, color in layers["Class map"]["legend"]] == colors
    assert [text.split()[0] for text, _ in layers["Class map"]["legend"]] == list(LEGEND.names)
    assert layers["Polygons by class"]["legend"] == [[c.name, c.color] for c in LEGEND]
    assert layers["Fields by vigour"]["renderer"] == "graduatedSymbol"
    assert layers["Fields"]["labels"]
    assert layers["Fields"]["labelled_from_mm"] == 8
    assert layers["Zones"]["legend"][1][0] == "middle & so  0.2 ha"
    assert layers["Crop rows"]["count"] == 2


def test_everything_lies_where_it_belongs(found: dict[str, Any]) -> None:
    layers = by_name(found)
    assert {one["crs"] for one in layers.values()} == {found["crs"]} == {"EPSG:32633"}
    left, top = NORTH_UP @ (0, 0)
    right, bottom = NORTH_UP @ (WIDTH, HEIGHT)
    for name in ("Class map", "Confidence", "True colour", "Probability of weed"):
        assert layers[name]["extent"] == pytest.approx([left, bottom, right, top], abs=1e-6)


def test_the_image_is_drawn_in_its_stretch(found: dict[str, Any]) -> None:
    weed, soil, nothing = found["drawn"][FALSE_COLOR]
    # Near infrared and red are brightest where the weeds are, and green is halved at the left.
    assert min(bytes.fromhex(weed[1:])) >= 253
    assert max(bytes.fromhex(soil[1:])) <= 2
    assert nothing == WHITE


def test_it_says_where_it_comes_from(found: dict[str, Any]) -> None:
    assert found["title"] == "field (Langacker)"
    assert "with model identity" in found["about"]
    assert found["author"] == "agriseg"
    assert found["variables"]["agriseg_field"] == "Langacker"


def test_where_there_are_no_weeds_the_grid_is_clear(found: dict[str, Any]) -> None:
    drawn = found["drawn"][WEEDS]
    assert drawn[0] == WHITE
    assert len(set(drawn)) == 3


def test_a_folder_that_moved_opens_without_its_image(run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "sent" / "by mail"
    shutil.copytree(run.path, moved)
    before = content(moved)
    # From here the image cannot be reached.
    found = opened(moved / "result.qgz", {"Class map": [at(CROP)], FALSE_COLOR: [at(CROP)]})
    assert found["drawn"]["Class map"] == [LEGEND.classes[1].color]
    assert found["drawn"][FALSE_COLOR] == [WHITE]
    # Neither statistics nor anything else is left: the run stays as its record says.
    assert content(moved) == before
    assert read_run(moved).segments


def test_files_alone_have_names_and_colours(run: Run, tmp_path: Path) -> None:
    names = ("segments", "fields", "zones", "weeds")
    tables = [shutil.copy(run.path / f"{name}.gpkg", tmp_path) for name in names]
    for name in ("classes.tif", "classes.tif.aux.xml"):
        shutil.copy(run.path / name, tmp_path)
    rasters = [run.path / f"{name}.tif" for name in ("classes", "confidence", "probabilities")]
    classes, confidence, probabilities, plain, segments, *farm = look(
        "alone", *rasters, tmp_path / "classes.tif", *tables
    )
    legend = [[one.name, one.color] for one in LEGEND]
    # With its .qml file, and with what GDAL reads alone.
    for one in (classes, plain):
        assert one["renderer"] == "paletted"
        assert one["legend"] == legend
    assert confidence["renderer"] == probabilities["renderer"] == "singlebandpseudocolor"
    # From inside the file: nothing lies beside it.
    assert segments["legend"] == legend
    kinds = ["graduatedSymbol", "categorizedSymbol", "graduatedSymbol"]
    assert [one["renderer"] for one in farm] == kinds


def test_its_tools_find_our_areas_and_no_fault(run: Run) -> None:
    found = look("processing", run.classes, run.segments)
    ours = {str(row["value"]): row["area_ha"] * 1e4 for row in run.record["classes"]}
    assert found["areas_m2"] == pytest.approx(ours, rel=1e-9)
    assert found["nodata"] == WIDTH * HEIGHT - sum(row["pixels"] for row in run.record["classes"])
    assert found["invalid"] == 0
    assert found["valid"] > 2


def test_hard_names_open_too(tmp_path: Path) -> None:
    legend = Legend.of(("soil & <b>", "#c8a882"), ('"crop"', "#1b6e2b"), ("Übel 'x'", "#d81b9a"))
    out = tmp_path / 'Höfe & "Söhne" <x>' / "it's #1 + 50% off"
    out.parent.mkdir()
    run = make_run(out, "Feld ü <a> & 'b' \"c\"", legend=legend)
    add_farm(run)
    found = opened(write_project(run), {"Class map": [at(WEED)], FALSE_COLOR: [at(SOIL)]})
    assert found["title"] == run.path.name
    assert found["drawn"]["Class map"] == ["#d81b9a"]
    assert found["drawn"][FALSE_COLOR] != [WHITE]
    assert by_name(found)["Polygons by class"]["legend"] == [[c.name, c.color] for c in legend]
    assert by_name(found)["Zones"]["legend"][2][0] == 'high "  0.3 ha'


def test_a_turned_scene_is_drawn_where_it_lies(tmp_path: Path) -> None:
    turned = NORTH_UP @ Affine.rotation(30)
    run = make_run(tmp_path / "out", transform=turned)
    places = [at(pixel, turned) for pixel in (SOIL, CROP, WEED, NOTHING)]
    found = opened(write_project(run), {"Class map": places, "Polygons by class": [places[3]]})
    assert found["drawn"]["Class map"] == [*(one.color for one in LEGEND), WHITE]
    assert found["drawn"]["Polygons by class"] == [WHITE]
    left, bottom, right, top = by_name(found)["Polygons by class"]["extent"]
    assert left < places[2][0] < right
    assert bottom < places[2][1] < top


def test_many_scenes_are_drawn_as_one_wherever_they_are(tmp_path: Path) -> None:
    places = [NORTH_UP, NORTH_UP @ Affine.translation(70, 10)]
    runs = [
        make_run(tmp_path / "out", f"scene {k}", transform=place) for k, place in enumerate(places)
    ]
    write_project(runs)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    name = "Class map, 2 scenes"
    points = [at(pixel, place) for place in places for pixel in (CROP, WEED)]
    found = opened(tmp_path / "moved" / "result.qgz", {name: points})
    crop, weed = LEGEND.classes[1].color, LEGEND.classes[2].color
    assert found["drawn"][name] == [crop, weed, crop, weed]


@pytest.mark.filterwarnings("ignore:The given matrix is equal")
def test_a_run_without_a_place_is_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", crs=None, transform=Affine.identity())
    points = [(x + 0.5, -y - 0.5) for x, y in (SOIL, CROP, WEED)]
    found = opened(write_project(run), {"Class map": points})
    assert found["drawn"]["Class map"] == [one.color for one in LEGEND]
