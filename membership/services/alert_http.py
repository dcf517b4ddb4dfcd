"""Sending JSON to an address that a person typed in, without becoming a way into our own network.

Guarantee: only HTTPS; no redirect is followed; every address that the name resolves to is public,
and the connection goes to one that was checked, so a name that answers differently the second time
gains nothing. `ALERT_INTERNAL_HOSTS` names hosts that are trusted: they may be private and speak
HTTP. The whole exchange takes ten seconds after the name is known, however slowly the other side
answers.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

TIMEOUT = 10.0
_MOST_ANSWERED = 64 * 1024
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Undeliverable(Exception):
    """A message could not be delivered: a stable code, and details without address or secret."""

    def __init__(self, code: str, details: str = "") -> None:
        super().__init__(f"{code} {details}".strip())
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said; at most 64 KiB of it."""

    status: int
    body: bytes


def split_address(address: str) -> SplitResult:
    """The parts of an address that may be sent to. Raises `bad_address`, `https_only`."""
    try:
        parts = urlsplit(address)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except (ValueError, UnicodeError):
        raise Undeliverable("bad_address") from None
    is_clean = address.isprintable() and " " not in address and not parts.username
    if parts.scheme not in ("http", "https") or not host or not is_clean or port == 0:
        raise Undeliverable("bad_address")
    if parts.scheme == "http" and not _is_internal(host):
        raise Undeliverable("https_only")
    return parts


def post(address: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
    """POST `body` and read the answer, whatever its status. Raises `Undeliverable`."""
    parts = split_address(address)
    host = (parts.hostname or "").encode("idna").decode()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    place = _checked(host, port)
    is_over = threading.Event()
    try:
        plain = socket.create_connection((place, port), TIMEOUT)
    except TimeoutError:
        raise Undeliverable("timeout") from None
    except OSError:
        raise Undeliverable("no_connection") from None
    second = plain.dup()  # TLS takes the first one away
    deadline = threading.Timer(TIMEOUT, _cut, [second, is_over])
    deadline.daemon = True
    deadline.start()
    connection = _Secure(host, port) if parts.scheme == "https" else _Plain(host, port)
    connection.plain = plain
    try:
        path = parts.path or "/"
        connection.request(
            "POST",
            f"{path}?{parts.query}" if parts.query else path,
            body=body,
            headers={"Content-Type": "application/json; charset=utf-8", **headers},
        )
        answer = connection.getresponse()
        found = Answer(answer.status, answer.read(_MOST_ANSWERED))
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        # What is cut at the deadline looks like a broken connection or handshake.
        if is_over.is_set() or isinstance(error, TimeoutError):
            raise Undeliverable("timeout") from None
        is_tls = isinstance(error, ssl.SSLError)
        raise Undeliverable("certificate" if is_tls else "no_connection") from None
    finally:
        deadline.cancel()
        connection.close()
        plain.close()
        second.close()
    if is_over.is_set():  # an answer that was cut in its middle may look like its end
        raise Undeliverable("timeout")
    return found


def _is_internal(host: str) -> bool:
    return host.lower() in {each.lower() for each in settings.ALERT_INTERNAL_HOSTS}


def _checked(host: str, port: int) -> str:
    """One of the host's addresses. Raises `unknown_host`; `private_address` if any of them is."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Undeliverable("unknown_host") from None
    places = [str(entry[4][0]) for entry in found]
    if not places:
        raise Undeliverable("unknown_host")
    if not _is_internal(host) and not all(is_public(place) for place in places):
        raise Undeliverable("private_address")
    return places[0]


def is_public(place: str) -> bool:
    """Whether an IP address is one of the open internet, also where it wraps another."""
    try:
        found = ipaddress.ip_address(place.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


class _Plain(http.client.HTTPConnection):
    """Speaks over the connection to the address that was checked, whatever the name says now."""

    plain: socket.socket

    def connect(self) -> None:
        self.sock = self.plain


class _Secure(http.client.HTTPSConnection):
    plain: socket.socket

    def connect(self) -> None:
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.plain, server_hostname=self.host)


def _cut(plain: socket.socket, is_over: threading.Event) -> None:
    """End an exchange that goes on for too long, from another thread."""
    is_over.set()
    with contextlib.suppress(OSError):
        plain.shutdown(socket.SHUT_RDWR)
