"""Secrets of this installation: given by the environment, or made at random below `VAR_DIR`."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from . import env


def stored(name: str, *, var_dir: Path) -> str:
    """The secret `name` of this `VAR_DIR`, made at the first call; 0600, never half written.

    Of two processes that come first together both get the same one.
    """
    folder = var_dir / "secrets"
    env.make_folder(folder)
    path = folder / name
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    draft = folder / f".{name}-{secrets.token_hex(4)}"
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(48) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return path.read_text().strip()


def signing_key(*, var_dir: Path, is_embedded: bool, may_store: bool, is_serving: bool) -> str:
    """Django's SECRET_KEY.

    Beside the embedded database, and where `may_store` (debugging, tests, the demo), a random one
    is made and kept. An external database means several machines may serve it, and each with a key
    of its own would break every session: serving then stops without `SECRET_KEY`. Commands that
    serve nobody get a key for their own life.
    """
    if given := env.text("SECRET_KEY"):
        if len(given) < 32:
            raise env.BadEnvironment("SECRET_KEY: write at least 32 random characters")
        return given
    if is_embedded or may_store:
        return stored("secret_key", var_dir=var_dir)
    if is_serving:
        raise env.BadEnvironment(
            "SECRET_KEY is not set. With DATABASE_URL there is no default: set it to at least 32 "
            "random characters, the same for every process (DEBUG=1 makes one for development)"
        )
    return secrets.token_urlsafe(48)
