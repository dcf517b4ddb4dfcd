"""Setting up a database: tables, what is fixed for good, periodic tasks. Safe to run again."""

from __future__ import annotations

from django.core.management import call_command
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from segmentation.models import DefinitionVersion, FactBatch, Installation, Run

from . import fixed
from .clock import real_now
from .env import BadEnvironment
from .fixed import Wanted

_LOCK = 0x54494552  # an advisory lock: two processes may set up at once
DAILY_HOUR = 2
TICK_SECONDS = 5


def set_up(wanted: Wanted, *, replace_unused: bool) -> Installation:
    """Migrate, store zone, currency and clock, make the periodic tasks that are missing.

    Other values than the stored ones stop with `BadEnvironment`, except with `replace_unused` in a
    database that holds no fact, no definition and no run yet.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        call_command("migrate", interactive=False, verbosity=0)
        _make_cache_table()
        with transaction.atomic():
            installation = _settle(wanted, replace_unused=replace_unused)
            make_periodic_tasks(installation.time_zone)
        return installation
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _settle(wanted: Wanted, *, replace_unused: bool) -> Installation:
    found = Installation.objects.filter(pk=1).first()
    if found is None:
        return _store(wanted)
    stored = fixed.Fixed(found.time_zone, found.base_currency, found.clock_start, found.set_up_at)
    if replace_unused and fixed.differences(stored, wanted) and is_unused():
        found.delete()
        return _store(wanted)
    fixed.refuse_differences(stored, wanted)
    return found


def _store(wanted: Wanted) -> Installation:
    currency = wanted.base_currency or "CNY"
    _refuse_unknown_currency(currency)
    return Installation.objects.create(
        pk=1,
        time_zone=wanted.time_zone or "Asia/Shanghai",
        base_currency=currency,
        clock_start=wanted.clock_start,
        set_up_at=real_now(),
    )


def _refuse_unknown_currency(currency: str) -> None:
    from segmentation.domain.values import currency_decimals

    try:
        currency_decimals(currency)
    except Exception:
        raise BadEnvironment(
            f"BASE_CURRENCY={currency!r}: write a currency of ISO 4217, such as CNY"
        ) from None


def is_unused() -> bool:
    """Whether nothing was recorded, defined or computed in this database yet."""
    return not any(model.objects.exists() for model in (FactBatch, DefinitionVersion, Run))


def _make_cache_table() -> None:
    call_command("createcachetable", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE oid = to_regclass('cache_entry')")
        row = cursor.fetchone()
        if row and row[0] == "p":
            cursor.execute("ALTER TABLE cache_entry SET UNLOGGED")  # a crash may empty a cache


def make_periodic_tasks(time_zone: str) -> None:
    """Only the missing ones: hours and switches that were changed in the admin stay."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

    daily, _ = CrontabSchedule.objects.get_or_create(
        minute="0",
        hour=str(DAILY_HOUR),
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone=time_zone,
    )
    tick, _ = IntervalSchedule.objects.get_or_create(
        every=TICK_SECONDS, period=IntervalSchedule.SECONDS
    )
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Daily recompute"),
        defaults={"task": "membership.tasks.recompute_daily", "crontab": daily, "queue": "runs"},
    )
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Execute due runs"),
        defaults={
            "task": "membership.tasks.execute_due_runs",
            "interval": tick,
            "queue": "runs",
            # ticks that nobody took in time are worth nothing: the next one finds the work
            "expire_seconds": TICK_SECONDS * 2,
        },
    )
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Execute due jobs"),
        defaults={
            "task": "segmentation.tasks.execute_due_jobs",
            "interval": tick,
            "expire_seconds": TICK_SECONDS * 2,
        },
    )
    minute, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Check alerts"),
        defaults={
            "task": "membership.tasks.watch",
            "interval": minute,
            "expire_seconds": 120,
        },
    )
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Remove old job files"),
        defaults={"task": "segmentation.tasks.remove_old_job_files", "crontab": daily},
    )
    PeriodicTask.objects.get_or_create(
        name=gettext_noop("Remove old alerts"),
        defaults={"task": "membership.tasks.remove_old_alerts", "crontab": daily},
    )
    # An unused database that is set up again in another zone takes its schedule along.
    PeriodicTask.objects.filter(
        name="Daily recompute", crontab__hour=str(DAILY_HOUR), crontab__minute="0"
    ).exclude(crontab__timezone=time_zone).update(crontab=daily)
