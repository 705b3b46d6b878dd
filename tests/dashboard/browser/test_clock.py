"""The bot's clock as the page reckons it: beside the times that it shows, whatever the network's delays are."""

from __future__ import annotations

from datetime import datetime, time

import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.browser import server as serving
from tests.dashboard.browser import world as worlds
from tests.dashboard.browser.conftest import OpenDesk
from tests.dashboard.browser.server import BrowserServer

SPEED = 600

HEARTBEATS = """async ([speed, delays]) => {
    let wall = 5000;
    performance.now = () => wall;
    const {beat, now} = await import("/static/js/clock.js?of=this-test");
    const start = Date.UTC(2026, 0, 5);
    const found = [];
    for (const [second, delay] of delays.entries()) {
        const sent = 5000 + second * 1000;
        wall = sent + delay;
        beat(new Date(start + (sent - 5000) * speed).toISOString());
        for (; wall < sent + 1000; wall += 100) {
            await null;
            found.push({second, at: now(), error: (now() - start) / speed - (wall - 5000)});
        }
    }
    return found;
}"""
"""What the clock shows while heartbeats arrive with delays (ms); its errors in ms of the wall's time."""

DELAYS = [20, 180, 5, 250, 30, 10, 300, 15, 120, 40, 200, 10, 90, 280, 5, 60, 220, 30, 150, 20]


def test_delays_of_heartbeats_are_not_multiplied_by_the_speed_of_the_demo(
    server: BrowserServer, visit: OpenDesk
) -> None:
    with visit(server.url) as page:
        found = page.evaluate(HEARTBEATS, [SPEED, DELAYS])
        times = [row["at"] for row in found]
        assert times == sorted(times)  # it never goes back
        late = [row["error"] for row in found if row["second"] >= 8]
        assert max(abs(error) for error in late) < 60, late


def test_a_bot_that_starts_again_at_an_earlier_time_is_followed(
    server: BrowserServer, visit: OpenDesk
) -> None:
    with visit(server.url) as page:
        shown = page.evaluate(
            """async () => {
                const {beat, now} = await import("/static/js/clock.js?of=this-test");
                beat("2026-01-09T00:00:00Z");
                const before = now();
                await null;
                beat("2026-01-05T00:00:00Z");
                return [before, now()];
            }"""
        )
        assert (shown[0] - shown[1]) / 86_400_000 == pytest.approx(4, abs=0.001)


WATCH = """() => {
    window.pairs = [];
    const clock = document.querySelector(".clock");
    const names = [...document.querySelectorAll(".panel-engine dt")];
    const scan = names.find((name) => name.textContent === "last scan").nextSibling;
    const changes = {subtree: true, characterData: true, childList: true};
    new MutationObserver(() => pairs.push([clock.textContent, scan.textContent])).observe(document.body, changes);
}"""


def test_what_was_so_long_ago_was_that_by_the_clock_beside_it(
    desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, start = worlds.now, worlds.now()
    for module in (worlds, serving):
        monkeypatch.setattr(module, "now", lambda: start + (real() - start) * SPEED)
    with desk() as page:
        expect(page.locator(".panel-engine")).to_contain_text("ago")
        page.evaluate(WATCH)
        page.wait_for_function("() => new Set(pairs.map(([clock]) => clock)).size > 12")
        told = seen(page)
        assert len(told) > 12
        wrong = [pair for pair in told if not agrees(*pair)]
        assert wrong == []


def seen(page: Page) -> list[tuple[str, str]]:
    """The clock and the last scan as they stood beside each other after each frame."""
    return sorted({(clock, scan) for clock, scan in page.evaluate("pairs")})


def agrees(clock: str, scan: str) -> bool:
    """Whether "14:48:24, 36s ago" may be said at "2026-01-05 14:49:00 UTC"."""
    at, ago = scan.removesuffix(" ago").split(", ")
    shown = datetime.fromisoformat(clock.replace(" UTC", "+00:00"))
    scanned = datetime.combine(shown.date(), time.fromisoformat(at), shown.tzinfo)
    passed = (shown - scanned).total_seconds() % 86400
    unit = {"s": 1, "m": 60, "h": 3600}[ago[-1]]
    return passed - 1.5 - unit < float(ago[:-1]) * unit < passed + 1.5
