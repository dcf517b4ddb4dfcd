"""The export of overlaps: the figures of the page, and who has them is written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from segmentation.domain.errors import NotFoundError
from segmentation.models import AccessRecord, Job, Segment
from segmentation.services.access_log import Looker
from segmentation.services.exporting import record_download, request_export
from segmentation.services.jobs import execute_job, job_folder, new_key
from tests.fixtures.cast import Cast
from tests.fixtures.overlaps import Drawn, draw_named

Enter = Callable[..., Client]


@pytest.fixture
def drawn(transactional_db: None, settings: Any, tmp_path: Path, cast: Cast) -> Drawn:
    settings.VAR_DIR = tmp_path
    return draw_named()


def asked(user: User, *keys: str) -> Job:
    numbers = [Segment.objects.get(key=key).pk for key in keys]
    return request_export(
        "overlap", parameters={"segment": numbers}, file_format="csv", user=user,
        looker=Looker(user.get_username(), "admin", user), key=new_key(), now=real_now(),
    )  # fmt: skip


def test_the_export_has_the_figures_of_the_page(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    numbers = [Segment.objects.get(key=key).pk for key in ("wide", "inner")]
    shown = enter(cast.analyst).get(
        reverse("admin:segmentation_segment_overlap"), {"segment": numbers}
    )
    form = enter(cast.analyst).get(shown.context["export_url"])
    assert "2 segments" in form.content.decode()
    job = execute_job(asked(cast.analyst, "wide", "inner", "apart"), clock=real_now)
    assert job.status == "done", job.error
    text = (job_folder(job.pk) / "result").read_text("utf-8-sig")
    assert "wide,Segment wide,200,inner,Segment inner,60,60,0.3000,1.0000,0.3000" in text
    assert "inner,Segment inner,60,apart,Segment apart,140,0,0.0000,0.0000,0.0000" in text
    kinds = AccessRecord.objects.values_list("kind", "subject_kind", "subject_key")
    assert list(kinds) == [("export", "rows", "overlap")]


def test_the_export_of_hidden_segments_is_written_down_for_each(drawn: Drawn, cast: Cast) -> None:
    with pytest.raises(NotFoundError):
        asked(cast.analyst, "wide", "secret")
    assert Job.objects.count() == 0
    hidden = sorted(drawn.hidden)[0]
    waiting = asked(cast.operations_manager, "wide", "secret", hidden, "apart")
    assert waiting.is_hidden
    job = execute_job(waiting, clock=real_now)
    text = (job_folder(job.pk) / "result").read_text("utf-8-sig")
    assert "secret,Segment secret,60," in text
    assert ",apart,Segment apart,140,,,," in text
    record_download(
        job, looker=Looker("operations_manager", "admin", cast.operations_manager), now=real_now()
    )
    kinds = AccessRecord.objects.values_list("kind", "subject_key")
    assert sorted(kinds) == sorted(2 * [("export_hidden", hidden), ("export_hidden", "secret")])
