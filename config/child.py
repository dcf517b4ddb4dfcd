"""Runs a program that dies with its parent: `python -m config.child PARENT SIGNAL PROGRAM ...`."""

from __future__ import annotations

import ctypes
import os
import sys


def main(argv: list[str]) -> None:
    parent, number, program = int(argv[1]), int(argv[2]), argv[3:]
    ctypes.CDLL(None).prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG; survives exec
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv)
