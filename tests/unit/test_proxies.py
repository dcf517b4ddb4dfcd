"""Where a request came from: believed of trusted proxies, of nobody else."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from config.proxies import TrustedProxies, client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, 10.0.0.9", "203.0.113.7"),  # two of ours
        ("127.0.0.1", "1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the client made up the first
        ("127.0.0.1", "10.9.9.9, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ("127.0.0.1", "1.1.1.1, nonsense, 10.0.0.9", "10.0.0.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7:55123", "203.0.113.7"),
        ("fd00::1", "[2001:db8::7]:55123", "2001:db8::7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("203.0.113.9", "127.0.0.1", None),  # no proxy of ours
        ("", "203.0.113.7", None),
        ("not an address", "203.0.113.7", None),
    ],
)
def test_the_address_of_a_client(peer: str, forwarded: str, found: str | None) -> None:
    assert client_address(peer, forwarded, trusted=PROXIES, trusts_unix=False) == found


def test_a_socket_file_is_trusted_only_when_told() -> None:
    for trusts_unix, found in ((True, "203.0.113.7"), (False, None)):
        assert client_address("", "203.0.113.7", trusted=PROXIES, trusts_unix=trusts_unix) == found
    # A forwarded address that is empty is no socket file.
    assert client_address("", ", ", trusted=PROXIES, trusts_unix=True) == ""


@pytest.mark.parametrize("is_proxy", [True, False])
def test_headers_of_strangers_are_taken_out(settings: Any, is_proxy: bool) -> None:
    settings.TRUSTED_PROXIES, settings.TRUSTS_UNIX_SOCKET = PROXIES, False
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    seen: list[HttpRequest] = []

    def look(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    peer = "10.0.0.1" if is_proxy else "198.51.100.1"
    request = RequestFactory(REMOTE_ADDR=peer).get(
        "/", headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    )
    TrustedProxies(look)(request)
    assert seen[0].META["REMOTE_ADDR"] == ("203.0.113.7" if is_proxy else peer)
    assert seen[0].is_secure() is is_proxy
