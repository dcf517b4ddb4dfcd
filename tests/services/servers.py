"""Debian's PostgreSQL, Redis and RabbitMQ, each on a free port of the loopback interface, in a
temporary folder, as the account its package made. A server that runs on the machine is not used."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "postgresql": "/usr/lib/postgresql",
    "redis-server": "/usr/bin/redis-server",
    "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
}
START_SECONDS = 90.0
_POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before it starts a new service


@dataclass(frozen=True, slots=True)
class Servers:
    postgresql: str
    redis: str
    rabbitmq: str


def install_missing() -> None:
    """As root by apt-get, without starting anything; else stop with what to do."""
    missing = [name for name, path in PACKAGES.items() if not Path(path).exists()]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"As root: apt-get install {' '.join(missing)}")
    with _nothing_starts():
        for command in (["update", "-qq"], ["install", "-y", "-qq", *missing]):
            subprocess.run(
                ["apt-get", *command],
                check=True,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            )


@contextlib.contextmanager
def _nothing_starts() -> Iterator[None]:
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


@contextlib.contextmanager
def running() -> Iterator[Servers]:
    """All three, ready; gone afterwards with everything they wrote."""
    # Short and enterable: the servers run as other accounts than ours.
    with tempfile.TemporaryDirectory(prefix="tierwise-services-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (
            _postgresql(folder) as postgresql,
            _redis(folder) as redis,
            _rabbitmq(folder) as rabbitmq,
        ):
            yield Servers(postgresql, redis, rabbitmq)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _home(folder: Path, account: str) -> tuple[Path, dict[str, object]]:
    """A folder for a server, and how `subprocess` becomes its account."""
    home = folder / account
    home.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return home, {}
    found = pwd.getpwnam(account)
    os.chown(home, found.pw_uid, found.pw_gid)
    return home, {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def _server(
    command: list[str],
    *,
    home: Path,
    switch: dict[str, object],
    is_ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
) -> Iterator[None]:
    with open(home.parent / f"{home.name}.log", "wb") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command,
            cwd=home,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home)} | (environment or {}),
            start_new_session=True,
            **switch,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = Path(log.name).read_text(errors="replace")[-3000:]
                    raise SystemExit(f"{command[0]} did not start:\n{tail}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()


def _answers(port: int, *, sent: bytes, wanted: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as found:
            found.sendall(sent)
            return found.recv(64).startswith(wanted)
    except OSError:
        return False


@contextlib.contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    home, switch = _home(folder, "postgres")
    versions = sorted(Path(PACKAGES["postgresql"]).glob("*/bin"), key=lambda p: int(p.parent.name))
    programs = versions[-1]
    data = home / "data"
    trusting = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run(
        [f"{programs}/initdb", "-D", str(data), "-U", "tierwise", *trusting],
        cwd=home,
        check=True,
        capture_output=True,
        **switch,  # type: ignore[call-overload]
    )
    port = free_port()
    command = [f"{programs}/postgres", "-D", str(data), "-p", str(port), "-k", str(home)]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]

    def is_ready() -> bool:
        probe = [f"{programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(probe, check=False).returncode == 0

    with _server([*command, *options], home=home, switch=switch, is_ready=is_ready):
        address = ["-h", "127.0.0.1", "-p", str(port), "-U", "tierwise"]
        subprocess.run([f"{programs}/createdb", *address, "tierwise"], check=True)
        yield f"postgresql://tierwise@127.0.0.1:{port}/tierwise"


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    home, switch = _home(folder, "redis")
    port = free_port()
    command = [PACKAGES["redis-server"], "--port", str(port), "--bind", "127.0.0.1"]
    options = ["--dir", str(home), "--save", "", "--appendonly", "no", "--daemonize", "no"]
    with _server(
        [*command, *options],
        home=home,
        switch=switch,
        is_ready=lambda: _answers(port, sent=b"PING\r\n", wanted=b"+PONG"),
    ):
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def _rabbitmq(folder: Path) -> Iterator[str]:
    home, switch = _home(folder, "rabbitmq")
    port, names, nodes = free_port(), free_port(), free_port()
    environment = {
        # Everything of its own, also the name server that Erlang starts, so a RabbitMQ of the
        # machine is neither used nor disturbed.
        "RABBITMQ_NODENAME": f"tierwise{secrets.token_hex(4)}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(nodes),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "LANG": "C.UTF-8",
    }
    try:
        with _server(
            [PACKAGES["rabbitmq-server"]],
            home=home,
            switch=switch,
            environment=environment,
            is_ready=lambda: _answers(port, sent=b"AMQP\0\0\x09\x01", wanted=b"\x01"),
        ):
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        subprocess.run(
            ["epmd", "-port", str(names), "-kill"], check=False, stdout=subprocess.DEVNULL
        )
