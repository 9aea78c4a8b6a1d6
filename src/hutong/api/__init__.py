"""The HTTP API for merchants and operators, and the address that channels notify.

Promises: a request that is not understood is refused before anything is written; every error is an RFC 9457 problem
document with a stable `code`; no route shows a merchant the data of another.
"""

from hutong.api.application import create_app
from hutong.api.dependencies import Services
from hutong.api.description import GENERAL_CODES
from hutong.api.error_codes import ERROR_CODES
from hutong.api.responses import JsonAnswers
from hutong.api.schemas.event import EVENT_TYPES, PLATFORM_EVENT_TYPES, asyncapi, json_schemas
from hutong.api.schemas.event_samples import sample_event
from hutong.api.start_page import create_start_page

__all__ = [
    "ERROR_CODES",
    "EVENT_TYPES",
    "GENERAL_CODES",
    "PLATFORM_EVENT_TYPES",
    "JsonAnswers",
    "Services",
    "asyncapi",
    "create_app",
    "create_start_page",
    "json_schemas",
    "sample_event",
]
