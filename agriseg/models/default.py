"""What segments a scene where nobody names a model: the shipped one where it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agriseg.errors import BandError, ModelError
from agriseg.models.baseline import BASELINE
from agriseg.models.file import read_card
from agriseg.models.fit import check_fit
from agriseg.models.shipped import default_model

if TYPE_CHECKING:
    from agriseg.raster import Scene

__all__ = ["default_for"]


def default_for(scene: Scene, *, ignore_gsd: bool = False) -> tuple[str, tuple[str, ...]]:
    """The default model, or the baseline for bands or pixels that it was not made for.

    Args:
        scene: What is to be segmented.
        ignore_gsd: Take pixels of any size.

    Returns:
        The model's name, and what the user should know of the choice.

    Raises:
        BandError: Nothing says what the scene's bands are, so no model can be chosen.
    """
    if all(band.role is None for band in scene.bands):
        raise BandError(
            f"nothing says what the {len(scene.bands)} bands of {scene.name} are; name them in the "
            "file's order, such as --bands blue,green,red,nir with a minus for one that shall be "
            "left out (agriseg info shows what the file says of itself)"
        )
    name = default_model()
    if name != BASELINE:
        try:
            check_fit(read_card(name), scene, ignore_gsd=ignore_gsd)
        except (BandError, ModelError) as error:
            reason, _, _ = str(error).partition("; ")  # what to do about it is done
            return BASELINE, (f"{BASELINE} is used: {reason}",)
    return name, ()
