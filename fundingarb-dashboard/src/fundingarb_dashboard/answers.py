"""What every answer looks like: JSON by msgspec (decimals as strings, times with Z, no NaN), errors in one form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError
from quart import Quart, Response
from quart.json.provider import DefaultJSONProvider
from quart_schema import RequestSchemaValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from fundingarb.errors import (
    ConfigError,
    ConfigRefused,
    ExchangeError,
    FundingArbError,
    StoreError,
    VersionConflict,
)

__all__ = ["Json", "Problem", "answer", "error_of", "failure", "install_errors", "problem_of"]

logger = logging.getLogger("fundingarb_dashboard")

CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "timeout", 409: "conflict", 413: "too_large", 415: "unsupported_media_type", 421: "unknown_host",
    429: "too_many_requests", 500: "internal", 503: "unavailable",
}  # fmt: skip
SAID = {
    400: "the request cannot be read; see /api/docs",
    404: "there is nothing at this address; see /api/docs",
    405: "this address does not know that method; see /api/docs",
    408: "the request took too long to arrive; send it again",
    413: "the request is too large; a megabyte is the most",
}


class Problem(Exception):
    """An expected failure of a request; ``fields`` are errors by the path of what is wrong in the request."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or CODES.get(status, "error")
        self.fields = fields
        self.headers = headers

    def again(self) -> Problem:
        """The same, said anew."""
        return Problem(self.status, self.message, code=self.code, fields=self.fields, headers=self.headers)


class Json(DefaultJSONProvider):
    """JSON as msgspec reads and writes it. NaN, lone surrogates and absurd nesting are errors of the request."""

    # Flask and Quart, both of which this inherits from, call the argument differently.
    def loads(self, object_: str | bytes, **kwargs: Any) -> Any:  # type: ignore[override]
        try:
            return msgspec.json.decode(object_)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError("not JSON") from error

    def dumps(self, object_: Any, **kwargs: Any) -> str:  # type: ignore[override]
        return msgspec.json.encode(object_).decode()


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` (dataclasses, mappings, decimals, aware times, ...) as a JSON answer."""
    return Response(
        msgspec.json.encode(value), status, headers=dict(headers or {}), mimetype="application/json"
    )


def failure(problem: Problem) -> Response:
    """The answer that tells of it."""
    return answer(error_of(problem), problem.status, problem.headers)


def error_of(problem: Problem) -> dict[str, Any]:
    """The one form of an error."""
    error: dict[str, Any] = {"code": problem.code, "message": " ".join(problem.message.split())}
    if problem.fields:
        error["fields"] = dict(problem.fields)
    return {"error": error}


def problem_of(error: BaseException) -> Problem:
    """What an exception means to whoever asked. Nothing of an unexpected one is told."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestSchemaValidationError):
        return _invalid(error.validation_error)
    if isinstance(error, UnicodeDecodeError):  # Quart decodes the body before it looks whether it can
        return Problem(400, SAID[400])
    if isinstance(error, RequestEntityTooLarge):
        return Problem(413, SAID[413])
    if isinstance(error, HTTPException) and error.code is not None:
        headers = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
        return Problem(error.code, SAID.get(error.code, error.name), headers=headers)
    if isinstance(error, VersionConflict):
        return Problem(409, str(error), code="version_moved")
    if isinstance(error, ConfigRefused):
        return Problem(409, str(error), code="invalid", fields=error.errors)
    if isinstance(error, ConfigError):
        return Problem(409, str(error), code="refused")
    if isinstance(error, StoreError):
        return Problem(
            503, f"the database does not answer ({error}); entries are off until it does", code="database"
        )
    if isinstance(error, ExchangeError):
        return Problem(
            503, f"an exchange does not answer ({error}); try again when it is connected", code="exchange"
        )
    if isinstance(error, FundingArbError):
        return Problem(409, str(error), code="refused")
    logger.error("a request failed", exc_info=error)
    return Problem(500, "this is a bug of the dashboard; the program's log has the details")


def _invalid(error: Exception) -> Problem:
    if not isinstance(error, ValidationError):
        return Problem(400, SAID[400])
    fields = {
        ".".join(map(str, each["loc"])) or "body": each["msg"] for each in error.errors(include_url=False)
    }
    what = "; ".join(f"{path}: {message}" for path, message in list(fields.items())[:3])
    return Problem(400, f"correct what is named ({what})", code="invalid", fields=fields)


def install_errors(app: Quart) -> None:
    """Every failure of ``app`` is answered in the one form."""

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Response:
        return failure(problem_of(error))
