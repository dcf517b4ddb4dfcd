"""What every endpoint shares."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import NotFound
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from .authentication import ApiKeyAuthentication
from .errors import exception_handler
from .parsers import ExactJSONParser
from .permissions import HasScope
from .schema import ScopedSchema
from .throttling import ApiKeyThrottle


class ApiView(APIView):
    """JSON in and out, a bearer key with the scope the view names, throttled, errors as documents.

    Everything is set here, so no project-wide default can open or change an endpoint.
    """

    scope: ClassVar[str]
    write_scope: ClassVar[str | None] = None  # of POST, where it is another one
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasScope]
    throttle_classes = [ApiKeyThrottle]
    parser_classes = [ExactJSONParser]
    renderer_classes = [JSONRenderer]
    schema = ScopedSchema()

    def get_exception_handler(self) -> Any:
        return exception_handler


class UnknownEndpoint(ApiView):
    """Any other address below /api/: 404 as a document, whoever asks."""

    authentication_classes = []
    permission_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound
