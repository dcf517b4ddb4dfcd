"""Celery: two queues, wake-ups only; the database holds the work."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tierwise")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.task(name="config.celery.ping")
def ping(text: str) -> None:
    """Leave `celery-ping-<text>` in the cache: shows that messages reach a worker, and it the
    database."""
    from django.core.cache import cache

    cache.set(f"celery-ping-{text}", "pong", timeout=300)


@signals.setup_logging.connect
def _set_up_logging(**_kwargs: Any) -> None:
    """Keep Django's logging: Celery would replace it."""


@signals.worker_process_init.connect
def _die_with_parent(**_kwargs: Any) -> None:
    """A pool's process must not outlive a killed worker: two would share one queue of runs."""
    set_parent_death_signal(signal.SIGKILL)


@signals.worker_process_init.connect
def _close_inherited_connections(**_kwargs: Any) -> None:
    from django.db import connections

    with contextlib.suppress(Exception):
        connections.close_all()


def set_parent_death_signal(number: int) -> None:
    """Linux: send `number` to this process when the thread that started it ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG
