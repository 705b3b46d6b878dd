"""The files a browser loads: the page, its scripts and styles, and plotly out of the installed package."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from quart import Quart, Response, send_from_directory
from quart_schema import hide

from fundingarb_dashboard.answers import Problem

__all__ = ["install", "plotly_bundle", "policy"]

STYLE = re.compile(r"""\.textContent=(?P<quote>['"`])(?P<css>(?:(?!(?P=quote)).)*)(?P=quote)""", re.DOTALL)


def install(app: Quart) -> None:
    """``/`` and ``/vendor/plotly.min.js``; Quart itself serves ``/static``."""

    @app.get("/")
    @hide
    async def index() -> Response:
        return await send_from_directory(app.static_folder or "", "index.html")

    @app.get("/vendor/plotly.min.js")
    @hide
    async def plotly() -> Response:
        bundle = plotly_bundle()
        if bundle is None:
            raise Problem(404, "plotly's script is not in the installed package; reinstall plotly")
        return await send_from_directory(bundle.parent, bundle.name)


def plotly_bundle() -> Path | None:
    """plotly.js as the installed plotly package carries it; None when it does not. plotly itself is not imported."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        return None
    bundle = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return bundle if bundle.is_file() else None


@lru_cache(maxsize=1)
def policy() -> str:
    """The Content-Security-Policy: nothing but our own files, and the styles that plotly's script adds by itself."""
    styles = " ".join(["'self'", *(f"'{source}'" for source in _plotly_styles())])
    return (
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
        f"style-src {styles}; img-src 'self' data: blob:"
    )


def _plotly_styles() -> list[str]:
    """CSP sources of the style elements that plotly.js creates: the empty one it adds rules to, and literal ones."""
    bundle = plotly_bundle()
    if bundle is None:
        return []
    text = bundle.read_text(encoding="utf-8")
    styles = {found["css"] for found in STYLE.finditer(text) if found["css"].lstrip().startswith(".")}
    return [_source(style) for style in ("", *sorted(styles))]


def _source(style: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
