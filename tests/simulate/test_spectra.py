"""The palettes of the cameras: plausible spectra, and five bands that agree with the table."""

import numpy as np
import pytest

from agriseg.bands import ROLES
from agriseg.simulate.spectra import (
    BANDS,
    CROP,
    GRASS_WEED,
    LEAFY_WEED,
    RESIDUE,
    SENSORS,
    SOIL,
    SOILS,
    STONE,
    TO_GLINT,
    TO_RED,
    TO_YELLOW,
    WAXY_LEAF,
    Palette,
    palette,
    plain,
    resampled,
)
from agriseg.simulate.spectra_special import SPECIAL
from agriseg.simulate.spectra_table import TABLE

LEAVES = (CROP, LEAFY_WEED, GRASS_WEED)
FIELDS = ("endmembers", "soil_dry", "soil_wet", "sky_share", "through_leaves")


@pytest.fixture(params=SENSORS)
def seen(request: pytest.FixtureRequest) -> Palette:
    return palette(request.param)


def of(seen: Palette, role: str) -> int:
    return [band.role for band in seen.bands].index(role)


def test_table_is_even_from_400_to_1000_nm() -> None:
    table = np.array([line.split() for line in TABLE.splitlines()], dtype=float)
    assert table[:, 0].tolist() == list(range(400, 1001, 10))
    assert table.shape[1] == 15
    assert table[:, 1:].min() >= 0
    assert table[:, 1:].max() < 6000


def test_table_gives_the_numbers_of_the_five_bands() -> None:
    mine = palette("rededge")
    rows = resampled(BANDS)
    assert np.abs(rows[2:12].reshape(5, 2, 5) - mine.endmembers[2:7]).max() < 0.015
    assert np.abs(rows[0] - mine.soil_dry).max() < 0.002
    assert np.abs(rows[1] - mine.soil_wet).max() < 0.002
    assert np.abs(rows[12] - mine.sky_share).max() < 0.002
    assert np.abs(rows[13] - mine.through_leaves).max() < 0.003


@pytest.mark.parametrize("sensor", SENSORS)
def test_bands_are_ones_that_agriseg_knows(sensor: str) -> None:
    for band in SENSORS[sensor]:
        low, high = ROLES[band.role]
        assert low <= band.wavelength_nm <= high
    assert palette(sensor) is palette(sensor)


def test_palette_has_the_shape_of_its_bands(seen: Palette) -> None:
    count = len(seen.bands)
    assert seen.endmembers.shape == (24, 2, count)
    assert seen.redness.shape == (count,)
    for name in FIELDS:
        values = getattr(seen, name)
        assert values.dtype == np.float32
        assert values.shape[-1] == count
        assert (values > 0).all()
        matt = values[: CROP + TO_GLINT] if name == "endmembers" else values
        assert (matt < 0.6).all()
        assert (values < 0.9).all()


def test_leaves_have_a_green_peak(seen: Palette) -> None:
    leaves = seen.endmembers[list(LEAVES), 0]
    green, red = leaves[:, of(seen, "green")], leaves[:, of(seen, "red")]
    assert (green > 1.4 * red).all()
    if any(band.role == "blue" for band in seen.bands):
        assert (green > 1.6 * leaves[:, of(seen, "blue")]).all()


def test_leaves_have_a_red_edge(seen: Palette) -> None:
    if not any(band.role == "nir" for band in seen.bands):
        pytest.skip("this camera sees no near infrared")
    leaves = seen.endmembers[list(LEAVES), 0]
    red, edge, nir = (leaves[:, of(seen, role)] for role in ("red", "rededge", "nir"))
    assert ((nir - red) / (nir + red) > 0.7).all()
    assert (edge > 3 * red).all()
    assert (nir > 1.2 * edge).all()


def test_pale_leaves_are_brighter_in_red(seen: Palette) -> None:
    red = of(seen, "red")
    assert (
        seen.endmembers[list(LEAVES), 1, red] > 1.3 * seen.endmembers[list(LEAVES), 0, red]
    ).all()


def test_what_is_dead_rises_with_wavelength(seen: Palette) -> None:
    order = np.argsort([band.wavelength_nm for band in seen.bands])
    for spectrum in (
        seen.soil_dry,
        seen.soil_wet,
        *seen.endmembers[STONE],
        *seen.endmembers[RESIDUE],
        seen.redness,
        -seen.sky_share,
    ):
        assert (np.diff(spectrum[order]) > 0).all()


