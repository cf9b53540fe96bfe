"""Pictures for notebooks and papers: `agriseg.plot`.

    agriseg.plot.classes(run)
    agriseg.plot.index(run, "NDVI")

Each function draws one thing, on `ax` where that is given, and returns the axes. Maps are north up
and true in their proportions, whatever the CRS; vectors that are drawn onto a map are brought into
its CRS. Large rasters are read from their overviews, so memory is bounded.
"""

from agriseg.publish.plot.areas import areas, fields, weeds, zones
from agriseg.publish.plot.charts import confusion, season
from agriseg.publish.plot.interactive import interactive
from agriseg.publish.plot.rasters import classes, index, overlay, run, scene

__all__ = [
    "areas",
    "classes",
    "confusion",
    "fields",
    "index",
    "interactive",
    "overlay",
    "run",
    "scene",
    "season",
    "weeds",
    "zones",
]
