"""What goes wrong, as HTTP: one table from error to status, and one form, ``{"code": ..., "description": ...}``.

What a client did is told to it in full. What the server or its store did is logged in full and told in general terms:
messages of the store hold paths and addresses of the machine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.errors import BadInput, NoCoverage, Unavailable

log = logging.getLogger("pitpulse.api")

CODES = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "BodyTooLarge",
    414: "AddressTooLong",
    416: "RangeNotSatisfiable",
    500: "InternalError",
    503: "Unavailable",
}
_GENERAL = {
    500: "the server made a mistake; it is logged. Ask again, or ask for something simpler",
    503: "the published folder can't be read just now; ask again in a minute, or tell whoever runs this server",
}
_RETRY = 10  # s


class Problem(Exception):
    """An answer that isn't the one asked for."""

    def __init__(self, status: int, description: str, headers: Mapping[str, str] | None = None):
        super().__init__(description)
        self.status, self.description, self.headers = status, description, dict(headers or {})


def problem_response(status: int, description: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The JSON that every error comes as."""
    body = {"code": CODES.get(status, f"Error{status}"), "description": description or _GENERAL.get(status, "")}
    more = {"Cache-Control": "no-store", **(headers or {})}
    if status == 503:
        more.setdefault("Retry-After", str(_RETRY))
    content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return Response(content, status, more, "application/json")


def respond(request: Request, error: Exception) -> Response:
    """The answer to an error that was raised on purpose."""
    if isinstance(error, Problem):
        return problem_response(error.status, error.description, error.headers)
    if isinstance(error, RequestValidationError):
        return problem_response(400, said(error.errors()))
    if isinstance(error, BadInput):
        return problem_response(400, str(error))
    if isinstance(error, NoCoverage):
        return problem_response(404, str(error))
    if isinstance(error, HTTPException):
        allowed = (error.headers or {}).get("Allow", "")
        words = {
            404: f"there is nothing at {request.url.path}; / lists what there is, /api describes it",
            405: f"{request.method} is not possible here{f', {allowed} is' if allowed else ''}; this server only reads",
        }
        return problem_response(error.status_code, words.get(error.status_code, str(error.detail)), error.headers)
    log.error("%s %s: %s", request.method, request.url.path, error)
    return problem_response(503)


HANDLED = (Problem, RequestValidationError, BadInput, NoCoverage, HTTPException, Unavailable)


def said(errors: Sequence[Mapping]) -> str:
    """Validation errors in one line: which parameter, what is wrong, and what was sent."""
    parts = []
    for error in errors[:5]:
        if error["type"] == "json_invalid":
            parts.append(f"the body is no JSON: {error.get('ctx', {}).get('error', 'unreadable')}")
            continue
        where = ".".join(str(part) for part in error["loc"][1:]) or "the body"
        if error["type"] == "extra_forbidden":
            parts.append(f"unknown parameter {where!r}: check its spelling in /api")
            continue
        parts.append(f"{where}: {error['msg'].removeprefix('Value error, ')}{_instead(error)}")
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return "; ".join(parts) + more


def _instead(error: Mapping) -> str:
    """What was sent, cut where it is long; nothing where that can't be written."""
    if error["type"] == "value_error":  # says it itself
        return ""
    try:
        got = json.dumps(error.get("input"), default=str, ensure_ascii=False)
    except (ValueError, RecursionError):  # numbers of thousands of digits, a thousand brackets
        return ""
    return f", instead got {got if len(got) <= 80 else got[:77] + '...'}"
