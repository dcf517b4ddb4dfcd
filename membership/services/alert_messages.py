"""A message in the form that each kind of channel takes, and whether the answer means "taken".

Sources: WeCom group robots (developer.work.weixin.qq.com/document/path/91770), DingTalk custom
robots and their signature (open.dingtalk.com/document/robots/customize-robot-security-settings),
Feishu custom robots (open.feishu.cn/document/client-docs/bot-v3/add-custom-bot). All three answer
HTTP 200 also when they refuse; the code in the answer decides.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import get_language

from membership.models import AlertChannel

from .alert_http import Answer, Undeliverable

SIGNATURE = "X-Tierwise-Signature"
DELIVERY = "X-Tierwise-Delivery"
_LONGEST_REFUSAL = 200
_MOST_WECOM_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Message:
    """Words in the channel's language; `document` is what a generic webhook gets beside them."""

    key: str  # the event id: the same whenever the message is sent again
    title: str
    lines: tuple[str, ...]
    url: str = ""  # of the alert's page; "" when the installation does not know its address
    open_words: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What is POSTed where."""

    address: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def request_of(channel: AlertChannel, message: Message, *, now: datetime) -> Request:
    """The request for a robot or webhook, signed if the channel has a secret."""
    return _REQUESTS[channel.kind](channel, message, now)


def refuse_unless_taken(channel: AlertChannel, answer: Answer) -> None:
    """Raises `http_status`, `unreadable` or `refused` unless the other side took the message."""
    if not 200 <= answer.status < 300:
        raise Undeliverable("http_status", str(answer.status))
    if channel.kind == AlertChannel.Kind.WEBHOOK:
        return
    try:
        told = json.loads(answer.body)
        code = told.get("errcode", told.get("code", told.get("StatusCode")))
    except (ValueError, AttributeError):
        raise Undeliverable("unreadable") from None
    if code is None or isinstance(code, (list, dict)):
        raise Undeliverable("unreadable")
    if code != 0:
        text = str(told.get("errmsg") or told.get("msg") or told.get("StatusMessage") or "")
        words = "".join(sign for sign in f"{code} {text}" if sign.isprintable())
        raise Undeliverable("refused", words[:_LONGEST_REFUSAL].strip())


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _hmac_base64(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


def _plain(text: str) -> str:
    """Without the signs by which a robot would mention people or break out of the text."""
    return text.translate({ord("<"): "‹", ord(">"): "›", ord("["): "〔", ord("]"): "〕"})


def _markdown(message: Message, *, break_: str) -> str:
    lines = [f"**{_plain(message.title)}**", *map(_plain, message.lines)]
    if message.url:
        lines.append(f"[{_plain(message.open_words)}]({message.url})")
    return break_.join(lines)


def _webhook(channel: AlertChannel, message: Message, now: datetime) -> Request:
    """The signature covers time and body: `t=SECONDS,v1=HEX`, HMAC-SHA256 of `SECONDS.BODY`."""
    text = "\n".join(message.lines)
    words = {"title": message.title, "text": text, "url": message.url}
    body = _json({"id": message.key, **words, **message.document})
    headers = {DELIVERY: message.key}
    if channel.secret:
        stamp = str(int(now.timestamp()))
        signed = hmac.new(channel.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
        headers[SIGNATURE] = f"t={stamp},v1={signed.hexdigest()}"
    return Request(channel.address, body, headers)


def _wecom(channel: AlertChannel, message: Message, now: datetime) -> Request:
    """Signs nothing: the key is part of the address."""
    text = _markdown(message, break_="\n").encode()[:_MOST_WECOM_BYTES].decode(errors="ignore")
    document = {"msgtype": "markdown", "markdown": {"content": text}}
    return Request(channel.address, _json(document))


def _dingtalk(channel: AlertChannel, message: Message, now: datetime) -> Request:
    """`sign` is HMAC-SHA256 with the secret as key, of milliseconds, newline and the secret."""
    address = channel.address
    if channel.secret:
        stamp = str(int(now.timestamp() * 1000))
        sign = _hmac_base64(channel.secret, f"{stamp}\n{channel.secret}")
        joint = "&" if "?" in address else "?"
        address = f"{address}{joint}{urlencode({'timestamp': stamp, 'sign': sign})}"
    text = _markdown(message, break_="\n\n")
    document = {"msgtype": "markdown", "markdown": {"title": message.title, "text": text}}
    return Request(address, _json(document))


def _feishu(channel: AlertChannel, message: Message, now: datetime) -> Request:
    """`sign` is HMAC-SHA256 of nothing, with seconds, newline and the secret as key."""
    lines: list[list[dict[str, str]]] = [[{"tag": "text", "text": line}] for line in message.lines]
    if message.url:
        lines.append([{"tag": "a", "text": message.open_words, "href": message.url}])
    language = "zh_cn" if (get_language() or "").startswith("zh") else "en_us"
    post = {language: {"title": message.title, "content": lines}}
    document: dict[str, Any] = {"msg_type": "post", "content": {"post": post}}
    if channel.secret:
        stamp = str(int(now.timestamp()))
        sign = _hmac_base64(f"{stamp}\n{channel.secret}", "")
        document = {"timestamp": stamp, "sign": sign, **document}
    return Request(channel.address, _json(document))


_REQUESTS: Mapping[str, Callable[[AlertChannel, Message, datetime], Request]] = {
    AlertChannel.Kind.WEBHOOK: _webhook,
    AlertChannel.Kind.WECOM: _wecom,
    AlertChannel.Kind.DINGTALK: _dingtalk,
    AlertChannel.Kind.FEISHU: _feishu,
}
