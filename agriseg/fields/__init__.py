"""Fields on a class map: their outlines, their rows, and the numbers that a farm acts on.

The package is itself the verb: `agriseg.fields("classes.tif")` is `verb.fields`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__: list[str] = []


class _Verb(ModuleType):
    # Python sets `agriseg.fields` to this package when any part of it is loaded; a function of the
    # same name would come and go with the order of imports.
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        from agriseg.fields.verb import fields

        return fields(*args, **keywords)


sys.modules[__name__].__class__ = _Verb
