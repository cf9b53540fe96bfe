"""Fields on maps of fields and boundaries: neighbours stay apart where a boundary is faint."""

from agriseg.fields.delineation.delineate import delineate
from agriseg.fields.delineation.fiboa import to_fiboa

__all__ = ["delineate", "to_fiboa"]
