"""From one scene and one predictor to finished rasters."""

from agriseg.pipeline.job import Job, SegmentOptions, prepare
from agriseg.pipeline.run import Progress, probe_speed, run_job

__all__ = ["Job", "Progress", "SegmentOptions", "prepare", "probe_speed", "run_job"]
