"""A browser for the dashboard's pages, and what it must not say while they are used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.dashboard.browser.server import PASSWORD, BrowserServer, running
from tests.dashboard.browser.world import World
from tests.needs import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The network is cut: nothing but loopback is found.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
DESKTOP = (1600, 1000)
PHONE = (390, 844)

PATIENCE = 20_000
"""Milliseconds (real) for what should be there at once, on a machine that has other things to do."""

OpenDesk = Callable[..., "AbstractContextManager[Page]"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless. No longer than a module: while it is open, this thread counts as running an event
    loop, and nothing else can."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    need(chromium, "chromium", "apt-get install chromium")
    need(find_spec("playwright"), "playwright", "pip install playwright")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def world() -> World:
    return World(pairs=12)


@pytest.fixture
def server(world: World) -> Iterator[BrowserServer]:
    """The development server with `world` behind it."""
    with running(world) as served:
        yield served


@pytest.fixture
def visit(browser: Browser) -> OpenDesk:
    """Open an address; at the end the page must not have complained (``quiet=False``: it may), nor have asked anybody
    else than where it came from."""

    @contextmanager
    def opened(
        url: str, size: tuple[int, int] = DESKTOP, *, quiet: bool = True, calm: bool = True
    ) -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce" if calm else "no-preference",
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        complaints: list[str] = []
        page.on(
            "console",
            lambda said: complaints.append(f"{said.text} {said.location}") if said.type == "error" else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        try:
            page.goto(url)
            yield page
        finally:
            context.close()
        assert not (quiet and complaints), complaints
        assert asked
        assert not elsewhere(asked, url), elsewhere(asked, url)

    return opened


def elsewhere(asked: Iterable[str], url: str) -> list[str]:
    """The addresses that are not on the server which ``url`` is on; what a page makes by itself is on none."""
    home = urlsplit(url).netloc
    return [
        each
        for each in asked
        if urlsplit(each).scheme not in ("data", "blob") and urlsplit(each).netloc != home
    ]


@pytest.fixture
def desk(server: BrowserServer, visit: OpenDesk) -> OpenDesk:
    """The desk of `server`, logged in."""

    @contextmanager
    def opened(size: tuple[int, int] = DESKTOP, *, quiet: bool = True, calm: bool = True) -> Iterator[Page]:
        with visit(server.url, size, quiet=quiet, calm=calm) as page:
            log_in(page)
            yield page

    return opened


def log_in(page: Page, password: str = PASSWORD) -> None:
    """Fill in the form, and wait until the desk is there."""
    page.get_by_label("Password or one-time token").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.locator("#desk").wait_for()
    page.locator(".link", has_text="LIVE").wait_for()


def command(page: Page, line: str) -> None:
    """Type a command and go."""
    bar = page.get_by_role("combobox", name="Command")
    bar.fill(line)
    bar.press("Enter")


class Held:
    """Requests to an address that get their answers when the test says so, the oldest first."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.routes: list[Route] = []
        page.route(address, lambda route: self.routes.append(route))

    def wait(self) -> Route:
        """The oldest, once there is one."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.routes and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        return self.routes[0]

    def go(self) -> None:
        """Answer the oldest; returns when the page has drawn what it makes of that."""
        route = self.wait()
        self.routes.remove(route)
        with self.page.expect_response(lambda response: response.request == route.request) as answered:
            route.continue_()
        answered.value.finished()
        settled(self.page)

    def fail(self) -> None:
        """As ``go``, with a connection that breaks."""
        route = self.wait()
        self.routes.remove(route)
        with self.page.expect_event("requestfailed"):
            route.abort()
        settled(self.page)


def settled(page: Page) -> None:
    """Wait until the page has drawn everything it knows."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def hear_rates(page: Page, times: int = 15) -> None:
    """Wait until the page has heard of new rates so many times; they come ten times a second."""
    page.evaluate(
        """async (times) => {
            const {on} = await import("/static/js/store.js");
            let left = times;
            await new Promise((done) => {
                const off = on(["rates"], () => {
                    left -= 1;
                    if (left) return;
                    off();
                    done();
                });
            });
        }""",
        times,
    )


def violations(page: Page, inside: str = "body") -> list[str]:
    """What axe-core finds ``inside`` an element that is serious or worse."""
    found = find_spec("axe_playwright_python")
    need(found, "axe-core", "pip install axe-playwright-python")
    assert found is not None
    assert found.origin is not None
    if not page.evaluate("'axe' in window"):
        page.evaluate((Path(found.origin).parent / "axe.min.js").read_text())
    rows = page.evaluate("(inside) => axe.run(inside).then((result) => result.violations)", inside)
    return [
        f"{row['id']}: {[(node['html'][:160], node.get('failureSummary')) for node in row['nodes'][:3]]}"
        for row in rows
        if row["impact"] in ("serious", "critical")
    ]
