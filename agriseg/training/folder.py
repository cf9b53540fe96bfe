"""The folder of a training: made, checked, and what is planned written into it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from agriseg._version import __version__
from agriseg.errors import OptionError, OutputError
from agriseg.raster.whole_file import write_bytes
from agriseg.training.checkpoint import read_checkpoint
from agriseg.training.inputs import check_inputs, inputs_of, write_inputs
from agriseg.training.keeper import Keeper
from agriseg.training.plan import Plan
from agriseg.training.weights import init_file

__all__ = ["another", "make_folder", "prepare_folder", "write_plan"]


def another(folder: Path) -> OptionError:
    """What to say where other settings made what is in the folder."""
    return OptionError(
        f"{folder} holds another training (its settings differ); give another folder with -o, or "
        "begin anew with --fresh"
    )


def make_folder(folder: Path) -> None:
    """Make the folder of a training.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); check the path") from error


def prepare_folder(folder: Path, plan: Plan, resume: bool) -> dict[str, Any] | None:
    """Make it, with what is planned in it; what a stopped training left there, if any.

    Raises:
        OptionError: Another training is there, or one of other files.
        OutputError: It cannot be written to.
    """
    config = plan.config
    make_folder(folder)
    mine = Keeper(folder, "", "", None)
    inputs = inputs_of(plan.material, plan.base, init_file(config.model.init, plan.base))
    state = None
    if resume:
        state = read_checkpoint(mine.checkpoint)
        if state is not None and state["digest"] != config.digest:
            raise another(folder)
        if state is not None:
            check_inputs(folder, inputs)
    else:
        mine.tidy()
        (folder / "metrics.csv").unlink(missing_ok=True)
        (folder / "report.html").unlink(missing_ok=True)
        (folder / f"{config.name}.safetensors").unlink(missing_ok=True)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    write_inputs(folder, inputs)
    write_plan(folder, plan)
    return state


def write_plan(folder: Path, plan: Plan) -> None:
    """Write config.yaml and split.json.

    Raises:
        OutputError: They cannot be written.
    """
    plain = plan.config.model_dump(mode="json", exclude_none=True, exclude={"legend"})
    plain["legend"] = {label.name: label.color for label in plan.codes.legend}
    text = f"# What agriseg {__version__} trained.\n" + yaml.safe_dump(plain, sort_keys=False)
    write_bytes(folder / "config.yaml", text.encode())
    write_bytes(folder / "split.json", plan.split.to_json().encode())
