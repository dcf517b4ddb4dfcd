from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0016_merges")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="instant_before",
            field=models.BigIntegerField(
                blank=True, null=True, verbose_name="starts after instant batch"
            ),
        ),
        migrations.CreateModel(
            name="CustomerMark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("due_at", models.DateTimeField(verbose_name="due at")),
                ("marked_at", models.DateTimeField(verbose_name="marked at")),
                ("attempts", models.PositiveSmallIntegerField(default=0, verbose_name="attempts")),
                (
                    "retry_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="next attempt at"),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "batch",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="segmentation.factbatch",
                        verbose_name="import",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="segmentation.customer",
                        verbose_name="customer",
                    ),
                ),
            ],
            options={
                "verbose_name": "customer to look at",
                "verbose_name_plural": "customers to look at",
            },
        ),
    ]
