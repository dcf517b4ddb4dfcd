from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class MirrorManifest(models.Model):
    """The Parquet files that hold all facts up to one generation.

    Inserting the row publishes the files, in the same transaction that gives the batches their
    generation. `files` is a list of `{kind, role, month, path, generation, rows, bytes}`: role
    `rows` or `tombstones`, `path` relative to the mirror's folder.
    """

    generation = models.BigIntegerField(_("generation"), unique=True)
    files = models.JSONField(_("files"))
    tzdata_version = models.CharField(_("time zone data"), max_length=32)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("mirror manifest")
        verbose_name_plural = _("mirror manifests")

    def __str__(self) -> str:
        return str(self.generation)
