"""What the pages for people say exists: links, anchors, files, commands, options, public names."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import agriseg
from agriseg.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sample_data/*.md")],
    key=lambda path: (len(path.parts), path),
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# A program's name may stand at the start, or after what shells put between programs.
_BETWEEN = {"&", "&&", ";", "|", "||", "(", ")", "do", "then"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [body for kind, body in _FENCE.findall(text) if kind == language]


def spans(page: Path) -> list[str]:
    """Code within sentences, each on one line."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def links(page: Path) -> list[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))


def anchors(page: Path) -> set[str]:
    """What headings are called in addresses, as GitHub makes it of them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(script: str) -> Iterator[list[str]]:
    """The words after `agriseg` of each call in a shell script."""
    for line in _HEREDOC.sub("", script).replace("\\\n", " ").splitlines():
        # Quotes stay at first: ';' in them is no end of a command.
        lexer = shlex.shlex(line, posix=False, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for at, word in enumerate(words):
            if word == "agriseg" and (at == 0 or words[at - 1] in _BETWEEN):
                rest = words[at + 1 :]
                ends = [n for n, one in enumerate(rest) if one in _BETWEEN]
                yield [shlex.split(one)[0] for one in (rest[: ends[0]] if ends else rest)]


@cache
def group() -> Any:
    """The real command line, with `commands` by name."""
    return typer.main.get_command(app)


@cache
def options(command: str = "") -> set[str]:
    """What a command takes; without one, `agriseg` itself."""
    params = (group().commands[command] if command else group()).params
    return {"--help", "-h", *(name for one in params for name in (*one.opts, *one.secondary_opts))}


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), f"{link}: there is no such file"
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pages
def test_commands_can_be_typed(page: Path) -> None:
    known = group().commands
    for script in blocks(page, "sh"):
        for words in commands(script):
            if words[0].startswith("-"):
                continue
            assert words[0] in known, f"agriseg {words[0]} is no command"
            try:
                known[words[0]].make_context(words[0], words[1:])
            except typer.Exit:
                pass  # --help
            except Exception as error:
                pytest.fail(f"agriseg {' '.join(words)}: {getattr(error, 'message', error)}")


@pages
def test_commands_and_options_in_sentences_exist(page: Path) -> None:
    known = group().commands
    anywhere = options().union(*map(options, known))
    for span in spans(page):
        name, *words = span.split()
        takes = anywhere
        if name == "agriseg" and words and words[0].islower():
            if not words[0].startswith("-"):
                assert words[0] in known, f"`{span}`: there is no such command"
                takes = options(words[0])
        elif name == "-" or not name.startswith("-"):
            continue
        flags = {re.split("[=/]", word)[0] for word in (name, *words) if re.match("--?[a-z]", word)}
        assert flags <= takes, f"`{span}`: there is no such option"


@pages
def test_names_and_files_exist(page: Path) -> None:
    for script in blocks(page, "python"):
        tree = ast.parse(script)
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        found = {node.attr for node in used if ast.unparse(node.value) == "agriseg"}
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        found |= {one.name for node in imports if node.module == "agriseg" for one in node.names}
        assert found <= set(agriseg.__all__)
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])(?:configs|notebooks|sample_data)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path


def test_every_page_and_picture_is_reached() -> None:
    reached = {(p.parent / link.partition("#")[0]).resolve() for p in PAGES for link in links(p)}
    files = [path for path in ROOT.glob("docs/**/*") if path.suffix in (".md", ".png")]
    assert files
    assert [path.name for path in files if path not in reached] == []
