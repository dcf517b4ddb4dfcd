"""Whose word counts about where a request came from: the proxies' in front, nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Network = IPv4Network | IPv6Network
UNIX = "unix"  # a proxy that comes over a socket file has no address
_TOLD = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")


class TrustedProxies:
    """Puts the client's own address into REMOTE_ADDR, where lock-out, throttles and the access log
    read it, when the request came through a proxy of TRUSTED_PROXIES. What anybody else says in
    these headers is taken out: with it, whoever is locked out could pretend to be elsewhere, and a
    plain connection to be a secure one. Must come first of all middleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        found = client_address(
            request.META.get("REMOTE_ADDR") or "",
            request.META.get("HTTP_X_FORWARDED_FOR", ""),
            trusted=settings.TRUSTED_PROXIES,
            trusts_unix=settings.TRUSTS_UNIX_SOCKET,
        )
        if found is None:
            for name in _TOLD:
                request.META.pop(name, None)
        else:
            request.META["REMOTE_ADDR"] = found
        return self.get_response(request)


def client_address(
    peer: str, forwarded: str, *, trusted: Sequence[Network], trusts_unix: bool
) -> str | None:
    """The client's address as trusted proxies tell it; None when the peer is not one of them.

    Each proxy adds the address it sees at the right, so the list is read from there up to the first
    that is no proxy of ours: what stands further left is what the client itself made up.
    """
    if not _is_trusted(peer, trusted, trusts_unix=trusts_unix):
        return None
    found = peer
    for word in reversed(forwarded.split(",")):
        address = _plain(word.strip())
        if address is None:
            break
        found = address
        if not _is_trusted(address, trusted, trusts_unix=False):
            break
    return found


def _plain(word: str) -> str | None:
    """An address without brackets and port; None for anything else."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        return str(ip_address(word))
    except ValueError:
        return None


def _is_trusted(address: str, trusted: Sequence[Network], *, trusts_unix: bool) -> bool:
    if not address:
        return trusts_unix
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # ::ffff:10.0.0.1 is 10.0.0.1
    return any((mapped or found) in network for network in trusted)
