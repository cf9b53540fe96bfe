"""Spectral indices: which a scene can have, their values on pixels, and rasters of them.

The package is itself the verb: `agriseg.indices("field.tif", ["NDVI"], "ndvi.tif")` is
`write_indices`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from agriseg.indices.choice import Index, available, default_indices, find_index
from agriseg.indices.compute import Values, compute
from agriseg.indices.verb import write_indices

__all__ = [
    "Index",
    "Values",
    "available",
    "compute",
    "default_indices",
    "find_index",
    "write_indices",
]


class _Verb(ModuleType):
    # Python sets `agriseg.indices` to this package when any part of it is loaded; a function of
    # the same name would come and go with the order of imports.
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return write_indices(*args, **keywords)


sys.modules[__name__].__class__ = _Verb
