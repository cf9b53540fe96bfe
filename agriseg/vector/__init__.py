"""From class rasters to polygons that share their borders."""

from agriseg.vector.segments import OnStage, PolygonOptions, Segments
from agriseg.vector.source import open_classes
from agriseg.vector.vectorize import make_segments, vectorize

__all__ = ["OnStage", "PolygonOptions", "Segments", "make_segments", "open_classes", "vectorize"]
