"""Vegetation or soil from a spectral index: no training, no weights, any camera.

The index is NDVI where a scene has red and near infrared (Rouse et al. 1974), else excess green on
chromatic coordinates, ExG = (2 g - r - b) / (r + g + b) (Woebbecke et al. 1995, Trans. ASAE 38).
The threshold is Otsu's (1979) over a sample of the whole scene, as Torres-Sanchez et al. (2015,
Comput. Electron. Agric. 114) found it to work for both indices on drone images of row crops.

Otsu's method always splits, also where there is one surface only, and then through its noise. So:

- Where the two sides of the split are nearer than a least contrast, the scene counts as one surface
  and the usual threshold is taken. A normal distribution split at its mean has sides 1.6 standard
  deviations apart; the least contrast is that of a standard deviation of 0.09 NDVI or 0.03 ExG.
- Otherwise the threshold is kept within a plausible range. NDVI 0.20 to 0.60: bare soils have 0.2
  +- 0.1 (Montandon and Small 2008, Remote Sens. Environ. 112, 2906 soils), and the NDVI thresholds
  method takes soil below 0.2 and full cover above 0.5 (Sobrino and Raissouni 2000, Int. J. Remote
  Sens. 21). ExG 0.04 to 0.20: grey soils have 0, and the single threshold that agrees best with the
  labels of the Eschikon Wheat Segmentation images is 0.03 to 0.14 (5th and 95th percentile), in the
  middle 0.075.

The usual thresholds are NDVI 0.30 (soil's mean and one standard deviation; the best single
threshold on CWFID's carrots is 0.25 to 0.33) and ExG 0.08. Contrast and range raise the mean plant
IoU of Otsu's bare threshold, image by image, from 0.49 to 0.55 on 48 images of the wheat and from
0.63 to 0.70 on 20 images of the carrots.

Between rows the ground lies in shade, lit by what passed through or off the leaves, and has the
NDVI of leaves. It is dark all the same: where a pixel is fine enough to lie in one shadow (a metre
at the most), vegetation must also reach 0.3 of the near infrared that the brighter vegetation of
the scene (its 90th percentile) has. That raises the mean plant IoU on 20 images of the carrots from
0.71 to 0.76, and parts the rows of a vineyard whose shade plain NDVI took for vines. Leaves in deep
shade are lost with the ground around them. Excess green has no such rule.

Water and other green things are what the index makes of them: this is a baseline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agriseg._version import __version__
from agriseg.errors import BandError
from agriseg.legend import Legend
from agriseg.models.card import BandInput, ModelCard
from agriseg.models.engines import numpy_isa

if TYPE_CHECKING:
    from agriseg.models.predictor import SampleOf
    from agriseg.raster import Scene

__all__ = ["BASELINE", "INDICES", "Index", "IndexBaseline", "Split", "split"]

BASELINE = "index-baseline"

_SAMPLE = 1_000_000
_SHADE_SHARE, _SHADE_GSD_M = 0.3, 1.0
_FEWEST = 16
"""Pixels with an index below which a histogram says nothing."""


@dataclass(frozen=True)
class Index:
    """A vegetation index and what is known about its values.

    Args:
        title: For a person.
        roles: The bands, in the order of `compute`.
        limits: Values beyond are artefacts of near-zero or negative reflectance.
        thresholds: Lowest and highest plausible threshold between soil and vegetation.
        usual: Threshold where the scene does not tell one.
        contrast: Least distance between the means of two surfaces.
        spreads: Smallest, usual and largest scale of the logistic.
    """

    title: str
    roles: tuple[str, ...]
    limits: tuple[float, float]
    thresholds: tuple[float, float]
    usual: float
    contrast: float
    spreads: tuple[float, float, float]

    def compute(self, bands: NDArray[np.float32]) -> NDArray[np.float32]:
        """The index of (..., bands, h, w), as (..., h, w) float32; NaN where it is undefined."""
        planes = np.moveaxis(bands, -3, 0)
        # Pixels without meaning may hold any number; what overflows is undefined, or clipped.
        with np.errstate(over="ignore", invalid="ignore"):
            if len(self.roles) == 2:
                red, nir = planes
                top, total = nir - red, nir + red
            else:
                red, green, blue = planes
                top, total = 2 * green - red - blue, red + green + blue
            # No smallest total above 0: some files hold reflectance 100,000 times too small.
            usable = np.isfinite(top) & np.isfinite(total) & (total > 0)
            value = np.full(total.shape, np.nan, np.float32)
            np.divide(top, total, out=value, where=usable)
        return np.clip(value, self.limits[0], self.limits[1], out=value)


INDICES: dict[str, Index] = {
    "NDVI": Index(
        title="normalised difference vegetation index",
        roles=("red", "nir"),
        limits=(-1.0, 1.0),
        thresholds=(0.20, 0.60),
        usual=0.30,
        contrast=0.15,
        spreads=(0.01, 0.05, 0.10),
    ),
    "ExG": Index(
        title="excess green on chromatic coordinates",
        roles=("red", "green", "blue"),
        limits=(-1.0, 2.0),
        thresholds=(0.04, 0.20),
        usual=0.08,
        contrast=0.05,
        spreads=(0.004, 0.02, 0.05),
    ),
}


@dataclass(frozen=True)
class Split:
    """Where soil ends and vegetation begins.

    Args:
        threshold: Index value of equal probability.
        spread: Probability of vegetation = 1 / (1 + exp(-(index - threshold) / spread)).
        otsu: Otsu's threshold before any correction, or None where there was no histogram.
        note: How it came about, in words.
        pixels: Values that it was taken from.
    """

    threshold: float
    spread: float
    otsu: float | None
    note: str
    pixels: int


def split(values: NDArray[np.float32], index: Index) -> Split:
    """Find threshold and spread from index values of any shape; NaN and infinity are left out.

    The spread is the pooled variance within the two sides over the distance of their means: with
    it the logistic is the exact posterior of two normal classes of equal variance and frequency.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    n = finite.size
    low, usual_spread, high = index.spreads
    if n < _FEWEST:
        note = f"only {n} usable pixels: usual threshold"
        return Split(index.usual, usual_spread, None, note, n)
    # Importing scikit-image's filters takes a third of a second; most commands need none.
    from skimage.filters import threshold_otsu

    otsu = float(threshold_otsu(finite))  # type: ignore[no-untyped-call]
    below, above = finite[finite <= otsu], finite[finite > otsu]
    distance = float(above.mean() - below.mean()) if above.size and below.size else 0.0
    if distance < index.contrast:
        note = f"one surface (two would differ by {index.contrast} or more): usual threshold"
        return Split(index.usual, usual_spread, otsu, note, n)
    within = (below.var() * below.size + above.var() * above.size) / n
    threshold = min(max(otsu, index.thresholds[0]), index.thresholds[1])
    note = "Otsu's threshold"
    if threshold != otsu:
        note += f" {otsu:.3f}, moved into {index.thresholds[0]} to {index.thresholds[1]}"
    # Rounded, so that card and report print the numbers that are computed with.
    spread = min(max(float(within) / distance, low), high)
    return Split(round(threshold, 6), round(spread, 6), otsu, note, n)


