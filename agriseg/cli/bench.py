"""`agriseg bench`: what this machine will make of a raster."""

from __future__ import annotations

import json
from dataclasses import asdict

from agriseg.cli import options as opt
from agriseg.cli.words import count_words, numerics_words, time_words

__all__ = ["bench"]


def bench(
    rasters: opt.Rasters,
    model: opt.Model = None,
    bands: opt.Bands = None,
    sensor: opt.Sensor = None,
    scale: opt.Scale = None,
    offset: opt.Offset = None,
    nodata: opt.Nodata = None,
    chip: opt.Chip = None,
    overlap: opt.Overlap = None,
    engine: opt.Engine = "auto",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Measure what `agriseg segment` will take on this machine: time, memory, disk.

    Some chips are read and predicted; nothing is written.

    Example:

    - `agriseg bench field.tif -m weeds.safetensors`
    """
    from agriseg.workflow import bench as run_bench

    found = run_bench(
        rasters[0] if len(rasters) == 1 else rasters,
        model=model,
        bands=bands,
        sensor=sensor,
        scale=scale,
        offset=offset,
        nodata=nodata,
        chip=chip,
        overlap=overlap,
        engine=engine,
        device=device,
        precision=precision,
        threads=threads,
    )
    many = found if isinstance(found, list) else [found]
    if as_json:
        print(json.dumps([{**asdict(one), "limited_by": one.limited_by} for one in many], indent=2))
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
