"""Seeds in several processes, each with a database of its own: a seed gives the same wherever it is run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.queues import SimpleQueue

from simulated_database import Backend
from simulated_process import START

from hutong import ledger
from simulation import open_backend, simulate
from support import migrated_database

WORKERS = min(2, os.cpu_count() or 1)
"""Half of the work is the server's, so that more of them than this would wait for it."""

_backends: list[Backend] = []
"""This worker's own."""
_kept = contextlib.ExitStack()


@dataclass(frozen=True)
class Part:
    """What some seeds found, in the database of one worker.

    Attributes:
        failed: The problems of each seed that had any.
        books: What does not hold in the books of all seeds that this worker has run so far.
    """

    seeds: int
    failed: dict[int, list[str]]
    books: list[str]


@contextlib.contextmanager
def open_workers(server_url: str) -> Iterator[ProcessPoolExecutor]:
    """Processes that run `run_seeds`."""
    context = multiprocessing.get_context("spawn")
    urls: SimpleQueue[str] = context.SimpleQueue()
    for _ in range(WORKERS):
        # One after the other: roles are of the whole server.
        url = migrated_database(server_url)
        urls.put(url)
    workers = ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_open, initargs=(urls,))
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def _open(urls: SimpleQueue[str]) -> None:
    _backends.append(_kept.enter_context(open_backend(urls.get())))


def run_seeds(seeds: Sequence[int]) -> Part:
    """Run seeds one after the other, in a worker."""
    (backend,) = _backends
    failed = {seed: verdict.problems for seed in seeds if (verdict := simulate(seed, backend)).problems}
    found = backend.run(ledger.check_invariants(backend.eyes, now=START + timedelta(days=1)))
    return Part(len(seeds), failed, [str(problem) for problem in found.problems])
