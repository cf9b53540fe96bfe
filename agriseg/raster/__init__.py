"""Raster scenes: what they are, how their pixels are read, and how maps are written."""

from agriseg.raster.describe import BandReport, SceneReport, describe_scene
from agriseg.raster.masks import AreaMask, BandMask, ClassMask, read_area
from agriseg.raster.opening import Inputs, SceneOptions, narrow, open_scene, parse_bands
from agriseg.raster.reader import SceneReader
from agriseg.raster.sample import sample_pixels
from agriseg.raster.scene import FACTS, Pixels, Scene
from agriseg.raster.sources import Source, find_sources

__all__ = [
    "FACTS",
    "AreaMask",
    "BandMask",
    "BandReport",
    "ClassMask",
    "Inputs",
    "Pixels",
    "Scene",
    "SceneOptions",
    "SceneReader",
    "SceneReport",
    "Source",
    "describe_scene",
    "find_sources",
    "narrow",
    "open_scene",
    "parse_bands",
    "read_area",
    "sample_pixels",
]
