"""A scene: the bands, the grid they are read on, and what is known about them. No open files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agriseg.bands import Band, Radiometry, find_band
from agriseg.errors import BandError, OptionError
from agriseg.geobox import GeoBox, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray

    from agriseg.raster.lazy import Chunks
    from agriseg.raster.masks import Mask

__all__ = ["FACTS", "Pixels", "Scene"]

FACTS = ("date", "client", "farm", "field", "crop", "growth_stage")
"""What users say about a scene, beside facts of their own; it travels into every output."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of some bands of a scene.

    Args:
        data: (bands, height, width) float32 reflectance; undefined where not valid.
        valid: (height, width) bool, True where every band can be used.
    """

    data: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Everything that is known about one raster scene; cheap to pickle, holds no open file.

    Args:
        name: What results are called; the file's stem unless the user says otherwise.
        bands: All bands that have a role or might get one.
        geobox: The grid on which pixels are read; bands on other grids are resampled to it.
        radiometry: How numbers become reflectance.
        masks: What hides pixels beyond the bands' own nodata.
        about: Facts from the user (`FACTS`, and others).
    """

    name: str
    bands: tuple[Band, ...]
    geobox: GeoBox
    radiometry: Radiometry
    masks: tuple[Mask, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The name becomes a folder: it must be one, and stay inside the output folder.
        if not self.name.strip() or self.name in (".", "..") or set(self.name) & set("/\\\0"):
            raise OptionError(
                f"{self.name!r} cannot be the name of a scene, which names its folder; give "
                "another with --name"
            )

    def band(self, key: str) -> Band:
        """The band that serves as `key`, a role or `role@date`.

        Raises:
            BandError: The scene has no such band; the message says which it has.
        """
        band = find_band(self.bands, key)
        if band is None:
            raise BandError(f"{self.name} has no band {key!r}; {self.band_summary()}")
        return band

    def has(self, key: str) -> bool:
        return find_band(self.bands, key) is not None

    def band_summary(self) -> str:
        """The bands in words, for messages."""
        named = [band.key for band in self.bands if band.key]
        unnamed = len(self.bands) - len(named)
        words = f"it has {', '.join(named)}" if named else "none of its bands has a role"
        return words + (f" and {unnamed} without a role" if named and unnamed else "")

    def crop(self, window: Window) -> Scene:
        """The part of the scene under `window`, on the same pixels."""
        return replace(self, geobox=self.geobox.crop(window))

    def at_gsd(self, gsd_m: float) -> Scene:
        """The scene resampled to `gsd_m` metres a pixel, on a grid of the same origin and axes."""
        return replace(self, geobox=self.geobox.at_gsd(gsd_m))

    def read(self, window: Window | None = None, keys: Sequence[str] | None = None) -> Pixels:
        """Read reflectance and the valid mask.

        Args:
            window: Which pixels of `geobox`; all of them by default.
            keys: Roles, or `role@date`, in the order wanted; all bands with a role by default.

        Raises:
            BandError: A band is not there.
            ReadError: Pixels cannot be read; the message names file and window.
        """
        from agriseg.raster.reader import SceneReader

        with SceneReader(self, keys) as reader:
            return reader.read(window or self.geobox.window)

    def to_xarray(
        self,
        *,
        keys: Sequence[str] | None = None,
        chunks: Chunks = None,
        masked: bool = True,
    ) -> xarray.DataArray:
        """The scene as a lazy array: dask reads pixels when they are asked for.

        Its CRS and transform are at `.rio.crs` and `.rio.transform()`. x and y are coordinates of
        pixel centres. A turned grid has none, since they would be of two dimensions: there only the
        transform tells the place, and `scene.crop(window).to_xarray()` takes a part, since slicing
        leaves the transform as it was.

        Args:
            keys: Roles, or `role@date`, in the order wanted; all bands with a role by default.
            chunks: Sides of the chunks in pixels: one number, (rows, columns), or {"y": ..., "x":
                ...}; by default about a million pixels, in whole blocks of the file.
            masked: Make pixels NaN where a band of `keys` is not valid. Else they keep whatever the
                files hold there, and nothing tells them apart.

        Returns:
            (band, y, x) float32 reflectance; `band` holds the keys. Beside it lies `wavelength` in
            nm (NaN: unknown); the attributes tell the scene's name, its ground sampling distance
            in metres, and what roles and scale were taken from.

        Raises:
            BandError: A band is not there.
            OptionError: The chunks make no sense.
            ReadError: Pixels cannot be read; raised where they are asked for.
        """
        from agriseg.raster.lazy import to_xarray

        return to_xarray(self, keys=keys, chunks=chunks, masked=masked)
