"""What runs later. Messages only wake a worker; the database holds the work."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from celery import shared_task
from django.conf import settings

from config.clock import now, real_now
from membership.services import alert_delivery, alerting, recompute


@shared_task(name="membership.tasks.execute_due_runs")
def execute_due_runs() -> int:
    """Do every run that is queued, oldest first; returns how many."""
    done = 0
    while recompute.execute_next_run(clock=real_now) is not None:
        done += 1
    return done


@shared_task(name="membership.tasks.recompute_daily")
def recompute_daily() -> int:
    """Queue the day's run at the project's time; returns its id."""
    return recompute.request_run(
        as_of=now(), actor="schedule", now=real_now(), is_scheduled=True
    ).pk


@shared_task(name="membership.tasks.remove_old_alerts")
def remove_old_alerts() -> int:
    """Remove alerts that were over long ago; returns how many."""
    return alerting.remove_old_alerts(now=real_now())


@shared_task(name="membership.tasks.watch")
def watch() -> int:
    """Look at every alert rule, then tell the channels; returns how many alerts were opened."""
    zone = ZoneInfo(settings.TIME_ZONE)
    found = alerting.look(now=real_now(), project_now=now(), zone=zone)
    alert_delivery.deliver_due(clock=real_now, zone=zone)
    return found.opened
