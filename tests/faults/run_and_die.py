"""Does the next queued run in a process of its own and dies by SIGKILL at a named point.

    python -m tests.faults.run_and_die POINT [run|instant]

POINT: module:attribute[:after], or "-" for none. `instant`: a batch of the instant path instead of
a run. The attribute is called for real first when `:after` is given.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

import django

django.setup()

from config.clock import real_now  # noqa: E402
from membership.services.instant import do_batch  # noqa: E402
from membership.services.recompute import execute_next_run  # noqa: E402


def die_at(point: str) -> None:
    module_name, name, *when = point.split(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = name.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real = getattr(owner, name)

    def dying(*args: Any, **named: Any) -> None:
        if when:
            real(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)


if __name__ == "__main__":
    if sys.argv[1] != "-":
        die_at(sys.argv[1])
    if sys.argv[2:] == ["instant"]:
        batch = do_batch(clock=real_now, real=real_now)
        sys.exit(0 if batch is not None else 1)
    done = execute_next_run(clock=real_now)
    sys.exit(0 if done is not None and done.status == "published" else 1)
