"""Tiers that change between runs; who sees runs sees the batches that changed them."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

VIEW = {"membership": "view_instantbatch", "segmentation": "view_customermark"}
ROLES = {
    "Operations manager": VIEW,
    "Reviewer": VIEW,
    "Analyst": VIEW,
    "Auditor": VIEW,
    "Integration": VIEW,
}


def add_rights(apps: Any, schema_editor: Any) -> None:
    for label in VIEW:
        config = apps.get_app_config(label)
        config.models_module = True  # permissions are made after all migrations; we need it now
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, rights in ROLES.items():
        group = groups.objects.filter(name=name).first()
        if group is None:  # renamed or removed by a person: theirs to give
            continue
        for label, codename in rights.items():
            group.permissions.add(
                *permissions.objects.filter(content_type__app_label=label, codename=codename)
            )


class Migration(migrations.Migration):
    dependencies = [("membership", "0010_run_trust"), ("segmentation", "0017_marks")]

    operations = [
        migrations.CreateModel(
            name="InstantBatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("as_of", models.DateTimeField(verbose_name="as of")),
                ("customers", models.PositiveIntegerField(verbose_name="customers")),
                ("changes", models.PositiveIntegerField(verbose_name="tier changes")),
                ("started_at", models.DateTimeField(verbose_name="started at")),
                ("finished_at", models.DateTimeField(verbose_name="finished at")),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="instant_batches",
                        to="segmentation.run",
                        verbose_name="run",
                    ),
                ),
            ],
            options={
                "verbose_name": "instant batch",
                "verbose_name_plural": "instant batches",
            },
        ),
        migrations.CreateModel(
            name="InstantStanding",
            fields=[
                (
                    "customer",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="segmentation.customer",
                        verbose_name="customer",
                    ),
                ),
                ("as_of", models.DateTimeField(verbose_name="as of")),
                ("metrics", models.JSONField(default=dict, verbose_name="metrics")),
            ],
            options={
                "verbose_name": "value between runs",
                "verbose_name_plural": "values between runs",
                "indexes": [models.Index(fields=["as_of"], name="instantstanding_as_of")],
            },
        ),
        migrations.AddField(
            model_name="transition",
            name="instant_batch",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="transitions",
                to="membership.instantbatch",
                verbose_name="instant batch",
            ),
        ),
        migrations.RemoveConstraint(model_name="transition", name="transition_key"),
        migrations.AddConstraint(
            model_name="transition",
            constraint=models.UniqueConstraint(
                condition=models.Q(("instant_batch", None)),
                fields=("run", "program", "customer"),
                name="transition_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="transition",
            constraint=models.UniqueConstraint(
                condition=models.Q(("instant_batch__isnull", False)),
                fields=("instant_batch", "program", "customer"),
                name="transition_instant_key",
            ),
        ),
        migrations.RunPython(add_rights, migrations.RunPython.noop),
    ]
