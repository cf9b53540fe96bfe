"""Pages that agriseg writes: one HTML file with its pictures inside.

It can be sent, printed, and opened in twenty years. It holds no script and loads nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["data_uri", "document", "image", "notes", "swatch", "table"]

_CSS = """
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f5; color: #26302b;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 3rem 2.5rem 4rem; background: #fff; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid #e3e7e4; }
.lead { font-size: 1.2rem; margin: 1rem 0 .6rem; max-width: 52rem; }
.pale { color: #6d7872; }
p { max-width: 52rem; margin: .5rem 0; }
img { display: block; width: 100%; height: auto; margin: .8rem 0; }
img.half { max-width: 46rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: #6d7872; font-size: .85rem; }
th, td { padding: .3rem 1.1rem .3rem 0; border-bottom: 1px solid #eceeec; }
td { text-align: right; }
th:first-child, td:first-child { text-align: left; }
tr.all td { font-weight: 600; border-bottom: none; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .55em; }
pre { background: #f6f7f5; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem;
  line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; max-width: 52rem; }
@media print {
  @page { margin: 14mm; }
  body, main { background: #fff; padding: 0; font-size: 11pt; max-width: none; }
  h2 { break-after: avoid; } img, table, tr { break-inside: avoid; }
}
"""


def document(title: str, parts: Iterable[str], *, css: str = "") -> bytes:
    """A whole page.

    Args:
        title: Of its window, as plain text.
        parts: What it holds, as HTML.
        css: What its style has beyond that of all pages.
    """
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )
    # Half of a pair that stands for one character, as in a broken file name, is no UTF-8.
    return text.encode("utf-8", "replace")


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str] | None = None
) -> str:
    """A table; cells are HTML, headings are text, `last` is a row of sums."""
    head = "".join(f"<th>{escape(one)}</th>" for one in headings)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>\n" for row in rows)
    total = ""
    if last is not None:
        total = f'<tr class="all">{"".join(f"<td>{cell}</td>" for cell in last)}</tr>\n'
    return f"<table>\n<tr>{head}</tr>\n{body}{total}</table>"


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """An address that is the file itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(data: bytes, words: str, *, half: bool = False) -> str:
    """A PNG, with words for those who do not see it."""
    shape = ' class="half"' if half else ""
    return f'<img{shape} alt="{escape(words)}" src="{data_uri(data)}">'


def notes(lines: Sequence[str]) -> Iterable[str]:
    """A list of lines of text; nothing of none."""
    if lines:
        yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def swatch(color: str) -> str:
    """A small square of a colour, for legends."""
    return f'<i style="background: {escape(color)}"></i>'
