"""Several server processes on one address (SO_REUSEPORT), watched by one that does nothing else.

The processes share nothing but the database, whose leases keep their engines from doing the same
work twice. One that dies is started again; one that dies at once, again and again, ends all of it,
because then nothing that a restart can mend is wrong.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import structlog

from overair.config import Settings

QUICK_S = 5.0  # who dies sooner than this after its start was not serving
PATIENCE = 3
CHECK_S = 0.2
GRACE_S = 30.0

log = structlog.get_logger()


def supervise(settings: Settings, worker: Callable[[Settings], None]) -> int:
    """Run ``settings.workers`` processes of ``worker`` until SIGINT or SIGTERM; the exit status."""
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    def start() -> tuple[BaseProcess, float]:
        process = context.Process(target=worker, args=(settings,), daemon=False)
        process.start()
        return process, time.monotonic()

    running = [start() for _ in range(settings.workers)]
    quick_deaths = 0
    while not stopping and quick_deaths < PATIENCE:
        wait([process.sentinel for process, _ in running], CHECK_S)
        for place, (process, began) in enumerate(running):
            if process.is_alive() or stopping:
                continue
            lived = time.monotonic() - began
            quick_deaths = quick_deaths + 1 if lived < QUICK_S else 0
            log.error("a worker died", status=process.exitcode, lived_s=round(lived, 1))
            if quick_deaths >= PATIENCE:
                break
            running[place] = start()
    for process, _ in running:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process, _ in running:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
    return 0 if stopping else 1
