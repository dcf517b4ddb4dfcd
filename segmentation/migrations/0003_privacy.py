from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0002_desk")]

    operations = [
        migrations.CreateModel(
            name="RequestKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "key",
                    models.CharField(db_collation="C", max_length=200, verbose_name="key"),
                ),
                (
                    "request_digest",
                    models.CharField(max_length=64, verbose_name="digest of the request"),
                ),
                ("subject", models.CharField(max_length=64, verbose_name="what came of it")),
                ("used_at", models.DateTimeField(verbose_name="used at")),
                (
                    "api_key",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="segmentation.apikey",
                        verbose_name="API key",
                    ),
                ),
            ],
            options={"verbose_name": "request key", "verbose_name_plural": "request keys"},
        ),
        migrations.AddIndex(
            model_name="requestkey",
            index=models.Index(fields=["used_at"], name="requestkey_used_at"),
        ),
        migrations.AddConstraint(
            model_name="requestkey",
            constraint=models.UniqueConstraint(fields=("api_key", "key"), name="requestkey_key"),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(
                condition=models.Q(("erased_at__isnull", False)),
                fields=["ordinal"],
                name="customer_erased",
            ),
        ),
    ]
