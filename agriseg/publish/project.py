"""A QGIS project: layers in groups, where they lie, and where they come from; a .qgz file.

The .qgz is a zip with one XML file. The same layers come to the same bytes: ids are made of names,
and no time of day is in it.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rasterio.crs

from agriseg.errors import OutputError
from agriseg.publish.layers import Group, Layer
from agriseg.publish.styles import OLDEST_QGIS
from agriseg.publish.xml import child, document
from agriseg.raster.whole_file import write_bytes
from agriseg.vector.lonlat import wkt_of

__all__ = ["Project", "is_ours", "write_qgz"]

# A zip has no time of day in it before this one.
_STAMP = (1980, 1, 1, 0, 0, 0)
_MARK = b"written by agriseg"
"""In the comment of the zip; what QGIS saves has none."""


@dataclass(frozen=True)
class Project:
    """What a project file says.

    Args:
        title: For the window.
        about: Where it all comes from, a few lines.
        crs: Of the map; None where there is none.
        extent: (left, bottom, right, top) that is shown at first.
        groups: The layers, the topmost group first.
        facts: Variables of the project, for layouts: `@agriseg_model`.
        made: When the map was made, as in `2026-11-30T11:50:53Z`.
    """

    title: str
    about: str
    crs: rasterio.crs.CRS | None
    extent: tuple[float, float, float, float]
    groups: Sequence[Group]
    facts: Mapping[str, str] = field(default_factory=dict)
    made: str = ""

    def qgs(self) -> bytes:
        """The XML file."""
        root = ET.Element("qgis", version=OLDEST_QGIS, projectname=self.title)
        child(root, "title", self.title)
        if self.crs is not None:
            _srs(child(root, "projectCrs"), self.crs)
        tree = child(root, "layer-tree-group")
        for group in self.groups:
            _group(tree, group)
        self._canvas(root)
        layers = child(root, "projectlayers")
        for layer in self.layers:
            _layer(layers, layer)
        self._properties(root)
        _metadata(child(root, "projectMetadata"), self.title, self.about, self.made)
        return document(root)

    @property
    def layers(self) -> list[Layer]:
        return [layer for group in self.groups for layer in group.layers]

    def _canvas(self, root: ET.Element) -> None:
        canvas = child(root, "mapcanvas", name="theMapCanvas", annotationsVisible=1)
        degrees = self.crs is not None and self.crs.is_geographic
        child(canvas, "units", "degrees" if degrees else "meters")
        _extent(child(canvas, "extent"), self.extent)
        child(canvas, "rotation", 0)
        if self.crs is not None:
            _srs(child(canvas, "destinationsrs"), self.crs)

    def _properties(self, root: ET.Element) -> None:
        properties = child(root, "properties")
        child(child(properties, "Paths"), "Absolute", "false", type="bool")
        # Else QGIS takes no notice of the project's CRS.
        enabled = int(self.crs is not None)
        child(child(properties, "SpatialRefSys"), "ProjectionsEnabled", enabled, type="int")
        units = child(properties, "Measurement")
        child(units, "DistanceUnits", "meters", type="QString")
        child(units, "AreaUnits", "ha", type="QString")
        # What is measured by hand is true ground area, as our numbers are.
        child(child(properties, "Measure"), "Ellipsoid", "EPSG:7030", type="QString")
        variables = child(properties, "Variables")
        for tag, values in (
            ("variableNames", self.facts.keys()),
            ("variableValues", self.facts.values()),
        ):
            texts = child(variables, tag, type="QStringList")
            for text in values:
                child(texts, "value", text)


def _srs(parent: ET.Element, crs: rasterio.crs.CRS) -> None:
    system = child(parent, "spatialrefsys", nativeFormat="Wkt")
    # Without it QGIS finds the CRS invalid, whatever the authority says.
    child(system, "wkt", wkt_of(crs))
    authority = crs.to_authority()
    if authority is not None:
        child(system, "authid", ":".join(authority))
    child(system, "geographicflag", "true" if crs.is_geographic else "false")


def _extent(parent: ET.Element, extent: tuple[float, float, float, float]) -> None:
    left, bottom, right, top = extent
    for tag, value in (("xmin", left), ("ymin", bottom), ("xmax", right), ("ymax", top)):
        child(parent, tag, repr(float(value)))


def _checked(shown: bool) -> str:
    return "Qt::Checked" if shown else "Qt::Unchecked"


def _group(tree: ET.Element, group: Group) -> None:
    node = child(
        tree,
        "layer-tree-group",
        name=group.name,
        checked=_checked(group.shown),
        expanded=int(group.expanded),
    )
    for member in group.members:
        if isinstance(member, Group):
            _group(node, member)
            continue
        child(
            node,
            "layer-tree-layer",
            id=member.key,
            name=member.name,
            source=member.source,
            providerKey="gdal" if member.kind == "Raster" else "ogr",
            checked=_checked(member.shown),
            expanded=int(member.shown),
        )


def _layer(parent: ET.Element, layer: Layer) -> None:
    raster = layer.kind == "Raster"
    more = {} if raster else {"geometry": layer.kind}
    element = child(parent, "maplayer", type="raster" if raster else "vector", **more)
    child(element, "id", layer.key)
    child(element, "datasource", layer.source)
    child(element, "layername", layer.name)
    if layer.crs is not None:
        _srs(child(element, "srs"), layer.crs)
    if raster:
        child(element, "provider", "gdal")
    else:
        child(element, "provider", "ogr", encoding="UTF-8")
    if layer.about:
        _metadata(child(element, "resourceMetadata"), layer.name, layer.about)
    layer.style.put(element)


def _metadata(parent: ET.Element, title: str, about: str, made: str = "") -> None:
    for tag in ("identifier", "parentidentifier", "language"):
        child(parent, tag)
    child(parent, "type", "dataset")
    child(parent, "title", title)
    child(parent, "abstract", about)
    child(parent, "links")
    if made:
        child(child(parent, "dates"), "date", type="Created", value=made)
        child(parent, "author", "agriseg")
        child(parent, "creation", made)


def is_ours(path: Path) -> bool:
    """Whether a project is as we wrote it: QGIS, when it saves one, makes a new zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == _MARK
    except (OSError, zipfile.BadZipFile):
        return False


def write_qgz(path: Path, project: Project, *, overwrite: bool = False) -> None:
    """Write a project file.

    Args:
        path: Where it goes; ends in .qgz.
        project: What it says.
        overwrite: Also replace a project that somebody has saved in QGIS.

    Raises:
        OutputError: It cannot be written, or would replace somebody's work.
    """
    if path.exists() and not overwrite and not is_ours(path):
        raise OutputError(
            f"{path} was saved in QGIS since it was made, and is left as it is; write another one "
            "with -o FILE.qgz, or replace it with --overwrite"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # Always of this name: inside a zip it is nobody's business what the zip is called.
        entry = zipfile.ZipInfo("result.qgs", _STAMP)
        entry.compress_type = zipfile.ZIP_DEFLATED
        # As on Unix, whatever the machine.
        entry.create_system, entry.external_attr = 3, 0o644 << 16
        archive.writestr(entry, project.qgs())
        archive.comment = _MARK
    write_bytes(path, buffer.getvalue())
