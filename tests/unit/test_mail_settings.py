"""The mail server and the public address, read from the environment."""

from __future__ import annotations

import pytest

from config import env


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", env.Mail()),
        ("smtp://li:pa%40ss@mail.example.com",
         env.Mail("mail.example.com", 587, "li", "pa@ss", is_tls=False, is_starttls=True)),
        ("smtps://mail.example.com:4650",
         env.Mail("mail.example.com", 4650, is_tls=True, is_starttls=False)),
        ("smtp+plain://127.0.0.1:2525", env.Mail("127.0.0.1", 2525)),
    ],
)  # fmt: skip
def test_mail_servers(monkeypatch: pytest.MonkeyPatch, url: str, expected: env.Mail) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    assert env.mail("EMAIL_URL") == expected


@pytest.mark.parametrize(
    "url", ["mail.example.com", "http://x", "smtp://", "smtp://li:secret@x:y", "smtp://x/inbox"]
)
def test_what_is_no_mail_server_stops_the_start_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    with pytest.raises(env.BadEnvironment, match="EMAIL_URL: write smtp://") as refused:
        env.mail("EMAIL_URL")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("https://t.example.com/", "https://t.example.com"),
     ("http://localhost:8000/tierwise/", "http://localhost:8000/tierwise")],
)  # fmt: skip
def test_the_public_address(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setenv("PUBLIC_URL", text)
    assert env.web_address("PUBLIC_URL") == expected


@pytest.mark.parametrize("text", ["t.example.com", "javascript:x", "https://x/?a=b", "https://x y"])
def test_what_is_no_public_address(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PUBLIC_URL", text)
    with pytest.raises(env.BadEnvironment, match="PUBLIC_URL="):
        env.web_address("PUBLIC_URL")
