"""`POST runs/{run}/cancel`: stop a run that waits or is under way."""

from __future__ import annotations

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import real_now
from segmentation.api.parameters import Parameters
from segmentation.api.schema import errors
from segmentation.api.viewer import key_of, viewer_of
from segmentation.api.views import ApiView
from segmentation.domain.errors import TierwiseError
from segmentation.models import Run
from segmentation.permissions import hidden_words
from segmentation.services.runs import cancel_run

from .runs import RUN_EXAMPLE, RunRow, run_row

_STOPPED = {name: RUN_EXAMPLE[name] for name in map(str, RunRow().fields)} | {
    "status": "running", "finished_at": None, "customers": None, "cancelled_by": "scheduler",
}  # fmt: skip


class RunStop(ApiView):
    """A run that waits ends at once, one under way within moments; neither publishes anything."""

    scope = "runs:cancel"

    @extend_schema(
        operation_id="stop_run",
        parameters=[OpenApiParameter("run", OpenApiTypes.INT, OpenApiParameter.PATH)],
        request=None,
        responses={202: RunRow, **errors(404, 422)},
        examples=[OpenApiExample("being stopped", value=_STOPPED, response_only=True)],
    )
    def post(self, request: Request, run: int) -> Response:
        """Stop it. Again is the same; 422 `wrong_state` when it was too late: the run has ended, or
        is being published. A held run is not stopped, a person releases or rejects it."""
        Parameters(request, known=()).check()
        if run >= 2**63 or not Run.objects.filter(pk=run).exists():
            raise Http404
        stopped = cancel_run(run, actor=key_of(request).name, now=real_now())
        found = Run.objects.get(pk=run)
        if not stopped and found.cancelled_at is None:
            raise TierwiseError(
                _("It was too late: the run has ended, or is being published."), code="wrong_state"
            )
        viewer = viewer_of(request)
        row = run_row(found, viewer=viewer, words=hidden_words(viewer))
        return Response(row, status=status.HTTP_202_ACCEPTED)
