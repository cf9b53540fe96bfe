"""From one scene and one predictor to finished rasters and polygons."""

from agriseg.pipeline.bench import Bench, measure_job
from agriseg.pipeline.job import Job, SegmentOptions, prepare, reserve
from agriseg.pipeline.run import Progress, probe, run_job

__all__ = [
    "Bench",
    "Job",
    "Progress",
    "SegmentOptions",
    "measure_job",
    "prepare",
    "probe",
    "reserve",
    "run_job",
]
