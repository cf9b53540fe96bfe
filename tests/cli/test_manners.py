"""What all commands have in common; nothing is run here."""

from __future__ import annotations

import re
from collections import defaultdict
from io import StringIO
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from agriseg.bands import SENSORS
from agriseg.cli.app import app
from agriseg.cli.options import TABLES, VECTORS
from agriseg.cli.screen import new_table
from agriseg.farm.tables import _ENDINGS
from agriseg.models import ENGINES, PRECISIONS, known_models
from agriseg.models.presets import PRESETS
from agriseg.vector.files import FORMATS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

# Options of one name that mean another thing in another command, and what each means there.
OTHERWISE = {
    "--bands": "of the raster that QGIS shows, in export",
    "--chip": "a tile of Deepness, in export",
    "--classes": "a raster in zones, names in vectorize",
    "--crop": "the crop of the scene in segment, classes elsewhere",
    "--date": "of the scene in segment, of each run in season",
    "--fields": "a switch in segment; elsewhere outlines, each with its default",
    "--gsd": "of the scene in segment, of several maps in evaluate, of QGIS in export",
    "--indices": "the first tells vigour in health; none may be compared",
    "--out": "what is written",
    "--overlap": "of tiles of Deepness, in export",
    "--report": "a page of the map in segment, of the model in train",
    "--resume": "the other word is --no-resume in segment, --fresh in train",
    "--rows": "a file in fields, a switch in health",
    "--scale": "of what QGIS shows, in export",
    "--workers": "processes that predict in segment, that draw in simulate",
    "--zones": "0 for none is possible in health",
}
LETTERS = {"-i": {"--index", "--indices"}}


def options() -> list[tuple[str, Any]]:
    """Each option with the name of its command."""
    return [
        (name, option)
        for name, command in COMMANDS.items()
        for option in command.params
        if option.param_type_name == "option" and not option.hidden
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_line_and_an_example(name: str) -> None:
    summary, *rest = COMMANDS[name].help.split("\n\n")
    assert summary.endswith(".")
    assert "\n" not in summary
    assert len(summary) < 100
    assert re.search(rf"Examples?:.*`agriseg {name} ", "\n\n".join(rest), re.DOTALL)


def test_each_option_says_what_it_does_and_in_which_unit() -> None:
    for name, option in options():
        where = f"{name} {option.opts}"
        assert option.help, where
        assert option.help.endswith("."), where
        assert option.is_flag or option.metavar, where
    for name, command in COMMANDS.items():
        for one in command.params:
            assert one.help, f"{name} {one.name}"


def test_one_name_has_one_meaning() -> None:
    found: dict[str, set[Any]] = defaultdict(set)
    for _, option in options():
        long = next(one for one in option.opts if one.startswith("--"))
        found[long].add((option.help, option.metavar, option.is_flag, str(option.secondary_opts)))
    assert {long for long, meanings in found.items() if len(meanings) > 1} == set(OTHERWISE)


def test_one_letter_has_one_meaning() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for _, option in options():
        long = [one for one in option.opts if one.startswith("--")]
        for letter in set(option.opts) - set(long):
            found[letter].update(long)
    assert {letter: names for letter, names in found.items() if len(names) > 1} == LETTERS


def test_every_command_can_be_quiet_and_speak_json() -> None:
    for command in COMMANDS.values():
        names = {one for option in command.params for one in option.opts}
        assert {"-q", "--quiet", "--json", "--debug"} <= names
        assert ("-o" in names) == (command.name not in ("bench", "info"))


def test_help_tells_the_exit_codes() -> None:
    said = CliRunner().invoke(app, ["--help"]).stdout
    for code in ("0 done", "1 some", "2 a fault", "130 stopped"):
        assert code in " ".join(said.split())


def proposed(words: str) -> list[str]:
    """What bash is given where Tab is pressed behind these words."""
    said = f"agriseg {words}"
    asked = {
        "_AGRISEG_COMPLETE": "complete_bash",
        "COMP_WORDS": said,
        "COMP_CWORD": str(len(said.split(" ")) - 1),
    }
    return CliRunner().invoke(app, [], env=asked).stdout.split()


def test_tab_completes_what_can_be_listed() -> None:
    assert proposed("seg") == ["segment"]
    assert proposed("segment a.tif --sensor ") == list(SENSORS)
    assert set(proposed("bench a.tif --engine ")) == {"auto", *ENGINES}
    assert set(proposed("evaluate m d --precision ")) == {"auto", *PRECISIONS}
    assert set(proposed("segment a.tif -m ")) == set(known_models())
    assert set(proposed("import a.pth --preset ")) == set(PRESETS)
    assert proposed("segment a.tif --precision bf") == ["bfloat16"]
    assert proposed("indices a.tif -i NDVI,NDRE") == ["NDVI,NDRE", "NDVI,NDREI"]
    assert proposed("info a.tif --bands red,swir1") == ["red,swir16"]


def test_tab_completes_endings_once_the_dot_is_typed() -> None:
    assert proposed("vectorize c.tif -o out/weeds.g") == ["out/weeds.gpkg", "out/weeds.geojson"]
    assert proposed("vectorize c.tif -o ../weeds") == []
    assert set(VECTORS) == set(FORMATS)
    assert set(TABLES) == set(_ENDINGS)


@pytest.mark.parametrize("width", [80, 40])
def test_a_narrow_terminal_cuts_no_number(width: int) -> None:
    made = new_table("field", "crop cover", "vegetation", left=("field",))
    made.add_row("behind the barn, down to the old river bed", "24.6 %", "0.0046 ha")
    screen = Console(width=width, file=StringIO(), soft_wrap=True)
    screen.print(made)
    said = screen.file.getvalue()
    assert {"24.6 %", "0.0046 ha", "vegetation"} <= set(re.split(r"\s{2,}|\n", said))
