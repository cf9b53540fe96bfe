"""Labels: what is known of a scene's pixels, from any source, on the scene's own grid."""

from agriseg.labels.check import Findings, check_material, check_survey
from agriseg.labels.codes import IGNORE, Codes
from agriseg.labels.division import chosen, part_of
from agriseg.labels.labelled import LabelledReader, LabelledScene, LabelReader, Labels
from agriseg.labels.material import Material, open_material
from agriseg.labels.read_data import read_data
from agriseg.labels.split import Split, SplitSettings, make_split
from agriseg.labels.survey import Survey, survey

__all__ = [
    "IGNORE",
    "Codes",
    "Findings",
    "LabelReader",
    "LabelledReader",
    "LabelledScene",
    "Labels",
    "Material",
    "Split",
    "SplitSettings",
    "Survey",
    "check_material",
    "check_survey",
    "chosen",
    "make_split",
    "open_material",
    "part_of",
    "read_data",
    "survey",
]
