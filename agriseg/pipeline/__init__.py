"""From one scene and one predictor to finished rasters."""

from agriseg.pipeline.job import Job, SegmentOptions, prepare, reserve
from agriseg.pipeline.run import Progress, probe, run_job

__all__ = ["Job", "Progress", "SegmentOptions", "prepare", "probe", "reserve", "run_job"]
