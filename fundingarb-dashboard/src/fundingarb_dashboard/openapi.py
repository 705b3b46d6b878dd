"""The OpenAPI document: what quart-schema finds on the routes, completed with what holds for all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from importlib_metadata import version
from quart import Quart, Response, current_app, render_template
from quart_schema import APIKeySecurityScheme, HttpSecurityScheme, Info, QuartSchema, hide

from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.replies import KEY, KEYLESS
from fundingarb_dashboard.security import ANONYMOUS

__all__ = ["document", "install"]

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "one line that says what to do"},
                "fields": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "what is wrong, by its path in the request",
                },
            },
        }
    },
}
IDEMPOTENCY = {
    "name": "Idempotency-Key", "in": "header", "required": True,
    "schema": {"type": "string", "pattern": f"^{KEY}$"},
    "description": "new for every command; the same key again gets the first one's answer and does nothing",
}  # fmt: skip
READING = {
    400: "the request cannot be read", 401: "no session", 404: "there is no such thing",
    409: "refused, with the reason", 503: "bot, database or exchange does not answer",
}  # fmt: skip
WRITING = {
    **READING, 403: "asked by another page, or without this session's token", 408: "arrived too slowly",
    413: "too large", 415: "not JSON", 429: "too often; the header Retry-After has seconds",
}  # fmt: skip


def install(app: Quart, cookie: str) -> None:
    """``/api/openapi.json`` and ``/api/docs``, which needs neither a script nor anything from elsewhere.

    ``cookie`` is the name of the session cookie.
    """
    QuartSchema(
        app,
        openapi_path=None,
        info=Info(title="fundingarb dashboard", version=version("fundingarb-dashboard")),
        security_schemes={
            "session": APIKeySecurityScheme(name=cookie, in_="cookie"),
            "bearer": HttpSecurityScheme(scheme="bearer"),
        },
    )

    @app.get("/api/openapi.json")
    @hide
    async def openapi_document() -> Response:
        return answer(document(app))

    @app.get("/api/docs")
    @hide
    async def docs() -> str:
        return await render_template("docs.html", document=document(app))

    @app.context_processor
    def helpers() -> dict[str, Any]:
        return {"app_name": current_app.name}


def document(app: Quart) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``app``."""
    schema = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    schema["components"]["schemas"]["Error"] = ERROR
    anonymous, keyless = _addresses(app, ANONYMOUS), _addresses(app, KEYLESS)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            address = (path, method.upper())
            _complete(operation, method, open_to_all=address in anonymous, metrics=path == "/metrics")
            if method != "get" and address not in keyless:
                operation["parameters"].append(IDEMPOTENCY)
    return dict(schema)


def _addresses(app: Quart, endpoints: Collection[str]) -> set[tuple[str, str]]:
    """(path, method) of everything that these endpoints answer."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in endpoints]
    return {(rule.rule, method) for rule in rules for method in (rule.methods or ())}


def _complete(operation: dict[str, Any], method: str, *, open_to_all: bool, metrics: bool) -> None:
    operation["security"] = [] if open_to_all else [{"bearer": []}] if metrics else [{"session": []}]
    operation["parameters"] = list(operation["parameters"])
    responses = operation["responses"] = dict(operation["responses"])
    for status, meaning in (READING if method == "get" else WRITING).items():
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        responses.setdefault(status, {"description": meaning, "content": content})
    if "requestBody" in operation:
        operation["requestBody"] = {**operation["requestBody"], "required": True}
    if method != "get" and not open_to_all:
        operation["parameters"].append(
            {
                "name": "X-CSRF-Token", "in": "header", "required": True, "schema": {"type": "string"},
                "description": "the csrf of GET /api/session",
            }
        )  # fmt: skip
