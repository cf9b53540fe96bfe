"""The field simulator: a scene with perfect labels, drawn from a seed.

The package is itself the verb: `agriseg.simulate("recipe.yaml", "out")` is `verb.simulate`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from agriseg.simulate.field import LEGEND, Rendering, render
from agriseg.simulate.recipe import FieldRecipe

__all__ = ["LEGEND", "FieldRecipe", "Rendering", "render"]


class _Verb(ModuleType):
    # Python sets `agriseg.simulate` to this package when any part of it is loaded; a function of
    # the same name would come and go with the order of imports.
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        from agriseg.simulate.verb import simulate

        return simulate(*args, **keywords)


sys.modules[__name__].__class__ = _Verb
