"""The files a browser loads: the page, its scripts and styles, and plotly out of the installed package."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from quart import Quart, Response, request
from quart_schema import hide

from fundingarb_dashboard.answers import Problem

__all__ = ["install", "plotly_bundle", "policy"]

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
STYLE = re.compile(r"""\.textContent=(?P<quote>['"`])(?P<css>(?:(?!(?P=quote)).)*)(?P=quote)""", re.DOTALL)


@dataclass(frozen=True)
class File:
    """A file as it is sent; ``etag`` names its content."""

    content: bytes
    kind: str
    etag: str


def install(app: Quart) -> None:
    """``/``, ``/static/...`` and ``/vendor/plotly.min.js``. What the package has is read once, at the start."""
    folder = Path(__file__).parent / "static"
    files = {path.relative_to(folder).as_posix(): read(path) for path in folder.rglob("*") if path.is_file()}

    @app.get("/")
    @hide
    async def index() -> Response:
        return await send(files["index.html"])

    @app.get("/static/<path:filename>")
    @hide
    async def static(filename: str) -> Response:
        if filename not in files:
            raise Problem(404, "there is no such file; reload the page")
        return await send(files[filename])

    @app.get("/vendor/plotly.min.js")
    @hide
    async def plotly() -> Response:
        bundle = await asyncio.to_thread(plotly_file)
        if bundle is None:
            raise Problem(404, "plotly's script is not in the installed package; reinstall plotly")
        return await send(bundle)


def read(path: Path) -> File:
    """The file at ``path``. Its kind goes by its name, whatever the machine's own table says of it."""
    content = path.read_bytes()
    return File(
        content, KINDS.get(path.suffix, "application/octet-stream"), hashlib.sha256(content).hexdigest()[:32]
    )


async def send(file: File) -> Response:
    """``file``, or 304 to a browser that has it."""
    response = Response(file.content, content_type=file.kind, headers={"Cache-Control": "no-cache"})
    response.set_etag(file.etag)
    await response.make_conditional(request)
    return response


@lru_cache(maxsize=1)
def plotly_file() -> File | None:
    bundle = plotly_bundle()
    return None if bundle is None else read(bundle)


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