def _unresolved() -> ModelCard:
    return ModelCard(
        name=BASELINE,
        architecture=BASELINE,
        options={"index": "auto"},
        bands=tuple(BandInput(role, required=False) for role in ("red", "nir", "green", "blue")),
        legend=Legend.of(("soil", "#c8a882"), ("vegetation", "#1b6e2b")),
        chip_size=1024,
        overlap=0,
        stride=1,
        radiometry="any",
        licence="none needed: a formula, no weights",
        description="Soil or vegetation by NDVI (red and nir), else by excess green (red, green, "
        "blue), with a threshold found on each scene.",
        agriseg_version=__version__,
    )


@dataclass(frozen=True)
class IndexBaseline:
    """The predictor "index-baseline"; `for_scene` gives the one that can predict.

    Args:
        card: Its card; the options hold index, threshold and spread once they are known.
        facts: What `about` tells.
    """

    card: ModelCard = field(default_factory=_unresolved)
    facts: Mapping[str, Any] = field(default_factory=dict)

    batch = 1

    @property
    def numerics(self) -> str:
        """The numerics key. Each pixel stands alone, so threads and batch do not matter."""
        return json.dumps(
            {
                "engine": "numpy",
                "engine_version": np.__version__,
                "device": "cpu",
                "precision": "float32",
                "threads": "any",
                "batch": self.batch,
                "isa": numpy_isa(),
            }
        )

    @property
    def fingerprint(self) -> str:
        """The card's digest: there are no weights."""
        return self.card.digest

    def for_scene(self, scene: Scene) -> IndexBaseline:
        """Choose index and bands, and find the threshold on a sample of the whole scene.

        Where the scene stacks several dates and no undated bands serve, the first date, in the
        order of the bands, that has all bands of the index is taken.

        Raises:
            BandError: The scene has the bands of neither index.
            ReadError: Its pixels cannot be read.
        """
        from agriseg.raster import sample_pixels

        return self.for_pixels(scene, partial(sample_pixels, scene))

    def for_pixels(self, scene: Scene, sample_of: SampleOf) -> IndexBaseline:
        """As `for_scene`, where the pixels are not those of the scene's files.

        Args:
            scene: What is known of the pixels.
            sample_of: Gives some of them, as `sample_pixels` does of a scene.
        """
        name, keys, date = _choose(scene)
        index = INDICES[name]
        sample = sample_of(keys, max_pixels=_SAMPLE)
        values = index.compute(np.where(sample.valid, sample.data, np.float32(np.nan)))
        found = split(values, index)
        options: dict[str, Any] = {
            "index": name,
            "threshold": found.threshold,
            "spread": found.spread,
        }
        if name == "NDVI" and (scene.geobox.mean_gsd_m or 0.0) <= _SHADE_GSD_M:
            options["shade_below"] = _shade(sample.data[1], values > found.threshold)
        bands = tuple(BandInput(key, scene.band(key).wavelength_nm) for key in keys)
        facts: dict[str, Any] = {
            **options,
            "title": index.title,
            "bands": list(keys),
            "threshold_from": found.note,
            "otsu": found.otsu,
            "sampled_pixels": found.pixels,
        }
        if date is not None:
            facts["date"] = date
        return IndexBaseline(replace(self.card, options=options, bands=bands), facts)

    def __call__(self, batch: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Probabilities (n, 2, h, w) of (n, bands, h, w) float32; 0.5 where the index is undefined.

        Raises:
            RuntimeError: `for_scene` has not been called.
        """
        options = self.card.options
        if "threshold" not in options:
            raise RuntimeError(f"{BASELINE} predicts only after for_scene(scene)")
        value = INDICES[options["index"]].compute(batch)
        steps = (value - np.float32(options["threshold"])) / np.float32(options["spread"])
        shade = np.float32(options.get("shade_below") or 0.0)
        if shade > 0:
            # NaN stays NaN; a tenth of the limit is about what tells light from half shade.
            with np.errstate(over="ignore"):
                lit = (batch[:, 1] - shade) / (shade * np.float32(0.1))
            np.minimum(steps, lit, out=steps)
        np.nan_to_num(steps, copy=False, nan=0.0)
        # exp of 80 is the last that keeps 1 + exp finite with room to spare in float32.
        np.clip(steps, -80, 80, out=steps)
        vegetation = 1 / (1 + np.exp(-steps))
        return np.stack([1 - vegetation, vegetation], axis=1)

    def about(self) -> dict[str, Any]:
        """Index, bands, date and threshold, and where the threshold comes from."""
        return dict(self.facts)


def _shade(nir: NDArray[np.float32], is_green: NDArray[np.bool_]) -> float | None:
    """Near infrared below which green pixels are ground in shade, or None where few are green."""
    green = nir[is_green]
    if green.size < _FEWEST:
        return None
    bright = float(np.percentile(green, 90))
    return round(_SHADE_SHARE * bright, 9) if bright > 0 else None


def _choose(scene: Scene) -> tuple[str, tuple[str, ...], str | None]:
    """(index, band keys, date) for a scene: NDVI before ExG, undated bands before dated ones."""
    dates = list(dict.fromkeys(band.date for band in scene.bands if band.date is not None))
    for name, index in INDICES.items():
        if all(scene.has(role) for role in index.roles):
            # A role that is there on a single date serves without naming it: not mixed, though.
            used = {scene.band(role).date for role in index.roles}
            if len(used) == 1:
                return name, index.roles, used.pop()
        for date in dates:
            keys = tuple(f"{role}@{date}" for role in index.roles)
            if all(scene.has(key) for key in keys):
                return name, keys, date
    raise BandError(
        f"{BASELINE} needs red and nir, or red, green and blue, and {scene.name} lacks them: "
        f"{scene.band_summary()}; name its bands with --bands (see agriseg info), or "
        "use a model made for them"
    )
