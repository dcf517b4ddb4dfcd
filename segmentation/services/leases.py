"""Who holds a run, and whether that process still lives."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def lease_owner() -> str:
    """A name for this process's hold on a run, unique also among reused process ids."""
    parts = (socket.gethostname(), _boot_id(), str(os.getpid()), _started(os.getpid()))
    return "/".join((*parts, secrets.token_hex(4)))


def owner_is_gone(owner: str) -> bool:
    """True when the owner surely no longer runs: a process of this machine that has ended.

    An owner on another machine is never known to be gone; its lease must run out.
    """
    parts = owner.split("/")
    if len(parts) != 5 or parts[:2] != [socket.gethostname(), _boot_id()]:
        return False
    return _started(int(parts[2])) != parts[3]


def _boot_id() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        # Containers may share host name and boot, not process ids: those of one mean nothing in
        # another, and a live owner would look gone.
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """When the process started, in clock ticks since boot; empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
