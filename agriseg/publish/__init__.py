"""Results as others open them: QGIS projects, styles, pages, quicklooks, catalogue items."""

from agriseg.publish.quicklook import write_quicklook
from agriseg.publish.report import REPORT_FILE, write_report
from agriseg.publish.stac import write_item
from agriseg.publish.verb import PROJECT_FILE, refresh_project, try_project, write_project

__all__ = [
    "PROJECT_FILE",
    "REPORT_FILE",
    "refresh_project",
    "try_project",
    "write_item",
    "write_project",
    "write_quicklook",
    "write_report",
]
