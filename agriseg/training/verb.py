"""The verb `train`: from a configuration to a model file."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from agriseg._version import __version__
from agriseg.errors import OptionError, OutputError
from agriseg.models import (
    ModelCard,
    build_network,
    read_card,
    read_weights,
    resolve_numerics,
    save_model,
)
from agriseg.raster.writer import write_bytes
from agriseg.training.augment import Augment, Normalise
from agriseg.training.card import draft_card, training_facts, with_statistics
from agriseg.training.checkpoint import read_checkpoint
from agriseg.training.chips import Chips, Zoom
from agriseg.training.config import AugmentConfig, TrainConfig, read_config
from agriseg.training.keeper import Keeper, Listener
from agriseg.training.parts import class_shares
from agriseg.training.pixels import PixelStore
from agriseg.training.plan import Plan, make_plan
from agriseg.training.statistics import band_statistics, fit_temperature
from agriseg.training.stream import Batches
from agriseg.training.task import Task
from agriseg.training.validation import validation_batches
from agriseg.training.weights import base_card, start_weights

__all__ = ["train", "train_plan"]

_STATISTICS_CHIPS = 256
_TEMPERATURE_PIXELS = 200_000
_STILL = AugmentConfig(
    turns=False, scale=(1, 1), brightness=0, band_brightness=0, gamma=0, shadow=0, noise=0, blur=0,
    band_dropout=0,
)  # fmt: skip


def train(
    config: str | Path | TrainConfig,
    out: str | Path | None = None,
    *,
    resume: bool = True,
    listener: Listener | None = None,
    trust: bool = False,
) -> Path:
    """Train a model as a configuration says, and write its file.

    What was done goes to the folder `out`: metrics.csv, tensorboard/, split.json, config.yaml, and
    a checkpoint from which the same call goes on after it was stopped, to the same weights.

    Args:
        config: A YAML file, as in configs/, or what `read_config` makes of one.
        out: Folder; by default out/NAME.
        resume: Go on with a training that was stopped; else begin anew.
        listener: Is told how it goes on.
        trust: Allow an architecture that is code outside agriseg (a dotted path).

    Returns:
        The model file, OUT/NAME.safetensors.

    Raises:
        AgrisegError: The configuration, the data or the labels cannot be used; before any step.
    """
    base = Path() if isinstance(config, TrainConfig) else Path(config).parent
    settings = config if isinstance(config, TrainConfig) else read_config(config)
    folder = Path(out) if out is not None else Path("out") / settings.name
    done = _finished(folder, settings, resume)
    if done is not None:
        return done
    return train_plan(
        make_plan(settings, base), folder, resume=resume, listener=listener, trust=trust
    )


def train_plan(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = True,
    listener: Listener | None = None,
    trust: bool = False,
) -> Path:
    """Train what is planned; arguments as in `train`."""
    config = plan.config
    state = _prepare_folder(folder, plan, resume)
    scenes = {id(p.labelled): p.labelled for p in (*plan.training, *plan.validation)}
    card = draft_card(config, plan.codes, [p.labelled for p in plan.training])
    numerics = resolve_numerics(engine="torch", precision=config.learn.precision)
    with (
        PixelStore(list(scenes.values()), card.keys, config.chips.memory_gb * 1e9) as store,
        _quiet(),
    ):
        chips = Chips(
            plan.training,
            plan.codes,
            store,
            Zoom.of(config.chips, config.augment),
            batch=config.chips.batch,
            rare=config.chips.rare,
            seed=config.learn.seed,
        )
        if state is None:
            card = _measured(card, chips, config)
        else:
            card = ModelCard.from_json(state["card"])
        task, start = _task(plan, card, trust=trust)
        keeper = Keeper(folder, config.digest, card.to_json(), listener)
        if state is not None:
            task.restore(state)
            keeper.restore(state)
        if listener is not None:
            listener.begin(_facts(plan, card, task, start, numerics, store))
        held_out = validation_batches(plan, store)
        started = time.monotonic()
        try:
            _fit(task, keeper, chips, held_out, config, numerics)
        finally:
            keeper.close()
        task.to(numerics.device)  # Lightning brings it back to the CPU
        path, facts = _finish(plan, card, task, keeper, held_out, folder)
        keeper.tidy()
    if listener is not None:
        listener.end(path, {**facts, "seconds": time.monotonic() - started})
    return path


def _finished(folder: Path, config: TrainConfig, resume: bool) -> Path | None:
    """The model file, where this very training left it."""
    path = folder / f"{config.name}.safetensors"
    if not resume or not path.exists():
        return None
    card = read_card(path)
    if card.training.get("digest") != config.digest:
        raise _another(folder)
    said = config.card
    wanted = replace(
        card,
        licence=said.licence,
        description=said.description,
        chip_size=said.chip_size,
        overlap=said.overlap,
        training={**card.training, "data": said.data},
    )
    if wanted != card:  # what the card says can be mended without learning again
        save_model(path, wanted, read_weights(path, card))
    return path


def _another(folder: Path) -> OptionError:
    return OptionError(
        f"{folder} holds another training (its settings differ); give another folder with -o, or "
        "begin anew with --fresh"
    )


def _prepare_folder(folder: Path, plan: Plan, resume: bool) -> dict[str, Any] | None:
    """Make it, with what is planned in it; what a stopped training left there, if any.

    Raises:
        OptionError: Another training is there.
        OutputError: It cannot be written to.
    """
    config = plan.config
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); check the path") from error
    mine = Keeper(folder, "", "", None)
    state = None
    if resume:
        state = read_checkpoint(mine.checkpoint)
        if state is not None and state["digest"] != config.digest:
            raise _another(folder)
    else:
        mine.tidy()
        (folder / "metrics.csv").unlink(missing_ok=True)
        (folder / f"{config.name}.safetensors").unlink(missing_ok=True)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    plain = config.model_dump(mode="json", exclude_none=True, exclude={"legend"})
    plain["legend"] = {label.name: label.color for label in plan.codes.legend}
    text = f"# What agriseg {__version__} trained.\n" + yaml.safe_dump(plain, sort_keys=False)
    write_bytes(folder / "config.yaml", text.encode())
    if plan.split is not None:
        write_bytes(folder / "split.json", plan.split.to_json().encode())
    return state


def _measured(card: ModelCard, chips: Chips, config: TrainConfig) -> ModelCard:
    """The card with the constants of training chips; a known network keeps those it knows."""
    base = base_card(config.model.init)
    kept = frozenset(card.keys) & frozenset(base.keys if base is not None else ())
    if kept == set(card.keys):
        return card
    count = -(-_STATISTICS_CHIPS // config.chips.batch)
    batches = (chips.batch(step, "statistics") for step in range(count))
    return with_statistics(card, *band_statistics(batches, len(card.bands)), kept)


def _task(plan: Plan, card: ModelCard, *, trust: bool) -> tuple[Task, str]:
    config = plan.config
    pl.seed_everything(config.learn.seed, verbose=False)
    network = build_network(card, trust=trust)
    start = start_weights(network, card, config.model.init)
    normalise = Normalise(torch.from_numpy(card.means), torch.from_numpy(card.stds))
    optional = torch.tensor([not band.required for band in card.bands])
    size = config.chips.size
    augment = Augment(config.augment, size, normalise, optional)
    prepare = Augment(_STILL, size, normalise, optional)
    weights = _class_weights(plan)
    return Task(network, plan.codes, config.learn, augment, prepare, weights), start


def _class_weights(plan: Plan) -> Tensor | None:
    asked = plan.config.learn.class_weights
    names = plan.codes.legend.names
    if asked == "none":
        return None
    if isinstance(asked, dict):
        unknown = sorted(set(asked) - set(names))
        if unknown:
            raise OptionError(
                f"learn.class_weights: {unknown[0]!r} is no class; they are {', '.join(names)}"
            )
        return torch.tensor([float(asked.get(name, 1.0)) for name in names])
    shares = torch.from_numpy(class_shares(list(plan.training), plan.codes)).float()
    weights = shares.clamp_min(1e-4).rsqrt()
    return weights / (weights * shares).sum()


def _fit(
    task: Task,
    keeper: Keeper,
    chips: Chips,
    held_out: list[dict[str, Tensor]],
    config: TrainConfig,
    numerics: Any,
) -> None:
    learn = config.learn
    if keeper.is_done(task):
        return
    trainer = pl.Trainer(
        accelerator="gpu" if numerics.device.startswith("cuda") else "cpu",
        devices=1,
        precision="bf16-mixed" if numerics.precision == "bfloat16" else "32-true",
        max_epochs=-1,
        gradient_clip_val=learn.clip or None,
        num_sanity_val_steps=0,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=True,
    )
    batches = Batches(
        chips.batch, task.steps_done, learn.steps, learn.validate_every, config.chips.threads
    )
    before = signal.getsignal(signal.SIGINT)
    try:
        # A list would be taken for a list of loaders.
        trainer.fit(task, batches, DataLoader(_Listed(held_out), None) if held_out else None)
    except SystemExit:
        # Lightning's way of answering Ctrl-C.
        raise KeyboardInterrupt from None
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
        batches.close()


class _Listed(Dataset[dict[str, Tensor]]):
    """Batches in memory, as torch's loader takes them."""

    def __init__(self, batches: list[dict[str, Tensor]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._batches[index]


def _finish(
    plan: Plan,
    card: ModelCard,
    task: Task,
    keeper: Keeper,
    held_out: list[dict[str, Tensor]],
    folder: Path,
) -> tuple[Path, dict[str, Any]]:
    """Write the best weights with their card."""
    state = read_checkpoint(keeper.best_weights)
    if state is None:
        raise OutputError(f"{keeper.best_weights} is gone; begin anew with --fresh")
    network: nn.Module = task.kept_model
    network.load_state_dict(state["weights"])
    temperature, scores = _validated(task, held_out)
    config = plan.config
    facts = {
        **training_facts(config, plan.training, plan.validation, plan.codes),
        "digest": config.digest,
        "steps": task.steps_done,
    }
    card = replace(card, temperature=temperature, training=facts, scores=scores)
    weights = {
        name: value.half() if config.card.half and value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    path = save_model(folder / f"{config.name}.safetensors", card, weights)
    return path, {"scores": scores, "temperature": temperature, "steps": task.steps_done}


def _validated(task: Task, held_out: list[dict[str, Tensor]]) -> tuple[float, dict[str, Any]]:
    """Temperature and scores of the kept weights on the validation chips."""
    if not held_out:
        return 1.0, {}
    task.eval()
    generator = torch.Generator().manual_seed(task.learn.seed)
    share = _TEMPERATURE_PIXELS / sum(batch["codes"].numel() for batch in held_out)
    some, allowed = [], []
    with torch.inference_mode():
        for batch in held_out:
            here = {key: value.to(task.device) for key, value in batch.items()}
            logits, codes = task.predict_logits(here)
            task.count(logits, codes)
            flat, table = logits.movedim(1, -1).cpu(), task.criterion.allowed.cpu()
            may = table[codes.cpu().long()]
            chosen = (torch.rand(codes.shape, generator=generator) < share) & ~may.all(-1)
            some.append(flat[chosen])
            allowed.append(may[chosen])
    iou = task.take_scores()
    rounded = {name: None if v is None else round(v, 4) for name, v in iou.items()}
    scores = {"validation": {"iou": rounded, "chips": sum(len(b["codes"]) for b in held_out)}}
    return fit_temperature(torch.cat(some), torch.cat(allowed)), scores


def _facts(
    plan: Plan, card: ModelCard, task: Task, start: str, numerics: Any, store: PixelStore
) -> dict[str, Any]:
    """What a person sees before it starts."""
    return {
        "name": card.name,
        "architecture": card.architecture,
        "options": dict(card.options),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "start": start,
        "bands": list(card.keys),
        "classes": list(card.legend.names),
        "scenes": len(plan.training),
        "validation_scenes": len(plan.validation),
        "steps": plan.config.learn.steps,
        "first": task.steps_done,
        "device": numerics.device,
        "precision": numerics.precision,
        "in_memory": store.keeps,
        "notes": list(plan.notes),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says of machines and loaders, which we have settled."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
