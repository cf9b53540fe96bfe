"""The verb `bench`: what a run will take, measured on a few chips."""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from pathlib import Path
from typing import Unpack

from agriseg.models import Predictor
from agriseg.pipeline import Bench, Failed, measure_job, quiet
from agriseg.workflow.jobs import Given, SegmentKeywords, jobs_for

__all__ = ["bench"]


def bench(
    inputs: Given,
    *,
    model: str | Path | Predictor | None = None,
    **options: Unpack[SegmentKeywords],
) -> Bench | list[Bench]:
    """Measure what `segment` will take on this machine; some chips are read, nothing is written.

    Args:
        inputs: As in `segment`.
        model: As in `segment`.
        **options: As in `segment`.

    Returns:
        What was measured, or a list where `segment` gives a list.

    Raises:
        AgrisegError: Something the user can mend.
    """
    # Nothing will be written: a place that nobody has.
    nowhere = Path(os.devnull).parent / f"agriseg-{uuid.uuid4()}"
    jobs, found = jobs_for(inputs, nowhere, model, options, "bench"), []
    with quiet(), closing(iter(jobs)) as opened:
        for job in opened:
            if isinstance(job, Failed):
                raise job.error
            found.append(measure_job(job))
    return found if jobs.are_many else found[0]
