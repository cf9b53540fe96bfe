"""The field simulator: a scene with perfect labels, drawn from a seed."""

from agriseg.simulate.field import LEGEND, Rendering, render
from agriseg.simulate.recipe import FieldRecipe
from agriseg.simulate.sample import write_sample

__all__ = ["LEGEND", "FieldRecipe", "Rendering", "render", "write_sample"]
