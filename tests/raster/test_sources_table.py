"""A table of scenes: columns, separators, cells, and what is wrong with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agriseg.errors import AgrisegError, InputError, OptionError
from agriseg.raster.sources import Source, find_sources

Table = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(text: str | bytes, name: str = "season/Flüge 2024.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_facts_options_and_own_columns(table: Table) -> None:
    path = table(
        "path,date,client,farm,field,crop,growth_stage,bands,sensor,scale,offset,nodata,mask,"
        "mask_grow_m,name,variety,Grösse (ha)\n"
        'flights/a.tif,2024-05-01,Ann & Co,Höhe,"Lower, 40",maize,BBCH 14,"blue,green,red,nir",'
        'planetscope-8b,0.0001,-0.1,-32768,"masks/SCL.tif:3,8, 9",20,North 40,Pioneer,12.5\n'
    )
    (source,) = find_sources([path])
    folder = str(path.parent)
    assert source == Source(
        f"{folder}/flights/a.tif",
        {
            "bands": "blue,green,red,nir",
            "sensor": "planetscope-8b",
            "scale": 0.0001,
            "offset": -0.1,
            "nodata": -32768.0,
            "masks": (f"{folder}/masks/SCL.tif:3,8, 9",),
            "mask_grow_m": 20.0,
            "about": {
                "date": "2024-05-01",
                "client": "Ann & Co",
                "farm": "Höhe",
                "field": "Lower, 40",
                "crop": "maize",
                "growth_stage": "BBCH 14",
                "variety": "Pioneer",
                "grösse_ha": "12.5",
            },
        },
        "North 40",
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_separators_line_ends_and_marks(table: Table, separator: str, end: str, start: str) -> None:
    rows = [("Path", " Growth Stage ", "Fläche"), ("ä b.tif", "", "x;y,z"), ("c.tif", "ripe", "")]
    quoted = (separator.join(f'"{cell}"' for cell in row) for row in rows)
    path = table(start + end.join(quoted) + end)
    assert find_sources([path]) == [
        Source(f"{path.parent}/ä b.tif", {"about": {"fläche": "x;y,z"}}, "ä b"),
        Source(f"{path.parent}/c.tif", {"about": {"growth_stage": "ripe"}}, "c"),
    ]


def test_what_excel_leaves(table: Table) -> None:
    path = table("sep=;\r\npath;field;;\r\n\r\na.tif;North;;\r\n;;;\r\nb.tif\r\n")
    assert [source.name for source in find_sources([path])] == ["a", "b"]
    path = table("sep=;\r\npath;scale;;\r\n\r\na.tif;0,1;;\r\n")
    with pytest.raises(OptionError, match=r"row 4, column scale: '0,1' is not a number; write"):
        find_sources([path])


def test_paths_start_at_the_table(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table("path\na.tif\n/data/b.tif\nhttps://x.org/c.tif\n../d/e.tif\n/vsizip/f.zip/g.tif\n")
    monkeypatch.chdir(tmp_path)
    sources = find_sources("season/Flüge 2024.csv")
    assert [source.inputs for source in sources] == [
        "season/a.tif",
        "/data/b.tif",
        "https://x.org/c.tif",
        "season/../d/e.tif",
        "/vsizip/f.zip/g.tif",
    ]
    assert [source.key for source in sources][:1] == [str(tmp_path / "season" / "a.tif")]
    monkeypatch.chdir(tmp_path / "season")
    assert find_sources("Flüge 2024.csv")[0].inputs == "a.tif"


def test_files_by_role_in_a_cell(table: Table) -> None:
    path = table(
        "path\nmay/red=x.tif\nred=may/R 1.tif nir=may/N 1.tif\n"
        "red@1=south_r.tif   nir@2=/abs/south_n.tif\nhttps://x.org/a.tif?red=1\n"
    )
    folder = path.parent
    (folder / "may").mkdir()
    (folder / "may" / "red=x.tif").touch()
    sources = find_sources([path])
    assert [source.inputs for source in sources] == [
        f"{folder}/may/red=x.tif",
        {"red": f"{folder}/may/R 1.tif", "nir": f"{folder}/may/N 1.tif"},
        {"red@1": f"{folder}/south_r.tif", "nir@2": "/abs/south_n.tif"},
        "https://x.org/a.tif?red=1",
    ]
    assert [source.name for source in sources] == ["may-red=x", "may", "south", "a"]


def test_names_below_a_table_do_not_depend_on_other_rows(table: Table) -> None:
    first = find_sources([table("path\nmay/ortho.tif\n")])
    both = find_sources([table("path\nmay/ortho.tif\njune/ortho.tif\n")])
    assert [source.name for source in first] == ["may-ortho"]
    assert [source.name for source in both] == ["may-ortho", "june-ortho"]


def test_one_raster_twice_under_two_names(table: Table) -> None:
    sources = find_sources([table("path,name,scale\na.tif,low,0.1\na.tif,high,1\n")])
    assert [(source.name, source.options) for source in sources] == [
        ("low", {"scale": 0.1}),
        ("high", {"scale": 1.0}),
    ]


def test_two_tables_give_one_scene(table: Table) -> None:
    one, two = table("path\na.tif\n"), table("path\na.tif\n", "season/2.csv")
    assert len(find_sources([one, two])) == 1
    table("path,scale\na.tif,0.1\n", "season/2.csv")
    with pytest.raises(InputError, match=r"2\.csv row 2 gives the scene of .* row 2 again"):
        find_sources([one, two])


FAULTS: dict[str, tuple[type[AgrisegError], str, str]] = {
    "empty": (InputError, "", "is empty; a first line such as"),
    "blank": (InputError, "\ufeff \r\n;;\r\n", "is empty"),
    "no rows": (InputError, "path,date\n,\n", "no row below it"),
    "no path column": (InputError, "file,date\na.tif,x\n", "row 1 has no column path, only file"),
    "the misspelt path": (OptionError, "paht,date\na,x\n", "'paht' is unknown; did you mean path"),
    "growthstage": (OptionError, "path,growthstage\na,x\n", "did you mean growth_stage"),
    "senser": (OptionError, "path;Senser\na;x\n", "'Senser' is unknown; did you mean sensor"),
    "feild": (OptionError, "path,feild\na,x\n", "did you mean field"),
    "no data": (OptionError, "path,No Data\na,1\n", "did you mean nodata"),
    "crops": (OptionError, "path,crop,crops\na,x,y\n", "near to crop, which is there too"),
    "a column twice": (InputError, "path,Date,date \na,x,y\n", "'Date' is there twice"),
    "an unnamed column": (InputError, "path,,date\na,x,y\n", "a column has no name"),
    "a row twice": (InputError, "path\na.tif\nb.tif\n./a.tif\n", "row 4 gives the scene of row 2"),
    "a row twice, one named": (InputError, "path,name\na.tif,x\na.tif,\n", "row 3 .* of row 2"),
    "a name twice": (OptionError, "path,name\na.tif,North\nb.tif,north\n", "row 2 and .*row 3 are"),
    "no path": (InputError, "path,date\na.tif,x\n,2024\n", "row 3 has no path"),
    "unquoted commas": (InputError, "path,bands\na.tif,red,nir\n", "row 2 has 3 cells for 2"),
    "an open quote": (InputError, 'path,date\na,x\n"b,y\n', "row 3 cannot be read"),
    "scale": (OptionError, "path,scale\na.tif,1e-4x\n", "row 2, column scale: '1e-4x' is not a"),
    "python's number": (OptionError, "path,nodata\na.tif,1_0\n", "'1_0' is not a number"),
    "scale 0": (OptionError, "path,scale\na.tif,0\n", "a number other than 0"),
    "offset nan": (OptionError, "path,offset\na.tif,nan\n", "'nan': a finite number"),
    "decimal comma": (OptionError, "path;offset\na.tif;0,5\n", "with a point"),
    "grow": (OptionError, "path,mask_grow_m\na.tif,-1\n", "column mask_grow_m: '-1': 0 or a pos"),
    "mask": (OptionError, "path,mask\na.tif,SCL.tif\n", "column mask: .*expected a class raster"),
    "sensor": (OptionError, "path,sensor\na.tif,sequoia\n", "column sensor: .*parrot-sequoia"),
    "bands": (OptionError, 'path,bands\na.tif,"red,grean"\n', "column bands: .*'grean' is unknown"),
    "name": (OptionError, "path,name\na.tif,a/b\n", "column name: 'a/b' cannot be a name"),
    "role": (InputError, "path\nred=R.tif grean=G.tif\n", "row 2, path: .*'grean' is unknown"),
    "role twice": (OptionError, "path\nred=R.tif red=G.tif\n", "row 2, path: .*red is given twice"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_one_line_with_file_and_row(table: Table, what: str) -> None:
    kind, text, words = FAULTS[what]
    path = table(text)
    with pytest.raises(kind, match=words) as caught:
        find_sources([path])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["farmer", "field_id", "field2", "data", "stage", "update"])
def test_other_words_are_no_slips_of_the_pen(table: Table, column: str) -> None:
    (source,) = find_sources([table(f"path,{column}\na.tif,x\n")])
    assert source.options == {"about": {column: "x"}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("path\nFläche.tif\n".encode("latin-1"), r"not UTF-8 text \(byte 7\); save it as CSV"),
        ("path\na.tif\n".encode("utf-16"), "not UTF-8 text"),
        ("path\na.tif\n".encode("utf-16-le"), "zero bytes"),
    ],
)
def test_other_encodings(table: Table, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_sources([table(data)])


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        find_sources([tmp_path / "none.csv"])


def test_a_row_opens(table: Table, tif: Callable[..., Any]) -> None:
    tif("season/a.tif", np.full((3, 3, 5), 5000, np.uint16))
    tif("season/SCL.tif", np.eye(3, 5, dtype=np.uint8) * 3)
    path = table(
        "path;bands;scale;mask;nodata;variety\na.tif;red,nir,-;0.0001;SCL.tif:3;0;Säerin\n"
    )
    (source,) = find_sources([path])
    pixels = source.open().read(keys=["nir"])
    assert pixels.data[0, 0, 1] == np.float32(0.5)
    assert pixels.valid.sum() == 12
    assert source.open().about == {"variety": "Säerin"}


def test_twenty_thousand_rows_take_seconds(table: Table) -> None:
    rows = "".join(f"f/{k % 99}/ortho.tif,{k},x\n" for k in range(99))
    rows += "".join(f"g/{k}/ortho {k}.tif,{k},0.0001\n" for k in range(20_000))
    path = table("path,field,scale\n" + rows.replace(",x\n", ",\n"))
    start = time.perf_counter()
    sources = find_sources([path])
    # About a second here; quadratic would be minutes.
    assert time.perf_counter() - start < 15
    assert len(sources) == 20_099
    assert len({source.name for source in sources}) == 20_099
