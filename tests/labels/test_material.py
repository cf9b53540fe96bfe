"""Configurations of data: which files belong together, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agriseg.errors import BandError, LabelError, OptionError
from agriseg.labels import LabelledReader, read_data
from agriseg.labels.pairs import paired
from agriseg.legend import Legend
from agriseg.simulate.verb import simulate
from tests.labels.support import COLORS, codes_of, material, write_picture, write_scene
from tests.support import DATA, write_raster


def touch(base: Path, *names: str) -> None:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()


def pair_names(base: Path, images: Any, labels: Any) -> list[tuple[str, str]]:
    found = paired(images, labels, base).found
    return [(Path(a).relative_to(base).as_posix(), Path(b).relative_to(base).as_posix())
            for a, b in found]  # fmt: skip


def test_stars_stand_for_the_same(tmp_path: Path) -> None:
    touch(
        tmp_path, "i/1_image.png", "i/2_image.png", "m/2_mask.png", "m/3_mask.png", "i/.1_image.png"
    )
    found = paired(["i/*_image.png"], ["m/*_mask.png"], tmp_path)
    assert pair_names(tmp_path, ["i/*_image.png"], ["m/*_mask.png"]) == [
        ("i/2_image.png", "m/2_mask.png")
    ]
    assert [Path(p).name for p in (*found.alone, *found.spare)] == ["1_image.png", "3_mask.png"]


def test_folders_pair_by_stem(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.jpg", "i/b.JPG", "i/notes.txt", "m/a.png", "m/b.png", "m/b.png.aux.xml")
    assert pair_names(tmp_path, ["i"], ["m"]) == [("i/a.jpg", "m/a.png"), ("i/b.JPG", "m/b.png")]


def test_many_stars_and_deep_folders(tmp_path: Path) -> None:
    touch(tmp_path, "f1/rgb/a.tif", "f2/rgb/a.tif", "f1/lab/a.tif", "f2/lab/a.tif", "f2/lab/c.tif")
    expected = [("f1/rgb/a.tif", "f1/lab/a.tif"), ("f2/rgb/a.tif", "f2/lab/a.tif")]
    assert pair_names(tmp_path, ["*/rgb/*.tif"], ["*/lab/*.tif"]) == expected
    assert pair_names(tmp_path, ["**/rgb/*.tif"], ["**/lab/*.tif"]) == expected


@pytest.mark.parametrize("folder", ["data [1]", "a*b", "why?"])
def test_stars_and_brackets_of_the_base_folder_are_its_name(tmp_path: Path, folder: str) -> None:
    base = tmp_path / folder
    touch(base, "i/1.png", "i/2.png", "m/1_mask.png", "m/2_mask.png")
    assert pair_names(base, ["i/*.png"], ["m/[0-9]_mask.png"]) == [
        ("i/1.png", "m/1_mask.png"), ("i/2.png", "m/2_mask.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        ("i/*.tif", "m/*_mask.png", "images: no file is called i/"),
        ("i/*.png", "m/*_mask.png", "no file of labels belongs to one of images: 1_image.png"),
        ("i", "n", "labels: .*n does not exist"),
        ("i", "empty", "is a folder without pictures"),
    ],
)
def test_what_does_not_pair_is_told(tmp_path: Path, images: str, labels: str, said: str) -> None:
    touch(tmp_path, "i/1_image.png", "i/2_image.png", "m/1_mask.png", "m/2_mask.png", "empty/x.txt")
    with pytest.raises(LabelError, match=said):
        paired([images], [labels], tmp_path)


def pictures(base: Path, *names: str) -> None:
    for name in names:
        for folder, bands in (("i", 3), ("m", 1)):
            (base / folder / name).parent.mkdir(parents=True, exist_ok=True)
            data = np.arange(bands * 6 * 5, dtype=np.uint8).reshape(bands, 6, 5) % 2
            write_picture(base / folder / name, data)


def folders(**more: Any) -> dict[str, Any]:
    return {"kind": "folders", "images": "i", "labels": "m", **more}


def test_what_is_said_of_an_entry_reaches_its_scenes(tmp_path: Path) -> None:
    pictures(tmp_path, "plot1-a.png", "plot1-b.png", "plot2-a.png")
    found = material(
        tmp_path,
        folders(bands="red,nir,-", gsd_m=0.01, group="(plot\\d)-", weight=2, part="validation"),
    )
    first = found.scenes[0]
    assert [band.role for band in first.scene.bands] == ["red", "nir"]
    assert (first.gsd_m, first.group, first.weight) == (0.01, "plot1", 2)
    assert [one.group for one in found.scenes] == ["plot1", "plot1", "plot2"]
    assert found.parts == ("validation",) * 3
    assert found.legend.names == ("soil", "crop", "weed")
    with LabelledReader(first) as reader:
        pixels, codes = reader.read(first.scene.geobox.window)
    assert pixels.data.shape == (2, 6, 5)
    assert set(codes.ravel()) == {0, 1}


def test_a_group_is_found_in_the_path_as_it_is_written(tmp_path: Path) -> None:
    """What the folder is called that holds all of it makes no group."""
    base = tmp_path / "plot9" / "plot8"
    pictures(base, "plot1-a.png", "plot2-a.png")
    pictures(tmp_path / "plot9", "plot3-a.png")

    def groups(images: str, labels: str, group: str = "plot\\d") -> list[str]:
        entry = folders(images=images, labels=labels, group=group)
        return [one.group for one in material(base, entry).scenes]

    assert groups("i", "m") == ["plot1", "plot2"]
    assert groups("./i/*.png", "m/*.png") == ["plot1", "plot2"]
    assert groups("../i", "../m") == ["plot3"]
    assert groups("../i", "../m", r"(\.\.)/i") == [".."]
    assert groups(f"{base}/i", f"{base}/m") == ["plot9", "plot9"], "a path that is given in full"
    assert groups(f"{base}/i/pl*.png", f"{base}/m/pl*.png") == ["plot9", "plot9"]
    with pytest.raises(LabelError, match=r"'plot9' is not found in i/plot1-a\.png;"):
        groups("i", "m", "plot9")


def test_scenes_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    for flight in ("may", "june"):
        (tmp_path / flight).mkdir()
        write_scene(tmp_path / flight / "field.tif")
        write_raster(tmp_path / flight / "labels.tif", np.zeros((1, 30, 40), np.uint8))
    found = material(
        tmp_path, {"kind": "scenes", "scenes": "*/field.tif", "labels": "*/labels.tif"}
    )
    assert [one.name for one in found.scenes] == ["june-field", "may-field"]
    assert [one.group for one in found.scenes] == ["june-field", "may-field"]
    assert "show the same ground; give such scenes one group" in found.notes[0]


def test_one_vector_file_serves_all_scenes(tmp_path: Path) -> None:
    import geopandas as gpd
    import shapely

    write_scene(tmp_path / "a.tif")
    write_scene(tmp_path / "b.tif")
    shape = shapely.box(360123, 5349990, 360130, 5350001)
    gpd.GeoDataFrame({"class": ["crop"]}, geometry=[shape], crs=32633).to_file(
        tmp_path / "all.gpkg"
    )
    found = material(tmp_path, {"kind": "scenes", "scenes": "*.tif", "labels": "all.gpkg"})
    assert [(codes_of(one) == 1).all() for one in found.scenes] == [True, True]


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"values": {0: "sol"}}, LabelError, r"data\[0\]: the class 'sol'.*did you mean 'soil'"),
        ({"values": {"9-3": "soil"}}, OptionError, r"data\[0\].values: '9-3' runs backward"),
        ({"values": {0: "soil", "0-3": "crop"}}, LabelError, "0-3 is listed twice"),
        ({"values": {0: 3}}, OptionError, r"values: 0 is 3; a class is needed"),
        ({"values": [1]}, OptionError, r"values: \[1\] is no mapping"),
        ({"values": {False: "soil"}}, OptionError, "put words such as 'no' in quotes"),
        ({"group": "("}, OptionError, "is no regular expression"),
        ({"group": "field"}, LabelError, "group 'field' is not found in"),
        (
            {"sensor": "rededg"},
            OptionError,
            "sensor: 'rededg' is unknown; did you mean micasense-rededge",
        ),
        ({"bands": "red,nir"}, BandError, r"data\[0\]: --bands names 2 bands"),
        ({"gsd_m": 0}, OptionError, "gsd_m is 0; more than 0"),
        ({"elsewhere": "soil"}, OptionError, "elsewhere is no key here"),
    ],
)
def test_faults_in_entries(
    tmp_path: Path, more: dict[str, Any], error: type[Exception], said: str
) -> None:
    pictures(tmp_path, "a.png")
    with pytest.raises(error, match=said) as fault:
        material(tmp_path, folders(**more))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("legend", "said"),
    [
        ({"soil": "brown"}, "the colour of soil is 'brown'"),
        ([], "is no legend"),
        ([3], "the class 3 is no word"),
        (["soil", "soil"], "two classes have the same name"),
    ],
)
def test_legends_that_make_no_sense(tmp_path: Path, legend: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        read_data(write_yaml(tmp_path, {"legend": legend, "data": [folders()]}))


def write_yaml(base: Path, values: Any) -> Path:
    path = base / "data.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_configuration_is_relative_to_its_file(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png")
    path = write_yaml(tmp_path, {"legend": COLORS, "data": folders(), "model": {"any": 1}})
    assert [one.name for one in read_data(path).scenes] == ["a", "b"]
    without = write_yaml(tmp_path, {"data": [folders()]})
    assert read_data(
        without, legend=Legend.of(("a", "#000000"), ("b", "#ffffff"))
    ).legend.names == (
        "a",
        "b",
    )
    with pytest.raises(OptionError, match="legend is missing"):
        read_data(without)
    with pytest.raises(OptionError, match="data is missing; did you mean date"):
        read_data(write_yaml(tmp_path, {"date": [], "legend": COLORS}))


def test_simulated_scenes_and_datasets(tmp_path: Path) -> None:
    small = {"width": 48, "height": 40, "seed": 2, "border_m": 0.0}
    simulate({"kind": "dataset", "scenes": 2, **small, "crop": ["beet", "maize"]}, tmp_path / "set")
    found = read_data(tmp_path / "set")
    assert [one.name for one in found.scenes] == ["scene-000001", "scene-000002"]
    assert found.legend.names == ("soil", "crop", "weed")
    single = read_data(tmp_path / "set" / "scene-000002")
    np.testing.assert_array_equal(codes_of(single.scenes[0]), codes_of(found.scenes[1]))
    values = {"soil": "soil", "crop": "plant", "weed": "plant"}
    entry = {"kind": "simulated", "folder": "set", "values": values}
    plants = material(tmp_path, entry, legend=["soil", "plant"])
    known = codes_of(found.scenes[0]) != 255
    both = codes_of(plants.scenes[0])
    assert ((codes_of(found.scenes[0]) > 0) == both)[known].all()
    with pytest.raises(LabelError, match=r"calls its value 1 'crop', which is not in the legend"):
        codes_of(read_data(tmp_path / "set", legend=Legend.of(("soil", "#000000"))).scenes[0])
    with pytest.raises(LabelError, match=r"holds no scene.tif with labels.tif"):
        read_data(tmp_path)


def test_a_scene_with_labels(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif")
    write_raster(tmp_path / "l.tif", np.ones((1, 30, 40), np.uint8))
    legend = Legend.of(("soil", "#000000"), ("crop", "#ffffff"))
    found = read_data(tmp_path / "s.tif", labels=tmp_path / "l.tif", legend=legend)
    assert (codes_of(found.scenes[0]) == 1).all()
    with pytest.raises(LabelError, match="does not name its classes"):
        read_data(tmp_path / "s.tif", labels=tmp_path / "l.tif")
    with pytest.raises(LabelError, match="comes without labels"):
        read_data(tmp_path / "s.tif")
    with pytest.raises(LabelError, match="no such file or folder"):
        read_data(tmp_path / "none.tif")


CWFID = {
    "kind": "folders",
    "images": "images/*_image.png",
    "labels": "annotations/*_annotation.png",
    "bands": "red,nir,-",
    "values": {"#000000": "soil", "#00ff00": "crop", "#ff0000": "weed"},
}


@pytest.mark.skipif(not (DATA / "cwfid").is_dir(), reason=f"needs {DATA / 'cwfid'}")
def test_real_annotations_in_colours() -> None:
    found = material(DATA / "cwfid", CWFID)
    assert len(found.scenes) == 39
    assert np.bincount(codes_of(found.scenes[0]).ravel()).tolist() == [1127789, 12851, 111296]


@pytest.mark.skipif(not (DATA / "cwf788").is_dir(), reason=f"needs {DATA / 'cwf788'}")
def test_real_masks_that_forbid_a_class() -> None:
    values = {"128-255": "crop", "0-127": "soil or weed"}
    entry = {
        "kind": "folders",
        "images": "validation",
        "labels": "validationlabel",
        "values": values,
    }
    found = material(DATA / "cwf788", entry)
    assert len(found.scenes) == 88
    assert set(np.unique(codes_of(found.scenes[0]))) == {1, 3}
