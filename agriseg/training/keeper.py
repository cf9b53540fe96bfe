"""What happens beside the learning: scores, logs, the best weights, and where to go on from."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
from torch import Tensor

from agriseg.errors import OptionError
from agriseg.raster.whole_file import write_bytes
from agriseg.training.checkpoint import write_checkpoint
from agriseg.training.schedule import rate_factor
from agriseg.training.task import Task

__all__ = ["Keeper", "Listener", "Row", "read_table", "table"]

Row = dict[str, Any]
"""What is known at a validation: step, loss, rate, and the IoU `mean` and of each class."""


class Listener(Protocol):
    """Is told how a training goes on."""

    def begin(self, facts: dict[str, Any]) -> None:
        """Before the first step: name, steps, first, network, start, scenes, notes, ..."""

    def step(self, step: int, loss: Tensor) -> None:
        """After each step; the loss lies where the network computes."""

    def validated(self, row: Row, best: bool) -> None:
        """After each validation."""

    def evaluating(self, done: int, pixels: int) -> None:
        """While the written model maps the validation scenes: so many of their pixels are done."""

    def end(self, path: Path, facts: dict[str, Any]) -> None:
        """The model is written."""

    def already(self, path: Path, notes: tuple[str, ...]) -> None:
        """The model was there before, finished by an earlier call."""


class Keeper(pl.Callback):
    """Keeps what a training finds.

    Args:
        folder: Of the training.
        digest: What tells this training from others.
        card: Of the model, as JSON.
        listener: Who is told, or None.
    """

    CHECKPOINT = "checkpoint.pt"

    def __init__(self, folder: Path, digest: str, card: str, listener: Listener | None) -> None:
        self.history: list[Row] = []
        self.best: float | None = None
        self._stale = 0
        self._folder, self._digest, self._card = folder, digest, card
        self._listener = listener
        self._stored = time.monotonic()
        self._board: Any = None

    @property
    def checkpoint(self) -> Path:
        return self._folder / self.CHECKPOINT

    @property
    def best_weights(self) -> Path:
        return self._folder / "best.pt"

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `_store` stored."""
        self.history = list(state["history"])
        self.best, self._stale = state["best"], state["stale"]

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        assert isinstance(task, Task)
        # Of steps that are done again, what an earlier run wrote is dropped.
        logs = self._folder / "tensorboard"
        self._board = SummaryWriter(str(logs), purge_step=task.steps_done + 1)
        self._stored = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, task: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Here all of the last step is done, and nothing of the next."""
        assert isinstance(task, Task)
        if time.monotonic() - self._stored >= task.learn.checkpoint_s:
            self._store(trainer, task)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        task: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(task, Task)
        if self._listener is not None:
            self._listener.step(task.steps_done + 1, outputs["loss"])

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """After each validation, or where there is none, where it would be."""
        assert isinstance(task, Task)
        learn, step = task.learn, task.steps_done
        loss = task.take_loss()
        if loss is not None and not math.isfinite(loss):
            raise OptionError(
                f"the loss is {loss} before step {step}: nothing is learned any more; choose a "
                f"smaller learn.rate than {learn.rate:g}, or learn.precision: float32"
            )
        row: Row = {
            "step": step,
            "loss": loss,
            "rate": learn.rate * rate_factor(step - 1, learn.steps, learn.warmup),
        }
        if trainer.val_dataloaders is not None:
            row["iou"] = task.take_scores()
        score = row.get("iou", {}).get("mean")
        # Without any score the last weights are kept.
        is_best = score is None or self.best is None or score > self.best
        if is_best:
            self.best = score
            write_checkpoint(self.best_weights, {"weights": task.kept_model.state_dict()})
        self._stale = 0 if is_best else self._stale + 1
        self.history.append(row)
        self._log(row)
        if step >= learn.steps or (learn.patience and self._stale >= learn.patience):
            trainer.should_stop = True
        self._store(trainer, task)
        if self._listener is not None:
            self._listener.validated(row, is_best)

    def is_done(self, task: Task) -> bool:
        """Whether nothing is left to learn."""
        learn = task.learn
        return task.steps_done >= learn.steps or bool(
            learn.patience and self._stale >= learn.patience
        )

    def tidy(self) -> None:
        """The model is written: nothing is left to go on with."""
        self.checkpoint.unlink(missing_ok=True)
        self.best_weights.unlink(missing_ok=True)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def _store(self, trainer: pl.Trainer, task: Task) -> None:
        state = {
            "digest": self._digest,
            "card": self._card,
            "step": task.steps_done,
            "task": task.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "history": self.history,
            "best": self.best,
            "stale": self._stale,
        }
        write_checkpoint(self.checkpoint, state)
        self._stored = time.monotonic()

    def _log(self, row: Row) -> None:
        flat = {"loss": row["loss"], "rate": row["rate"]}
        flat |= {f"iou/{name}": value for name, value in row.get("iou", {}).items()}
        for name, value in flat.items():
            if value is not None and self._board is not None:
                self._board.add_scalar(name, value, row["step"])
        if self._board is not None:
            self._board.flush()
        write_bytes(self._folder / "metrics.csv", table(self.history).encode())


def table(history: list[Row]) -> str:
    """The rows as CSV text."""
    text = io.StringIO()
    names = list(history[-1].get("iou", {}))
    writer = csv.writer(text, lineterminator=os.linesep)
    writer.writerow(["step", "loss", "rate", *(f"iou_{name}" for name in names)])
    for row in history:
        scores = [row.get("iou", {}).get(name) for name in names]
        writer.writerow([row["step"], row["loss"], row["rate"], *scores])
    return text.getvalue()


def read_table(path: Path) -> list[Row]:
    """The rows that `table` wrote; none where the file is not there, or another one."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_row(one) for one in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _row(one: dict[str, str]) -> Row:
    numbers = {name: float(text) if text else None for name, text in one.items()}
    row: Row = {"step": int(one["step"]), "loss": numbers["loss"], "rate": numbers["rate"]}
    iou = {name[4:]: value for name, value in numbers.items() if name.startswith("iou_")}
    return {**row, "iou": iou} if iou else row
