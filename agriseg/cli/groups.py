"""Options that belong together, each group as one value that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from agriseg.bands import SENSORS
from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.complete import among, band_names, several
from agriseg.errors import OptionError

if TYPE_CHECKING:
    from agriseg.raster import Scene
    from agriseg.raster.opening import SceneOptions

__all__ = ["ClassKinds", "OutlineColumns", "Part", "Predicting", "Reading"]


@dataclass(frozen=True)
class Reading:
    """How the numbers of a scene are read."""

    bands: Annotated[
        str | None,
        opt.value(
            "--bands",
            "ROLES",
            "Role of each band in the file's order (blue,green,red,rededge,nir; '-' leaves one "
            "out, 'alpha' marks usable pixels, red@1 carries a date), or numbers: red=3,nir=5. "
            "Default: what the file tells.",
            opt.READING,
            several(band_names),
        ),
    ] = None
    sensor: Annotated[
        str | None,
        opt.value(
            "--sensor",
            "NAME",
            f"Sensor preset: {', '.join(SENSORS)}.",
            opt.READING,
            among(*SENSORS),
        ),
    ] = None
    scale: Annotated[
        float | None,
        opt.value(
            "--scale",
            "SCALE",
            "Reflectance = value x SCALE + OFFSET. Default: the preset's or the file's own.",
            opt.READING,
        ),
    ] = None
    offset: Annotated[
        float | None, opt.value("--offset", "OFFSET", "See --scale.", opt.READING)
    ] = None
    nodata: opt.Nodata = None
    mask: Annotated[
        list[str] | None,
        opt.value(
            "--mask",
            "FILE:VALUES",
            "Class raster and the values to hide, as SCL.tif:0,1,3,8,9,10,11; or clouds.tif:2:1,2, "
            "of its second band. Repeatable.",
            opt.READING,
        ),
    ] = None
    mask_grow_m: Annotated[
        float,
        opt.value(
            "--mask-grow-m",
            "METRES",
            "Hide everything within this many metres of the masked classes too.",
            opt.READING,
        ),
    ] = 0.0

    def keywords(self) -> SceneOptions:
        """As `open_scene` takes them."""
        return {
            "bands": self.bands,
            "sensor": self.sensor,
            "scale": self.scale,
            "offset": self.offset,
            "nodata": self.nodata,
            "masks": self.mask or [],
            "mask_grow_m": self.mask_grow_m,
        }

    def open(self, paths: Sequence[str], verb: str) -> Scene:
        """The one scene that a command takes.

        Raises:
            OptionError: There are several.
        """
        from agriseg.raster import find_sources

        sources = find_sources(paths)
        if len(sources) != 1:
            raise OptionError(f"{len(sources)} scenes are given; {verb} takes one at a time")
        return sources[0].open(**self.keywords())


@dataclass(frozen=True)
class Part:
    """Which part of a scene, and at which pixel size."""

    bounds: Annotated[
        str | None,
        opt.value(
            "--bounds", "L,B,R,T", "Left, bottom, right and top in the scene's CRS.", opt.PART
        ),
    ] = None
    cutline: Annotated[
        str | None,
        opt.value(
            "--cutline",
            "FILE",
            "A vector file with polygons, in any CRS: only inside them.",
            opt.PART,
        ),
    ] = None
    gsd: Annotated[
        float | None,
        opt.value(
            "--gsd", "METRES", "Work at this pixel size. Default: the scene's own.", opt.PART
        ),
    ] = None

    def keywords(self) -> dict[str, Any]:
        """As `narrow` takes them."""
        bounds = said.numbers(self.bounds, "--bounds", 4)
        return {"bounds": bounds, "cutline": self.cutline, "gsd_m": self.gsd}


@dataclass(frozen=True)
class Predicting:
    """What computes a model, and on which chips."""

    chip: Annotated[
        int | None,
        opt.value("--chip", "PIXELS", "Side of a chip. Default: the model's.", opt.MODEL),
    ] = None
    overlap: Annotated[
        int | None,
        opt.value(
            "--overlap", "PIXELS", "What neighbouring chips share. Default: the model's.", opt.MODEL
        ),
    ] = None
    batch: Annotated[
        int | None,
        opt.value(
            "--batch", "N", "Chips predicted at once. Default: 1 on a CPU, 4 on a GPU.", opt.MODEL
        ),
    ] = None
    engine: Annotated[
        str,
        opt.value(
            "--engine",
            "NAME",
            "auto, openvino or torch; onnxruntime computes ONNX files (and auto means it there).",
            opt.MODEL,
            among("auto", "openvino", "torch", "onnxruntime"),
        ),
    ] = "auto"
    device: Annotated[
        str,
        opt.value(
            "--device",
            "NAME",
            "auto, cpu, cuda or cuda:N.",
            opt.MODEL,
            among("auto", "cpu", "cuda"),
        ),
    ] = "auto"
    precision: Annotated[
        str,
        opt.value(
            "--precision",
            "NAME",
            "auto, float32, bfloat16, or int8 (faster on CPUs, calibrated on the scene).",
            opt.MODEL,
            among("auto", "float32", "bfloat16", "int8"),
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        opt.value(
            "--threads",
            "N",
            "CPU threads that predict, a chip each. Default: all cores that memory bears.",
            opt.MODEL,
        ),
    ] = None
    tta: Annotated[
        str,
        opt.value(
            "--tta",
            "NAME",
            "Test-time augmentation: none, flips (4 times the work) or turns (8 times).",
            opt.MODEL,
            among("none", "flips", "turns"),
        ),
    ] = "none"
    ignore_gsd: Annotated[
        bool,
        opt.flag("--ignore-gsd", "Use the model far outside its range of pixel sizes.", opt.MODEL),
    ] = False
    trust_model: opt.TrustModel = False

    def keywords(self) -> dict[str, Any]:
        """As `segment` and `evaluate` take them."""
        found = dict(self.__dict__)
        found["trust"] = found.pop("trust_model")
        return found


@dataclass(frozen=True)
class OutlineColumns:
    """What the columns of a user's outlines are, and how much of their edges is left out."""

    id_col: Annotated[
        str | None,
        opt.value(
            "--id-col",
            "COLUMN",
            "Column of your outlines with the ids, which must differ. Default: they are numbered.",
            opt.FIELDS,
        ),
    ] = None
    name_col: Annotated[
        str | None,
        opt.value(
            "--name-col",
            "COLUMN",
            "Column of your outlines with the names. Default: name, if there is one.",
            opt.FIELDS,
        ),
    ] = None
    inset_m: Annotated[
        float,
        opt.value(
            "--inset-m",
            "METRES",
            "Leave out so much along the edges of your outlines, as of plots.",
            opt.FIELDS,
        ),
    ] = 0.0

    def keywords(self) -> dict[str, Any]:
        """As `segment`, `field_health` and `fields` take them."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class ClassKinds:
    """Which classes are crop, weeds and bare, where their names do not tell."""

    crop: Annotated[
        str | None,
        opt.value(
            "--crop",
            "NAMES",
            "Classes that are crop: maize,beet. Default: all but weed, soil, tracks and the like. "
            "Numbers, where the map names no classes.",
            opt.CLASSES,
        ),
    ] = None
    weed: opt.Weed = None
    ground: Annotated[
        str | None,
        opt.value(
            "--ground",
            "NAMES",
            "Classes that are bare: stubble,road. Default: what their names tell.",
            opt.CLASSES,
        ),
    ] = None

    def keywords(self) -> dict[str, Any]:
        """As `field_health` and `fields` take them."""
        return {name: said.words(text, f"--{name}") for name, text in self.__dict__.items()}
