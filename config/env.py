"""Typed readers of the environment that fail loudly: a wrong value stops the start, named."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo


class BadEnvironment(SystemExit):
    """An environment variable that can't be used; the message names it and the remedy."""


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def boolean(name: str, default: bool) -> bool:
    value = text(name).lower()
    if value in ("",):
        return default
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise BadEnvironment(f"{name}={value!r}: write 1 or 0")


def integer(name: str, default: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise BadEnvironment(f"{name}={value!r}: write a whole number") from None


def folder(name: str, default: Path) -> Path:
    value = text(name)
    return Path(value).expanduser().resolve() if value else default


def words(name: str, default: list[str]) -> list[str]:
    """A list separated by commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or default


def currency(name: str, default: str) -> str:
    value = text(name, default)
    if value and not (len(value) == 3 and value.isascii() and value.isupper()):
        raise BadEnvironment(f"{name}={value!r}: write a currency of ISO 4217, such as CNY")
    return value


def zone(name: str, default: str) -> str:
    value = text(name, default)
    if not value:
        return value
    try:
        ZoneInfo(value)
    except Exception:
        raise BadEnvironment(
            f"{name}={value!r}: write a zone of the tz database, such as Asia/Shanghai"
        ) from None
    return value


def instant(name: str) -> datetime | None:
    value = text(name)
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise BadEnvironment(
            f"{name}={value!r}: write an ISO time with offset, such as 2018-01-01T00:00:00-05:00"
        )
    return parsed


def database(url: str) -> dict[str, object]:
    """Django's DATABASES entry of `postgresql://user:password@host:port/name?host=/socket/folder`."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise BadEnvironment("DATABASE_URL: write postgresql://user:password@host:port/name")
    query = dict(item.split("=", 1) for item in parts.query.split("&") if "=" in item)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.pop("host", parts.hostname or "")),
        "PORT": query.pop("port", str(parts.port or "")),
        "OPTIONS": {key: unquote(value) for key, value in query.items()},
    }
