"""JSON answers whose content is complete; FastAPI would check it against its model a second time."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/json"


def json_answer(document: Any, status: int = 200) -> Response:
    """Answer with a document."""
    return Response(orjson.dumps(document), status, media_type=MEDIA_TYPE)


def rendered_answer(body: bytes, status: int = 200) -> Response:
    """Answer with a document that is already rendered as JSON."""
    return Response(body, status, media_type=MEDIA_TYPE)
