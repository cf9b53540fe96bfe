"""What is learned: torchgeo's segmentation task with our networks, losses, scores and averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchgeo.trainers import SemanticSegmentationTask
from torchmetrics.classification import MultilabelStatScores

from agriseg.labels import Codes
from agriseg.models.torch_accumulator import decided
from agriseg.training.augment import Augment
from agriseg.training.config import LearnConfig
from agriseg.training.losses import LossOptions, SetLoss
from agriseg.training.schedule import rate_factor

__all__ = ["Task"]

_UNKNOWN = -1
_NO_DECAY_DIMENSIONS = 1


class Task(SemanticSegmentationTask):
    """A training: network, loss, augmentation, optimiser and scores.

    Everything random in a step follows from the seed and the step, so that a training goes on
    after a kill as if nothing had been.

    Args:
        network: From (n, bands, h, w) to logits (n, classes, h, w).
        codes: What the numbers in labels mean.
        learn: How it learns.
        augment: For training batches.
        prepare: For validation batches: the same without chance.
        class_weights: Of each class in the loss, or None.
        together: Classes, by value, that are also learned as one.
    """

    criterion: SetLoss
    scores: MultilabelStatScores
    mean_model: AveragedModel
    loss_sum: Tensor
    loss_count: Tensor
    ignore: Sequence[str] = (
        "network", "codes", "learn", "augment", "prepare", "class_weights", "together"
    )  # fmt: skip

    def __init__(
        self,
        network: nn.Module,
        codes: Codes,
        learn: LearnConfig,
        augment: Augment,
        prepare: Augment,
        class_weights: Tensor | None = None,
        together: Sequence[int] = (),
    ) -> None:
        # Parts of a module can be set only once it is one: torchgeo's makes it one.
        self._parts = (network, augment, prepare)
        self._codes, self.learn, self._class_weights = codes, learn, class_weights
        self._together = together
        self.steps_done = 0
        self._optimizer_state: dict[str, Any] | None = None
        super().__init__(num_classes=len(codes.legend))

    def configure_models(self) -> None:
        """Take the network as it is, and a copy of it that becomes the mean over steps."""
        network, self.augment, self.prepare = self._parts
        self.model = network.to(memory_format=torch.channels_last)
        self.mean_model = AveragedModel(
            self.model, multi_avg_fn=_Follow(self.learn.ema), use_buffers=True
        )
        self.mean_model.requires_grad_(False)

    def configure_losses(self) -> None:
        learn = self.learn
        self.criterion = SetLoss(
            self._codes,
            learn.loss,
            class_weights=self._class_weights,
            boundary=learn.boundary,
            radius=learn.boundary_px,
            options=LossOptions(learn.focal_gamma, learn.tversky),
            together=self._together,
        )

    def configure_metrics(self) -> None:
        """One score a class: a pixel that may or may not be of it does not count for it."""
        self.scores = MultilabelStatScores(
            num_labels=len(self._codes.legend), average="none", ignore_index=_UNKNOWN
        )
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64))
        self.register_buffer("loss_count", torch.zeros((), dtype=torch.int64))

    def configure_optimizers(self) -> Any:
        """AdamW, without decay of norms and biases; warm-up and cosine by the steps done."""
        learn = self.learn
        groups: list[dict[str, Any]] = [
            {"params": [], "weight_decay": learn.weight_decay},
            {"params": [], "weight_decay": 0.0},
        ]
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                groups[parameter.ndim <= _NO_DECAY_DIMENSIONS]["params"].append(parameter)
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=learn.rate)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
        return optimizer

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `task`, `optimizer` and `step` of a checkpoint."""
        self.load_state_dict(state["task"])
        self._optimizer_state, self.steps_done = state["optimizer"], state["step"]

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The loss of a batch from the reader."""
        learn = self.learn
        factor = rate_factor(self.steps_done, learn.steps, learn.warmup)
        for group in self._optimizer().param_groups:
            group["lr"] = learn.rate * factor
        torch.manual_seed(learn.seed * 2_000_003 + self.steps_done)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            ready = self.augment(batch)
        image = ready["image"].contiguous(memory_format=torch.channels_last)
        loss: Tensor = self.criterion(self.model(image), ready["codes"])
        self.loss_sum += loss.detach().double()
        self.loss_count += 1
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps_done += 1
        if self.learn.ema:
            self.mean_model.update_parameters(self.model)

    @property
    def kept_model(self) -> nn.Module:
        """The network whose weights are kept: the mean over steps, where there is one."""
        mean: nn.Module = self.mean_model.module
        return mean if self.learn.ema else self.model

    def predict_logits(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (n, classes, h, w) float32 of the kept network, and codes (n, h, w)."""
        with torch.autocast(self.device.type, enabled=False):
            ready = self.prepare(batch)
        image = ready["image"].contiguous(memory_format=torch.channels_last)
        return self.kept_model(image).float(), ready["codes"]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count what the kept network gets right."""
        self.count(*self.predict_logits(batch))

    def count(self, logits: Tensor, codes: Tensor) -> None:
        """Add to the scores: logits (n, classes, h, w) against codes (n, h, w)."""
        classes = logits.shape[1]
        allowed = self.criterion.allowed[codes.long()]
        alone = allowed.sum(-1, keepdim=True) == 1
        truth = torch.where(allowed & ~alone, _UNKNOWN, allowed.long())
        _, best = decided(torch.softmax(logits, 1).movedim(1, 0), self._together)
        found = nn.functional.one_hot(best, classes)
        self.scores.update(found.reshape(-1, classes), truth.reshape(-1, classes))

    def take_scores(self) -> dict[str, float | None]:
        """IoU of each class that the validation has, and their mean, since the last call."""
        hits, false, _, missed, _ = self.scores.compute().double().T
        self.scores.reset()
        iou: dict[str, float | None] = {}
        for k, name in enumerate(self._codes.legend.names):
            there = hits[k] + missed[k] > 0
            iou[name] = float(hits[k] / (hits[k] + false[k] + missed[k])) if there else None
        known = [value for value in iou.values() if value is not None]
        return {"mean": sum(known) / len(known) if known else None, **iou}

    def take_loss(self) -> float | None:
        """The mean loss of the steps since the last call."""
        count = int(self.loss_count)
        mean = float(self.loss_sum) / count if count else None
        self.loss_sum.zero_()
        self.loss_count.zero_()
        return mean

    def _optimizer(self) -> torch.optim.Optimizer:
        found = self.optimizers(use_pl_optimizer=False)
        assert isinstance(found, torch.optim.Optimizer)
        return found


class _Follow:
    """A mean over steps that follows quickly at first.

    Args:
        decay: What it keeps of itself at each step in the end.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay

    @torch.no_grad()
    def __call__(
        self, means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int
    ) -> None:
        steps = int(count)
        keep = min(self._decay, (1 + steps) / (10 + steps))
        if torch.is_floating_point(means[0]):
            torch._foreach_lerp_(list(means), list(values), 1 - keep)
        else:
            for mean, value in zip(means, values, strict=True):
                mean.copy_(value)