def test_wet_soil_has_about_half_the_reflectance(seen: Palette) -> None:
    share = seen.soil_wet / seen.soil_dry
    assert (share > 0.4).all()
    assert (share < 0.6).all()


def test_leaves_pass_on_near_infrared_and_hardly_any_red(seen: Palette) -> None:
    assert seen.passed_on[of(seen, "red")] < 0.08
    if any(band.role == "nir" for band in seen.bands):
        assert 0.6 < seen.passed_on[of(seen, "nir")] < 1.0


def test_special_table_is_even_too() -> None:
    table = np.array([line.split() for line in SPECIAL.splitlines()], dtype=float)
    assert table[:, 0].tolist() == list(range(400, 1001, 10))
    assert table.shape[1] == 1 + len(SOILS) - 1 + 6
    assert 0 < table[:, 1:].min() < table[:, 1:].max() < 6000


@pytest.mark.parametrize("soil", SOILS)
@pytest.mark.parametrize("sensor", SENSORS)
def test_every_soil_rises_with_wavelength_and_darkens_with_water(sensor: str, soil: str) -> None:
    seen = palette(sensor, soil=soil)
    order = np.argsort([band.wavelength_nm for band in seen.bands])
    for spectrum in (seen.soil_dry, seen.soil_wet):
        assert (np.diff(spectrum[order]) > 0).all()
        assert 0.02 < spectrum.min() < spectrum.max() < 0.6
    share = seen.soil_wet / seen.soil_dry
    assert (share > 0.4).all()
    assert (share < 0.6).all()
    assert np.array_equal(seen.endmembers[SOIL, 0], seen.soil_dry)


def test_soils_differ_as_their_names_say() -> None:
    dry = {soil: palette("rededge", soil=soil).soil_dry for soil in SOILS}
    red = {soil: float(values[2]) for soil, values in dry.items()}
    assert max(red, key=lambda soil: red[soil]) == "chalk"
    assert min(red, key=lambda soil: red[soil]) == "chernozem"
    steep = {soil: float(values[2] / values[0]) for soil, values in dry.items()}
    assert max(steep, key=lambda soil: steep[soil]) == "red"
    assert palette("rededge").soil_dry.tolist() == palette("rededge", soil="loam").soil_dry.tolist()


def test_soil_of_a_real_vineyard_is_met() -> None:
    """Means of the bare ground of a calibrated RedEdge frame, for some wetness of sandy soil."""
    measured = np.array([0.087, 0.138, 0.209, 0.244, 0.321])
    sandy = palette("rededge", soil="sandy")
    mixes = [sandy.soil_dry + w * (sandy.soil_wet - sandy.soil_dry) for w in np.linspace(0, 1, 21)]
    assert min(np.abs(mix / measured - 1.0).max() for mix in mixes) < 0.1


def test_leaves_yellow_then_dry_and_red_ones_lack_green(seen: Palette) -> None:
    green, red = of(seen, "green"), of(seen, "red")
    healthy, (yellow, straw) = seen.endmembers[CROP, 0], seen.endmembers[CROP + TO_YELLOW]
    assert yellow[red] > 3 * healthy[red]
    ratios = [leaf[green] / leaf[red] for leaf in (healthy, yellow, straw)]
    assert ratios[0] > ratios[1] > ratios[2]
    assert ratios[2] < 1.0
    dark = seen.endmembers[LEAFY_WEED + TO_RED, 0]
    assert dark[green] / dark[red] < 0.8 * healthy[green] / healthy[red]


def test_wax_makes_a_leaf_bluish() -> None:
    seen = palette("rgb")
    ratio = seen.endmembers[:, 0, 2] / seen.endmembers[:, 0, 1]
    assert ratio[WAXY_LEAF] > 1.3 * ratio[CROP]


def test_plain_takes_the_colour_off() -> None:
    numbers = np.arange(16, dtype=np.uint8)
    assert plain(numbers).tolist() == [0, 1, 2, 3, *3 * [4, 5, 6, 7]]
    assert plain(numbers).dtype == np.uint8
