"""Dask distributed as a `Pool`."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agriseg.errors import WorkerError, said_by
from agriseg.models import PackedModel
from agriseg.pipeline.many import Advance, Done
from agriseg.pipeline.tasks import REPORTING, GdalSettings, within

if TYPE_CHECKING:
    from distributed import Future

_LOG = logging.getLogger(__name__)

Client = Any  # of distributed, which is typed in parts only

__all__ = ["Client", "DaskPool", "connected", "pool_of"]

_CONNECT_S, _START_S = 30.0, 120.0
# Between looks whether the scheduler is still there.
_LOOK_S = 1.0
# Between counts of the workers of a scheduler, of which some may come late.
_COUNT_S = 3.0
# So long without any is worth a word; a batch system may take hours to give new ones.
_LONELY_S = 60.0
# Bytes of a model that travel with each task; so many larger ones are kept by workers.
_LIGHT, _MODELS = 10_000, 2


class DaskPool:
    """Sends tasks to the workers of a scheduler, with what the caller has set of GDAL.

    Args:
        client: Of Dask distributed.
        look: Called now and then while nothing comes in; raises where nothing will.
        is_single: Whether there is one worker, and will never be another.
    """

    def __init__(
        self, client: Client, look: Callable[[], None] = lambda: None, *, is_single: bool = False
    ) -> None:
        self._client, self._look_at_workers, self.is_single = client, look, is_single
        self._settings = GdalSettings.of_caller()
        self._topic = f"agriseg-{uuid.uuid4()}"
        self._told: queue.SimpleQueue[Advance | tuple[int, Future[Any]]] = queue.SimpleQueue()
        self._futures: dict[int, Future[Any]] = {}
        self._models: dict[str, Future[PackedModel]] = {}
        self._workers, self._threads = 1, 1
        self._seen, self._is_told = time.monotonic(), False
        self._count()
        client.subscribe_topic(self._topic, self._hear)

    @property
    def workers(self) -> int:
        # Asking takes a round trip: too long to do it for each task.
        if time.monotonic() - self._counted > _COUNT_S:
            self._count()
        return self._workers

    @property
    def threads(self) -> int:
        return self._threads

    def _count(self) -> None:
        self._counted = time.monotonic()
        with contextlib.suppress(Exception):  # the scheduler may be gone, of which `next` tells
            if found := _workers_of(self._client):
                self._workers = len(found)
                threads = sum(one["nthreads"] for one in found.values())
                self._threads = max(threads // len(found), 1)
                self._seen, self._is_told = self._counted, False
            elif self._counted - self._seen > _LONELY_S and not self._is_told:
                self._is_told = True
                _LOG.warning(
                    "the scheduler has no workers any more; the run waits for new ones, and what "
                    "is finished is kept if you stop it"
                )

    @property
    def dashboard(self) -> str | None:
        """Where to look on, if the scheduler can show it."""
        if find_spec("bokeh") is None:
            return None
        return str(self._client.dashboard_link)

    def submit(self, task: int, work: Callable[..., Any], *args: Any) -> None:
        extra = {"report": _Report(self._topic, task)} if work in REPORTING else {}
        key = f"{work.__name__}-{self._topic[-12:]}-{task}"
        try:
            light = [self._light(one) if isinstance(one, PackedModel) else one for one in args]
            future = self._client.submit(
                within, self._settings, work, *light, **extra, pure=False, key=key
            )
        except (OSError, RuntimeError) as error:  # of a client that has lost its scheduler
            raise self._gone() from error
        self._futures[task] = future
        future.add_done_callback(lambda future: self._told.put((task, future)))

    def _light(self, model: PackedModel) -> PackedModel | Future[PackedModel]:
        """What stands for a model in a task: workers hand each other one that is large.

        It is the result of a task, for such are made anew where the worker dies that has it.
        """
        if len(model) < _LIGHT:
            return model
        if model.digest not in self._models:
            key = f"model-{model.digest}"
            sent = self._client.submit(_itself, model, pure=False, key=key)
            # Of scenes with a large model each, none is kept for those that are over.
            self._models = dict([*self._models.items(), (model.digest, sent)][-_MODELS:])
        return self._models[model.digest]

    def next(self) -> Done | Advance:
        while True:
            try:
                told = self._told.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if isinstance(told, Advance):
                return told
            task, future = told
            self._futures.pop(task, None)
            return self._done(task, future)

    def ask(self, work: Callable[..., Any], *args: Any) -> list[Any]:
        """What each worker answers, of those that stay until it does.

        Raises:
            WorkerError: None does.
            Exception: The first that `work` raised.
        """
        from distributed import TimeoutError as TooLate

        asked = {
            worker: self._client.submit(
                within, self._settings, work, *args, workers=[worker], pure=False
            )
            for worker in _workers_of(self._client)
        }
        answers = []
        for worker, future in asked.items():
            while worker in _workers_of(self._client):
                try:
                    answers.append(future.result(timeout=_LOOK_S))
                    break
                except TooLate:
                    self._look()
        if not answers:
            raise self._gone()
        return answers

    def close(self) -> None:
        """Have nobody work on what is left."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures.values()), asynchronous=False)
        self._futures.clear()
        self._models.clear()

    def _hear(self, event: tuple[float, tuple[int, int, float]]) -> None:
        self._told.put(Advance(*event[1]))

    def _look(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise self._gone()
        self._look_at_workers()
        if time.monotonic() - self._counted > _COUNT_S:
            self._count()

    def _gone(self) -> WorkerError:
        return WorkerError(
            "the scheduler is gone; rows that were finished are kept: start it again, and the same "
            "command goes on from here"
        )

    def _done(self, task: int, future: Future[Any]) -> Done:
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise self._gone()
        if future.status == "finished":
            # Fetching takes as long as a task that does nothing, so it is done only for a value.
            return Done(task, None if future.type is type(None) else future.result())
        error = future.exception()  # type: ignore[no-untyped-call]
        if isinstance(error, KilledWorker):
            error = WorkerError(
                "the workers that had it died one after the other, perhaps for want of memory; use "
                "fewer workers, a smaller --chip or --threads, and start the same command again"
            )
        assert isinstance(error, Exception)
        return Done(task, error=error)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """False of what asyncio says later where Dask closed a connection in the midst of a pause.

    `distributed.batched` pauses by waiting for what does not come within 10 ms. Where its loop ends
    before it hears of that, asyncio tells of an exception that nobody asked for.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return kind is not TimeoutError or "never retrieved" not in record.getMessage()


def _itself(model: PackedModel) -> PackedModel:
    return model


def _workers_of(client: Client) -> dict[str, dict[str, Any]]:
    return dict(client.scheduler_info(n_workers=-1)["workers"])


class _Report:
    """Tells the client from a worker how many pixels a task has finished."""

    def __init__(self, topic: str, task: int) -> None:
        self._topic, self._task = topic, task

    def __call__(self, pixels: int, seconds: float) -> None:
        from distributed import get_worker

        with contextlib.suppress(ValueError):  # not in a worker
            get_worker().log_event(self._topic, (self._task, pixels, seconds))


@contextlib.contextmanager
def connected(address: str) -> Iterator[DaskPool]:
    """The workers of a scheduler that runs somewhere.

    Args:
        address: Such as `tcp://10.0.0.5:8786`, or a scheduler file.

    Raises:
        WorkerError: It cannot be reached, or no worker comes.
    """
    from distributed import Client

    file = address if Path(address).is_file() else None
    try:
        client = Client(  # type: ignore[no-untyped-call]
            None if file else address, scheduler_file=file, timeout=_CONNECT_S
        )
    except (OSError, ValueError, ImportError) as error:
        raise WorkerError(
            f"no scheduler answers at {address} ({said_by(error)}); start one with dask scheduler, "
            "and give the address that it prints"
        ) from error
    with client, pool_of(client) as pool:
        yield pool


@contextlib.contextmanager
def pool_of(
    client: Client,
    least: int = 1,
    *,
    at_start: Callable[[], None] = lambda: None,
    later: Callable[[], None] = lambda: None,
    is_single: bool = False,
) -> Iterator[DaskPool]:
    """The pool of a client, once it has workers.

    Args:
        client: Of Dask distributed.
        least: So many are waited for.
        at_start: Called while they are; raises where none will come.
        later, is_single: See `DaskPool`.

    Raises:
        WorkerError: They do not come.
    """
    logging.getLogger("asyncio").addFilter(_is_worth_saying)
    until = time.monotonic() + _START_S
    while len(_workers_of(client)) < least:
        at_start()
        if time.monotonic() > until:
            raise WorkerError(
                f"no worker came within {_START_S:.0f} s; start some with dask worker and the "
                "scheduler's address"
            )
        time.sleep(0.1)
    pool = DaskPool(client, later, is_single=is_single)
    try:
        yield pool
    finally:
        pool.close()
