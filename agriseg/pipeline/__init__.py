"""From scenes and a predictor to finished rasters and polygons, here or on workers."""

from agriseg.pipeline.bench import Bench, measure_job
from agriseg.pipeline.here import run_here
from agriseg.pipeline.job import Job, SegmentOptions, prepare, reserve
from agriseg.pipeline.many import Failed, Pool, SilentWatcher, Watcher, run_jobs
from agriseg.pipeline.run import Progress, probe, quiet, run_job
from agriseg.pipeline.tasks import Model

__all__ = [
    "Bench",
    "Failed",
    "Job",
    "Model",
    "Pool",
    "Progress",
    "SegmentOptions",
    "SilentWatcher",
    "Watcher",
    "measure_job",
    "prepare",
    "probe",
    "quiet",
    "reserve",
    "run_here",
    "run_job",
    "run_jobs",
]
