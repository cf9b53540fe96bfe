"""Project files, without QGIS: what stands in them, whatever the names, and always the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

import agriseg
from agriseg.errors import InputError, OptionError, OutputError
from agriseg.legend import Legend
from agriseg.publish import write_project
from tests.publish.runs import HEIGHT, WIDTH, add_farm, classes, make_run
from tests.support import NORTH_UP, Identity, identity_card, write_raster

HARD = Legend.of(
    ("soil & <stones>", "#c8a882"), ('"crop"', "#1b6e2b"), ("Übel 'weed' \x07", "#d81b9a")
)


def qgs(path: Path) -> ET.Element:
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        assert name.endswith(".qgs")
        return ET.fromstring(archive.read(name).split(b"\n", 1)[1])


def tree_of(path: Path) -> dict[str, list[str]]:
    """Names of the layers of each group."""
    return {
        str(group.get("name")): [str(one.get("name")) for one in group.iter("layer-tree-layer")]
        for group in qgs(path).findall("layer-tree-group/layer-tree-group")
    }


def shown_of(path: Path) -> list[str]:
    found = qgs(path).iter("layer-tree-layer")
    return [str(one.get("name")) for one in found if one.get("checked") == "Qt::Checked"]


def layer(path: Path, name: str) -> ET.Element:
    (found,) = [one for one in qgs(path).iter("maplayer") if one.findtext("layername") == name]
    return found


def labels(path: Path, name: str) -> list[str]:
    tags = ("paletteEntry", "category", "range")
    return [str(e.get("label")) for tag in tags for e in layer(path, name).iter(tag)]


def faults(path: Path) -> list[str]:
    """What would make QGIS lose a layer, or ask for its file."""
    root, found = qgs(path), []
    in_tree = [str(one.get("id")) for one in root.iter("layer-tree-layer")]
    in_list = [str(one.findtext("id")) for one in root.iter("maplayer")]
    if sorted(in_tree) != sorted(set(in_list)):
        found.append("tree and layers differ")
    for one in root.iter("maplayer"):
        source = str(one.findtext("datasource"))
        file = path.parent / source.split("|layername=")[0]
        if not source.startswith("./") or not file.exists():
            found.append(f"{source} is not there")
        if len(str(one.findtext("id"))) <= 10:
            found.append("the id is too short for QGIS")
    return found


def test_a_run_alone_shows_classes_over_its_image(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    path = write_project(run)
    assert path == run.path / "result.qgz"
    assert not faults(path)
    assert tree_of(path) == {
        "Classes": ["Polygons by class", "Class map"],
        "Diagnostics": ["Confidence"],
        "Input": ["False colour (plants red)", "True colour"],
    }
    assert shown_of(path) == ["Class map", "False colour (plants red)"]
    counts = {row["name"]: row for row in run.record["classes"]}
    assert [text.split()[0] for text in labels(path, "Class map")] == ["soil", "crop", "weed"]
    area, share = counts["crop"]["area_ha"] * 1e4, counts["crop"]["percent"]
    assert labels(path, "Class map")[1] == f"crop  {area:.3g} m²  ({share:.1f} %)"
    assert labels(path, "Polygons by class") == ["soil", "crop", "weed"]


def test_it_adapts_to_what_the_folder_holds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", probabilities=True)
    add_farm(run)
    path = write_project(run)
    assert not faults(path)
    tree = tree_of(path)
    assert tree["Fields and health"] == [
        "Crop rows",
        "Weed patches",
        "Weeds, percent of the ground",
        "Fields",
        "Fields by vigour",
        "Zones",
    ]
    assert tree["Diagnostics"][1:] == [f"Probability of {c}" for c in ("soil", "crop", "weed")]
    assert labels(path, "Fields by vigour") == [
        "60 to 70 %",
        "70 to 80 %",
        "80 to 90 %",
        "90 to 100 %",
    ]
    assert labels(path, "Zones") == ["low <  0.1 ha", "middle & so  0.2 ha", 'high "  0.3 ha']
    assert labels(path, "Weeds, percent of the ground")[:2] == ["no weeds", "up to 1 %"]


def test_fields_without_vigour_are_shown_by_an_index(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    add_farm(run)
    with sqlite3.connect(run.path / "fields.gpkg") as base:
        base.execute("ALTER TABLE fields DROP COLUMN vigour_percent")
    path = write_project(run)
    name = "Fields by NDVI (median)"
    assert labels(path, name) == [f"{k / 10} to {(k + 1) / 10}" for k in range(3, 8)]


def test_the_same_run_makes_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    add_farm(run)
    shutil.copytree(tmp_path / "out", tmp_path / "twin")
    first = write_project(run.path)
    time.sleep(0.01)
    os.utime(run.classes)
    second = write_project(tmp_path / "twin" / "field")
    for name in sorted(p.name for p in run.path.iterdir()):
        assert (run.path / name).read_bytes() == (second.parent / name).read_bytes(), name
    again = first.read_bytes()
    assert write_project(run.path).read_bytes() == again


def test_the_run_stays_whole(tmp_path: Path) -> None:
    """The style inside segments.gpkg changes its size, which run.json holds."""
    run = make_run(tmp_path / "out")
    before = run.segments.stat().st_size if run.segments else 0
    write_project(run)
    again = agriseg.open_run(run.path)
    assert again.segments is not None
    assert again.segments.stat().st_size != before
    assert {**again.record, "outputs": 0} == {
        **json.loads(json.dumps(run.record)),
        "outputs": 0,
        "format": 1,
    }
    image = tmp_path / "flights" / "field.tif"
    same = agriseg.segment(str(image), tmp_path / "out", model=Identity(), fields=False, qgis=False)
    assert not isinstance(same, list)
    assert same.resumed


def test_hard_names_break_nothing(tmp_path: Path) -> None:
    out = tmp_path / 'Höfe & "Söhne" <x>' / "it's #1"
    out.parent.mkdir()
    run = make_run(out, "Feld ü <a> & 'b' \"c\"", legend=HARD, inputs=tmp_path / "in & <out>")
    add_farm(run)
    path = write_project(run)
    assert not faults(path)
    # What XML cannot hold at all is left out.
    assert [text.split("  ")[0] for text in labels(path, "Class map")] == [
        "soil & <stones>",
        '"crop"',
        "Übel 'weed'",
    ]
    assert qgs(path).findtext("title") == run.path.name
    qml = ET.parse(run.path / "classes.qml").getroot()
    assert [e.get("label") for e in qml.iter("paletteEntry")][:2] == list(HARD.names[:2])
    with rasterio.open(run.path / "image.vrt") as view:
        assert view.read(1).any()


def test_where_it_lies_and_what_made_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", about={"field": "Langacker", "date": "2026-05-01"})
    root = qgs(write_project(run))
    assert root.findtext("title") == "field (Langacker, 2026-05-01)"
    about = str(root.findtext("projectMetadata/abstract"))
    for word in ("agriseg", "identity", run.record["finished"]):
        assert word in about
    wkt = str(root.findtext("projectCrs/spatialrefsys/wkt"))
    assert CRS.from_wkt(wkt) == CRS.from_epsg(32633)
    extent = [
        float(root.findtext(f"mapcanvas/extent/{k}") or 0) for k in ("xmin", "ymin", "xmax", "ymax")
    ]
    with rasterio.open(run.classes) as dataset:
        left, bottom, right, top = dataset.bounds
    width, height = right - left, top - bottom
    assert left - 0.1 * width < extent[0] < left
    assert right < extent[2] < right + 0.1 * width
    assert bottom - 0.1 * height < extent[1] < bottom
    assert top < extent[3] < top + 0.1 * height
    names = [e.text for e in root.findall("properties/Variables/variableNames/value")]
    values = [e.text for e in root.findall("properties/Variables/variableValues/value")]
    assert dict(zip(names, values, strict=True))["agriseg_field"] == "Langacker"


@pytest.mark.filterwarnings("ignore:The given matrix is equal")
def test_a_run_without_a_place_shows_its_rasters(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out", crs=None, transform=Affine.identity())
    path = write_project(run)
    assert not faults(path)
    assert "Polygons by class" not in tree_of(path)["Classes"]
    assert qgs(path).findtext("properties/SpatialRefSys/ProjectionsEnabled") == "0"


def test_a_damaged_table_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    (run.path / "zones.gpkg").write_bytes(b"half a file")
    path = write_project(run)
    assert not faults(path)
    assert "Fields and health" not in tree_of(path)


def test_what_was_saved_in_qgis_is_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "out")
    path = write_project(run)
    style = run.path / "classes.qml"
    style.write_text("<qgis>mine</qgis>")
    # As QGIS does: the same content in a zip of its own.
    content = zipfile.ZipFile(path).read("result.qgs")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("result.qgs", content)
    saved = path.read_bytes()
    with pytest.raises(OutputError, match="saved in QGIS"):
        write_project(run)
    assert path.read_bytes() == saved
    other = write_project(run, run.path / "new.qgz")
    assert not faults(other)
    assert style.read_text() == "<qgis>mine</qgis>"
    write_project(run, overwrite=True)
    assert path.read_bytes() != saved


def test_many_scenes_become_one_map(tmp_path: Path) -> None:
    out, flights = tmp_path / "out", tmp_path / "flights"
    flights.mkdir()
    places = {
        "a": NORTH_UP,
        "b & c": NORTH_UP @ Affine.translation(100, -7),
        "coarse": NORTH_UP @ Affine.translation(0, 60) @ Affine.scale(2),
        "turned": NORTH_UP @ Affine.rotation(20),
    }
    for name, transform in places.items():
        red = classes()[None]
        write_raster(flights / f"{name}.tif", red, transform=transform, descriptions=("Red",))
    runs = agriseg.segment(
        str(flights / "*.tif"), out, model=Identity(identity_card()), fields=False, qgis=False
    )
    path = write_project(out)
    assert path == out / "result.qgz"
    assert not faults(path)
    with rasterio.open(out / "classes.vrt") as mosaic:
        assert mosaic.nodata == 255
        assert mosaic.res == pytest.approx((0.02, 0.02))
        # From column 0 of the coarse one to the last of `b & c`; from its row 60 up to row -7.
        assert mosaic.shape == (7 + 60 + 2 * HEIGHT, 100 + WIDTH)
        whole = mosaic.read(1)
        for run in runs:
            if run.path.name in ("a", "b & c"):
                with rasterio.open(run.classes) as part:
                    window = mosaic.window(*part.bounds).round_offsets().round_lengths()
                    assert (mosaic.read(1, window=window) == part.read(1)).all()
    assert (whole != 255).sum() == sum(
        row["pixels"] * (4 if run.path.name == "coarse" else 1)
        for run in runs
        if run.path.name != "turned"
        for row in run.record["classes"]
    )
    groups = qgs(path).findall("layer-tree-group/layer-tree-group")
    (found,) = [one for one in groups if one.get("name") == "Classes"]
    assert [one.get("name") for one in found] == [
        "Class map, 3 scenes",
        "a",
        "b & c",
        "coarse",
        "turned",
    ]
    area = sum(r.record["classes"][1]["area_ha"] for r in runs if r.path.name != "turned") * 1e4
    assert re.match(rf"crop  {area:.3g} m² ", labels(path, "Class map, 3 scenes")[1])
    for run in runs:
        assert not faults(run.path / "result.qgz")
    same = path.read_bytes()
    assert write_project(out).read_bytes() == same


def test_scenes_of_two_systems_get_a_map_each(tmp_path: Path) -> None:
    runs = []
    for k in range(4):
        crs = CRS.from_epsg(32633 + k % 2)
        place = NORTH_UP @ Affine.translation(60 * k, 0)
        runs.append(make_run(tmp_path / "out", f"s{k}", crs=crs, transform=place))
    path = write_project(runs)
    assert path == tmp_path / "out" / "result.qgz"
    assert not faults(path)
    assert tree_of(path)["Classes"][:2] == [
        "Class map, 2 scenes in EPSG:32633",
        "Class map, 2 scenes in EPSG:32634",
    ]


def test_runs_made_one_after_the_other_are_found_in_their_folder(tmp_path: Path) -> None:
    for k in range(2):
        place = NORTH_UP @ Affine.translation(60 * k, 0)
        make_run(tmp_path / "out", f"s{k}", transform=place)
    path = write_project(tmp_path / "out")
    assert tree_of(path)["Classes"][0] == "Class map, 2 scenes"
    (tmp_path / "out" / "s0" / "classes.tif").unlink()
    path = write_project(tmp_path / "out")
    assert not faults(path)
    assert tree_of(path)["Classes"] == ["Polygons by class", "Class map"]


def test_classes_of_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    other = Legend.of(("soil", "#c8a882"), ("vegetation", "#1b6e2b"), ("water", "#0000ff"))
    one = make_run(tmp_path / "out", "one")
    two = make_run(tmp_path / "out", "two", legend=other)
    path = write_project([one.path, two.path], tmp_path / "both.qgz")
    assert not faults(path)
    assert tree_of(path)["Classes"].count("Class map") == 2


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        write_project(tmp_path)
    with pytest.raises(OptionError, match="no results"):
        write_project([])
    run = make_run(tmp_path / "out")
    with pytest.raises(OptionError, match=r"ends in \.qgz"):
        write_project(run, tmp_path / "x.qgs")
    with pytest.raises(OutputError, match="no folder"):
        write_project(run, tmp_path / "gone" / "x.qgz")
    other = make_run(tmp_path / "elsewhere")
    with pytest.raises(OptionError, match="different folders"):
        write_project([run, other])
    (tmp_path / "out" / "batch.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be read"):
        write_project(tmp_path / "out")
