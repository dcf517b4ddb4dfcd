"""Too many failed log-ins lock a name at an address for a while; too many wrong codes wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_otp.plugins.otp_totp.models import TOTPDevice

from config.clock import real_now
from tests.fixtures.cast import PASSWORD, Cast

Enter = Callable[..., Client]
LIMIT = 3


@pytest.fixture(autouse=True)
def locking(settings: Any) -> None:
    settings.AXES_ENABLED = True
    settings.AXES_FAILURE_LIMIT = LIMIT


def log_in(username: str, password: str, *, address: str = "10.0.0.1", language: str = "en") -> Any:
    client = Client(headers={"accept-language": language}, REMOTE_ADDR=address)
    return client.post(reverse("admin:login"), {"username": username, "password": password})


def lock(username: str, *, address: str = "10.0.0.1") -> Any:
    for _turn in range(LIMIT):
        answer = log_in(username, "wrong", address=address)
    return answer


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "You can try again in 15 minutes"), ("zh-hans", "15 分钟后可以重试")],
)
def test_the_page_says_how_long(cast: Cast, language: str, words: str) -> None:
    lock("analyst")
    answer = log_in("analyst", PASSWORD, language=language)
    assert answer.status_code == 429
    assert words in answer.content.decode()
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    assert "sessionid" not in answer.cookies


def test_the_right_password_does_not_help_and_the_wait_does_not_grow(cast: Cast) -> None:
    lock("analyst")
    before = AccessAttempt.objects.get()
    assert log_in("analyst", PASSWORD).status_code == 429
    after = AccessAttempt.objects.get()
    assert (after.failures_since_start, after.attempt_time) == (LIMIT, before.attempt_time)
    assert not AccessLog.objects.exists()


def test_after_the_wait_it_works_again(cast: Cast) -> None:
    lock("analyst")
    AccessAttempt.objects.update(attempt_time=real_now() - timedelta(minutes=16))
    assert log_in("analyst", PASSWORD).status_code == 302
    assert [row.username for row in AccessLog.objects.all()] == ["analyst"]


def test_nobody_locks_a_colleague_out_from_elsewhere(cast: Cast) -> None:
    lock("analyst", address="10.9.9.9")
    assert log_in("analyst", PASSWORD, address="10.0.0.1").status_code == 302
    assert log_in("auditor", PASSWORD, address="10.9.9.9").status_code == 302


def test_failures_are_kept_without_passwords(cast: Cast) -> None:
    log_in("analyst", "my secret typo")
    assert AccessFailureLog.objects.count() == 1
    row = AccessAttempt.objects.get()
    assert "my secret typo" not in row.post_data + row.get_data


def test_unlocking_is_a_right_and_is_written_down(cast: Cast, enter: Enter) -> None:
    lock("analyst")
    row = AccessAttempt.objects.get()
    address = reverse("admin:axes_accessattempt_changelist")
    form = {"action": "unlock", "_selected_action": [row.pk]}
    auditor = enter(cast.auditor)
    assert "Locked until" in auditor.get(address).content.decode()
    auditor.post(address, form)
    assert AccessAttempt.objects.filter(pk=row.pk).exists()
    boss = User.objects.create_superuser("boss", password=PASSWORD)
    enter(boss).post(address, form)
    assert not AccessAttempt.objects.exists()
    assert log_in("analyst", PASSWORD).status_code == 302
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (boss, str(cast.analyst.pk))
    history = enter(boss).get(reverse("admin:auth_user_history", args=[cast.analyst.pk]))
    assert "Unlocked after failed log-ins" in history.content.decode()


@pytest.mark.parametrize(
    ("failures", "words"),
    [(5, "seconds"), (10, "The next one is looked at in 9 minutes")],
)
def test_wrong_codes_wait_longer_each_time(
    cast: Cast, enter: Enter, failures: int, words: str
) -> None:
    device = TOTPDevice.objects.create(
        user=cast.analyst, confirmed=True, throttling_failure_count=failures,
        throttling_failure_timestamp=real_now(),
    )  # fmt: skip
    page = enter(cast.analyst).post(reverse("second_factor"), {"code": "123456"})
    problems = " ".join(page.context["form"].errors["code"])
    assert words.casefold() in problems.casefold()
    device.refresh_from_db()
    assert device.throttling_failure_count == failures  # a refused look is no further failure
