from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segmentation", "0015_run_trust")]

    operations = [
        migrations.CreateModel(
            name="CustomerMerge",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reason", models.TextField(verbose_name="reason")),
                ("actor", models.CharField(max_length=150, verbose_name="by")),
                ("merged_at", models.DateTimeField(verbose_name="merged at")),
                ("until", models.DateTimeField(verbose_name="can be undone until")),
                ("batches", models.JSONField(default=dict, verbose_name="imports")),
                ("moved", models.JSONField(default=dict, verbose_name="moved")),
                ("kept", models.JSONField(default=dict, verbose_name="for an undo")),
                (
                    "undone_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="undone at"),
                ),
                (
                    "undone_by",
                    models.CharField(blank=True, max_length=150, verbose_name="undone by"),
                ),
                ("undo_reason", models.TextField(blank=True, verbose_name="reason of the undo")),
            ],
            options={
                "verbose_name": "merge of customers",
                "verbose_name_plural": "merges of customers",
                "permissions": [("merge_customers", "Can merge customers and undo merges")],
            },
        ),
        migrations.CreateModel(
            name="RedirectedFact",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=16, verbose_name="kind")),
                ("row_id", models.BigIntegerField(verbose_name="row")),
                ("column", models.CharField(max_length=16, verbose_name="column")),
            ],
            options={
                "verbose_name": "fact sent under an alias",
                "verbose_name_plural": "facts sent under aliases",
            },
        ),
        migrations.CreateModel(
            name="RunErasure",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="erasure",
                        serialize=False,
                        to="segmentation.run",
                        verbose_name="run",
                    ),
                ),
                (
                    "customers",
                    models.PositiveIntegerField(default=0, verbose_name="erased customers"),
                ),
                (
                    "remaining_hash",
                    models.CharField(
                        max_length=64, verbose_name="hash of the customers that remain"
                    ),
                ),
            ],
            options={
                "verbose_name": "erasure from a run",
                "verbose_name_plural": "erasures from runs",
            },
        ),
        migrations.AddField(
            model_name="customer",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="aliases",
                to="segmentation.customer",
                verbose_name="merged into",
            ),
        ),
        migrations.AddIndex(
            model_name="customer",
            index=models.Index(
                condition=models.Q(("merged_into__isnull", False)),
                fields=["merged_into", "ordinal"],
                name="customer_merged",
            ),
        ),
        migrations.AddField(
            model_name="customermerge",
            name="batch",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="segmentation.factbatch",
                verbose_name="import",
            ),
        ),
        migrations.AddField(
            model_name="customermerge",
            name="job",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="segmentation.job",
                verbose_name="job",
            ),
        ),
        migrations.AddField(
            model_name="customermerge",
            name="merged",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="merged_by",
                to="segmentation.customer",
                verbose_name="merged customer",
            ),
        ),
        migrations.AddField(
            model_name="customermerge",
            name="survivor",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="merges",
                to="segmentation.customer",
                verbose_name="kept customer",
            ),
        ),
        migrations.AddField(
            model_name="customermerge",
            name="undo_batch",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="segmentation.factbatch",
                verbose_name="import of the undo",
            ),
        ),
        migrations.AddField(
            model_name="redirectedfact",
            name="alias",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="segmentation.customer",
                verbose_name="sent for",
            ),
        ),
        migrations.AddIndex(
            model_name="customermerge",
            index=models.Index(fields=["survivor", "-id"], name="customermerge_survivor"),
        ),
        migrations.AddConstraint(
            model_name="customermerge",
            constraint=models.UniqueConstraint(
                condition=models.Q(("undone_at", None)),
                fields=("merged",),
                name="customermerge_standing",
            ),
        ),
        migrations.AddConstraint(
            model_name="customermerge",
            constraint=models.CheckConstraint(
                condition=models.Q(("survivor", models.F("merged")), _negated=True),
                name="customermerge_of_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="redirectedfact",
            constraint=models.UniqueConstraint(
                fields=("kind", "row_id", "column"), name="redirectedfact_key"
            ),
        ),
    ]
