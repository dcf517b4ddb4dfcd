from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Installation(models.Model):
    """What was fixed when the database was set up; one row."""

    time_zone = models.CharField(_("time zone"), max_length=64)
    base_currency = models.CharField(_("base currency"), max_length=3)
    clock_start = models.DateTimeField(_("sample clock starts at"), null=True, blank=True)
    set_up_at = models.DateTimeField(_("set up at"))  # the real clock

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installation")
        constraints = [
            models.CheckConstraint(name="installation_one_row", condition=models.Q(pk=1))
        ]

    def __str__(self) -> str:
        return f"{self.time_zone} {self.base_currency}"
