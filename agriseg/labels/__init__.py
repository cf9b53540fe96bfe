"""Labels: what is known of a scene's pixels, from any source, on the scene's own grid."""

from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.labelled import LabelledReader, LabelledScene, LabelReader, Labels
from agriseg.labels.material import Material, open_material

__all__ = [
    "IGNORE",
    "Codes",
    "LabelReader",
    "LabelledReader",
    "LabelledScene",
    "Labels",
    "Material",
    "open_material",
]
