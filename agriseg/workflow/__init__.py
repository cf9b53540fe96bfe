"""The verbs `segment` (open, check, predict, write) and `bench`."""

from agriseg.workflow.bench import bench
from agriseg.workflow.jobs import SegmentKeywords
from agriseg.workflow.segment import segment

__all__ = ["SegmentKeywords", "bench", "segment"]
