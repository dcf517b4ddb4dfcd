"""celery-beat whose crontabs follow the project's clock (`CLOCK_START`)."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from celery.schedules import schedstate
from celery.utils.time import maybe_make_aware
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from django_celery_beat.tzcrontab import TzAwareCrontab

from .clock import now, real_now


class ProjectCrontab(TzAwareCrontab):  # type: ignore[misc]
    """A crontab that reads the project's clock; `last_run_at` is the real clock's."""

    def nowfunc(self) -> datetime:
        return now().astimezone(self.tz)

    def is_due(self, last_run_at: datetime) -> Any:
        behind: timedelta = now() - real_now()
        return super().is_due(last_run_at.astimezone(self.tz) + behind)


def on_project_clock(crontab: TzAwareCrontab) -> ProjectCrontab:
    zone: tzinfo = crontab.tz
    return ProjectCrontab(
        minute=crontab._orig_minute,
        hour=crontab._orig_hour,
        day_of_week=crontab._orig_day_of_week,
        day_of_month=crontab._orig_day_of_month,
        month_of_year=crontab._orig_month_of_year,
        tz=zone,
        app=crontab.app,
    )


class ProjectEntry(ModelEntry):  # type: ignore[misc]
    def is_due(self) -> Any:
        if self.model.enabled and isinstance(self.schedule, TzAwareCrontab):
            # beat would sleep through a step of the clock otherwise: look again every minute
            due, seconds = on_project_clock(self.schedule).is_due(
                maybe_make_aware(self.last_run_at)
            )
            return schedstate(due, min(seconds, 60.0))
        return super().is_due()


class ProjectScheduler(DatabaseScheduler):  # type: ignore[misc]
    """The periodic tasks of the admin, crontabs by the project's clock."""

    Entry = ProjectEntry
