"""Pages that agriseg writes."""

from __future__ import annotations

import base64

from agriseg.html_page import data_uri, document, image, notes, swatch, table


def test_a_page_is_whole_and_escapes_its_title() -> None:
    text = document('A <b> & "c" ä', ["<p>one</p>", "<p>two</p>"], css=".x {}").decode()
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>A &lt;b&gt; &amp; &quot;c&quot; ä</title>" in text
    assert "<p>one</p>\n<p>two</p>" in text
    assert ".x {}</style>" in text
    assert text.endswith("</html>\n")


def test_a_broken_file_name_is_no_fault() -> None:
    assert b"broken?name" in document("x", ["broken\udcffname"])


def test_tables_escape_headings_and_take_cells_as_they_are() -> None:
    text = table(["<a>"], [["<i>1</i>"]], ["sum"])
    assert "<th>&lt;a&gt;</th>" in text
    assert "<td><i>1</i></td>" in text
    assert text.count("<tr") == 3
    assert '<tr class="all"><td>sum</td></tr>' in text
    assert 'class="all"' not in table(["a"], [["1"]])


def test_pictures_and_notes() -> None:
    shown = image(b"\x89PNG", 'a "b"')
    assert f"base64,{base64.b64encode(bytes([0x89]) + b'PNG').decode()}" in shown
    assert "a &quot;b&quot;" in shown
    assert data_uri(b"", "image/jpeg") == "data:image/jpeg;base64,"
    assert list(notes([])) == []
    assert list(notes(["a < b"])) == ["<ul><li>a &lt; b</li></ul>"]
    assert swatch('#fff" onclick="') == '<i style="background: #fff&quot; onclick=&quot;"></i>'
