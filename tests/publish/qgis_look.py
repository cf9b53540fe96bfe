"""What QGIS makes of files; run by the system's Python, which has QGIS and not agriseg.

    python3 qgis_look.py TASK FILE...        prints JSON

Two builds of GDAL must not meet in one process, so nothing of agriseg is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp()

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

_SIDE = 400


def _legend(layer: QgsMapLayer) -> list[tuple[str, str]]:
    """(label, colour) of each class; nothing of other layers."""
    renderer = layer.renderer()
    if renderer is None:
        return []
    kind = renderer.type()
    if kind == "paletted":
        return [(one.label, one.color.name()) for one in renderer.classes()]
    if kind == "categorizedSymbol":
        return [(one.label(), one.symbol().color().name()) for one in renderer.categories()]
    if kind == "graduatedSymbol":
        return [(one.label(), one.symbol().color().name()) for one in renderer.ranges()]
    return []


def _facts(layer: QgsMapLayer) -> dict:
    extent = layer.extent()
    facts = {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "crs_valid": layer.crs().isValid(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
    }
    if layer.isValid():
        facts["renderer"] = layer.renderer().type()
        facts["legend"] = _legend(layer)
    if isinstance(layer, QgsVectorLayer):
        facts["count"] = layer.featureCount()
        facts["labels"] = layer.labelsEnabled()
        if facts["labels"]:
            thinned = layer.labeling().settings().thinningSettings()
            facts["labelled_from_mm"] = thinned.minimumFeatureSize()
    return facts


def _pixels(layers: list, crs: object, extent: QgsRectangle, places: list) -> list[str]:
    """Colours of a drawn map at places (x, y) of its CRS."""
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(crs)
    settings.setExtent(extent)
    settings.setOutputSize(QSize(_SIDE, _SIDE))
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    found = []
    for x, y in places:
        at = settings.mapToPixel().transform(QgsPointXY(x, y))
        found.append(image.pixelColor(int(at.x()), int(at.y())).name())
    return found


def project(path: str, places: str = "{}") -> dict:
    """A project: its layers by group, and the colours at places where given layers are drawn."""
    found = QgsProject.instance()
    read = found.read(path)
    nodes = found.layerTreeRoot().findLayers()
    layers = [
        {
            "group": node.parent().name(),
            "name": node.name(),
            "shown": node.isVisible(),
            **(_facts(node.layer()) if node.layer() else {"valid": False}),
        }
        for node in nodes
    ]
    drawn = {}
    for name, points in json.loads(places).items():
        chosen = [
            one.layer() for one in nodes if one.name() == name or (not name and one.isVisible())
        ]
        drawn[name] = _pixels(chosen, found.crs(), chosen[-1].extent(), points)
    view = found.viewSettings().fullExtent()
    return {
        "read": read,
        "title": found.title(),
        "crs": found.crs().authid(),
        "about": found.metadata().abstract(),
        "author": found.metadata().author(),
        "variables": {k: str(v) for k, v in found.customVariables().items()},
        "area_unit": found.areaUnits(),
        "view": [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()],
        "layers": layers,
        "drawn": drawn,
    }


def alone(*paths: str) -> list[dict]:
    """Files, each opened by itself."""
    return [
        _facts(
            QgsVectorLayer(path, "x", "ogr")
            if path.endswith(".gpkg")
            else QgsRasterLayer(path, "x", "gdal")
        )
        for path in paths
    ]


def processing(classes: str, segments: str) -> dict:
    """Areas of unique values, and faults of polygons, as QGIS's own tools find them."""
    sys.path.append(os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"))
    import processing as tools
    from processing.core.Processing import Processing
    from qgis.analysis import QgsNativeAlgorithms

    Processing.initialize()
    registry = QgsApplication.processingRegistry()
    if registry.providerById("native") is None:
        registry.addProvider(QgsNativeAlgorithms())
    report = tools.run(
        "native:rasterlayeruniquevaluesreport",
        {"INPUT": classes, "BAND": 1, "OUTPUT_TABLE": "memory:"},
    )
    rows = [row.attributes() for row in report["OUTPUT_TABLE"].getFeatures()]
    checked = tools.run(
        "qgis:checkvalidity",
        {
            "INPUT_LAYER": segments,
            "METHOD": 2,
            "IGNORE_RING_SELF_INTERSECTION": False,
            "VALID_OUTPUT": "memory:",
            "INVALID_OUTPUT": "memory:",
            "ERROR_OUTPUT": "memory:",
        },
    )
    return {
        "areas_m2": {str(int(row[0])): row[2] for row in rows},
        "nodata": report["NODATA_PIXEL_COUNT"],
        "valid": checked["VALID_COUNT"],
        "invalid": checked["INVALID_COUNT"],
    }


def main() -> None:
    application = QgsApplication([], False)
    application.initQgis()
    tasks = {"project": project, "alone": alone, "processing": processing}
    found = tasks[sys.argv[1]](*sys.argv[2:])
    print("FOUND " + json.dumps(found))
    sys.stdout.flush()
    # The usual exit can crash while layers live.
    os._exit(0)


main()
