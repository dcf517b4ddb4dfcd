"""Typed readers of the environment that fail loudly: a wrong value stops the start, named."""

from __future__ import annotations

import os
import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

# Zones come from the pinned tzdata alone: runs record its version, the system's may change.
zoneinfo.reset_tzpath(to=())
_DATABASE_FORM = "DATABASE_URL: write postgresql://user:password@host:port/name"


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


def positive(name: str, default: int) -> int:
    value = integer(name, default)
    if value < 1:
        raise BadEnvironment(f"{name}={value}: write a whole number above 0")
    return value


def size(name: str, default: str) -> str:
    value = text(name, default)
    if not re.fullmatch(r"[1-9][0-9]{0,6} ?[KMGT]i?B", value):
        raise BadEnvironment(f"{name}={value!r}: write a size, such as 3GB or 800MB")
    return value


def folder(name: str, default: Path) -> Path:
    value = text(name)
    return Path(value).expanduser().resolve() if value else default


def make_folder(path: Path) -> None:
    """Make `VAR_DIR` or a folder in it, for its owner alone, unless it is there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadEnvironment(
            f"VAR_DIR={path}: it can't be made ({error.strerror}), write another folder"
        ) from None


def choice(name: str, default: str, *, known: tuple[str, ...]) -> str:
    value = text(name, default)
    found = next((word for word in known if word.upper() == value.upper()), None)
    if found is None:
        raise BadEnvironment(f"{name}={value!r}: write one of {', '.join(known)}")
    return found


def rate(name: str, default: str) -> str:
    value = text(name, default)
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise BadEnvironment(f"{name}={value!r}: write for example 600/minute")
    return value


def words(name: str, default: list[str]) -> list[str]:
    """A list separated by commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or default


def networks(name: str, default: list[str]) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks separated by commas; the word `unix` is left out."""
    found: list[IPv4Network | IPv6Network] = []
    for word in words(name, default):
        if word == "unix":
            continue
        try:
            found.append(ip_network(word, strict=False))
        except ValueError:
            raise BadEnvironment(
                f"{name}={word!r}: write addresses or networks, such as 127.0.0.1,10.0.0.0/8"
            ) from None
    return found


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


def web_address(name: str) -> str:
    """`https://host[:port][/path]` without the slash at its end; empty if it is not given."""
    value = text(name).rstrip("/")
    if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/-]*)?", value):
        raise BadEnvironment(f"{name}={value!r}: write for example https://tierwise.example.com")
    return value


@dataclass(frozen=True)
class Mail:
    """A mail server; host "" for none."""

    host: str = ""
    port: int = 25
    user: str = ""
    password: str = ""
    is_tls: bool = False
    is_starttls: bool = False


# Scheme -> usual port, TLS from the start, TLS after STARTTLS.
_MAIL_SCHEMES = {
    "smtp": (587, False, True),
    "smtps": (465, True, False),
    "smtp+plain": (25, False, False),
}


def mail(name: str) -> Mail:
    """The server of `smtp://user:password@host:port`; the message of a refusal has no password."""
    url = text(name)
    if not url:
        return Mail()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in _MAIL_SCHEMES or not parts.hostname or parts.path.strip("/"):
        raise BadEnvironment(
            f"{name}: write smtp://user:password@host:587 (STARTTLS), smtps://user:password@host:465"
            " (TLS) or smtp+plain://host:25"
        )
    usual, is_tls, is_starttls = _MAIL_SCHEMES[parts.scheme]
    return Mail(
        host=parts.hostname,
        port=port or usual,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_tls=is_tls,
        is_starttls=is_starttls,
    )


def database(url: str) -> dict[str, object]:
    """Django's DATABASES entry of `postgresql://user:password@host:port/name?host=/socket/folder`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadEnvironment(_DATABASE_FORM) from None
    if parts.scheme not in ("postgres", "postgresql"):
        raise BadEnvironment(_DATABASE_FORM)
    query = dict(item.split("=", 1) for item in parts.query.split("&") if "=" in item)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.pop("host", parts.hostname or "")),
        "PORT": query.pop("port", str(port or "")),
        "OPTIONS": {key: unquote(value) for key, value in query.items()},
    }
