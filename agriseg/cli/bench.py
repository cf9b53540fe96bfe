"""`agriseg bench`: what this machine will make of a raster."""

from __future__ import annotations

from dataclasses import asdict

from agriseg.cli import options as opt
from agriseg.cli import said
from agriseg.cli.answer import Answer
from agriseg.cli.groups import Part, Predicting, Reading
from agriseg.cli.words import count_words, numerics_words, time_words

__all__ = ["bench"]


def bench(
    rasters: opt.Rasters,
    *,
    reading: Reading,
    part: Part,
    model: opt.Model = None,
    predicting: Predicting,
    answer: Answer,
) -> None:
    """Measure what `agriseg segment` will take on this machine: time, memory, disk.

    Some chips are read and predicted; nothing is written.

    Example:

    - `agriseg bench field.tif -m weeds.safetensors`
    """
    from agriseg.workflow import bench as run_bench

    found = run_bench(
        said.one_or_all(rasters),
        model=model,
        **reading.keywords(),
        **predicting.keywords(),
        **part.keywords(),
    )
    many = found if isinstance(found, list) else [found]
    answer.give([{**asdict(one), "limited_by": one.limited_by} for one in many])
    if not answer.prints:
        return
    for one in many:
        why = f" ({one.why})" if one.why else ""
        seen = one.predicted_pixels / one.pixels
        print(f"{one.scene}  {count_words(one.pixels, 'pixel')}, seen {seen:.2f} times by chips")
        print(f"  engine    {numerics_words(one.numerics)}{why}")
        print(f"  reading   {one.read_mpx_s:8.2f} Mpixel/s")
        print(f"  predict   {one.predict_mpx_s:8.2f} Mpixel/s")
        print(
            f"  a run     {time_words(one.seconds)}, limited by {one.limited_by}; "
            f"{one.memory_bytes / 1e9:.1f} GB of memory, {one.disk_bytes / 1e6:.0f} MB on disk"
        )
