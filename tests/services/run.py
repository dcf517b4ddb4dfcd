"""`make test-services`: installs and starts the servers, runs the marked tests, stops them."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys

from tests.conftest import REPOSITORY
from tests.services.servers import install_missing, running


def main(words: list[str]) -> int:
    # A cancelled job gets SIGTERM: without this the servers, in sessions of their own, live on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    install_missing()
    with running() as servers:
        environment = os.environ | {
            "DATABASE_URL": servers.postgresql,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "TEST_REDIS_URL": servers.redis,
            "TEST_RABBITMQ_URL": servers.rabbitmq,
        }
        environment.pop("CELERY_BROKER_URL", None)
        command = [sys.executable, "-m", "pytest", "-m", "services", *words]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
