"""What is wrong is said, with what to do; and the page is fit for small screens, for readers and for many symbols."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Error, Page, expect
from tests.dashboard.browser.conftest import (
    DESKTOP,
    PHONE,
    OpenDesk,
    command,
    elsewhere,
    hear_rates,
    log_in,
    settled,
    violations,
)
from tests.dashboard.browser.server import BrowserServer, running
from tests.dashboard.browser.world import World

CLOCK_STALENESS = """async () => {
    const {state, on} = await import("/static/js/store.js");
    on(["link"], () => { if (state.link.state === "LOST") window.lost ??= state.link.since; });
    new MutationObserver(() => (window.stale ??= Date.now())).observe(document.body, {attributeFilter: ["data-stale"]});
}"""
"""When the page noticed that its connection was gone, and when it said so, by its own clock (ms)."""


def test_a_lost_connection_is_said_at_once_and_mended_from_a_snapshot(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk(quiet=False) as page:
        page.evaluate(
            "() => { window.live = WebSocket; window.WebSocket = class extends EventTarget { close() {} }; }"
        )
        page.evaluate(CLOCK_STALENESS)
        server.cut()
        expect(page.get_by_text("Connection lost")).to_be_visible()
        expect(page.locator("body")).to_have_attribute("data-stale", "yes")
        assert page.evaluate("window.stale - window.lost") < 1000
        server.change(lambda: world.close(next(iter(world.positions.values()))))
        page.evaluate("() => { window.WebSocket = window.live; }")
        page.get_by_role("button", name="Retry now").click()
        expect(page.locator(".link")).to_have_text("● LIVE")
        expect(page.locator(".position")).to_have_count(2)
        expect(page.locator("body")).not_to_have_attribute("data-stale", "yes")


def test_the_page_works_with_the_network_cut(server: BrowserServer, visit: OpenDesk) -> None:
    asked: list[str] = []
    with visit(server.url) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        log_in(page)
        everything_is_drawn(page)
        assert not [each for each in asked if "plotly" in each]  # before a chart is opened
        command(page, "CHART BTC")
        expect(page.locator("#panel-charts .main-svg").first).to_be_visible()
        for line in ("OPPS", "ORD", "HIST", "CALC BTC okx dydx 5000", "CONF", "SIM", "AUDIT", "HELP"):
            command(page, line)
        page.keyboard.press("Escape")
        expect(page.locator(".link")).to_have_text("● LIVE")
    assert f"{server.url}/vendor/plotly.min.js" in asked
    assert any(each.startswith("ws://127.0.0.1:") for each in asked)
    assert elsewhere(asked, server.url) == []
    assert elsewhere([*asked, "https://cdn.example/x.js", "data:,"], server.url) == [
        "https://cdn.example/x.js"
    ]


def test_nothing_but_loopback_is_found_by_the_browser(browser: Browser) -> None:
    page = browser.new_page()
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.org/")
    page.close()


CLOCK_SILENCE = """async () => {
    const {state, on} = await import("/static/js/store.js");
    on(["link"], () => { if (state.link.state === "STALE") window.quiet ??= performance.now() - state.arrived; });
}"""
"""For how long nothing had arrived when the page noticed, by its own clock (ms)."""


def test_silence_is_stale_within_seconds(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        page.evaluate(CLOCK_SILENCE)
        server.silent = True
        expect(page.locator(".link")).to_have_text("◐ STALE")
        assert page.evaluate("window.quiet") < 6000
        expect(page.get_by_text("Nothing arrives from the bot.")).to_be_visible()
        assert violations(page) == []  # what is old is still to be read
        server.silent = False
        expect(page.locator(".link")).to_have_text("● LIVE")


def test_a_bot_that_stalls_is_stale_although_its_dashboard_answers(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk() as page:
        server.behind = 4.0
        expect(page.locator(".link")).to_have_text("◐ STALE")
        expect(page.locator("body")).to_have_attribute("data-stale", "yes")
        server.behind = 0.0
        expect(page.locator(".link")).to_have_text("● LIVE")


def test_figures_at_a_mark_that_is_not_heard_are_marked(desk: OpenDesk, world: World) -> None:
    position = next(iter(world.positions.values()))
    leg = position["legs"][0]
    world.rates[leg["exchange"], position["pair"]]["stale"] = True
    with desk() as page:
        shown = page.locator(".leg").first
        expect(shown.locator(".fig .value", has_text="! ")).not_to_have_count(0)
        expect(shown).to_have_attribute(
            "title", f"{leg['exchange']} is not heard: mark and P&L are the last known ones"
        )
        expect(page.locator(".leg[title]")).to_have_count(1)


def test_liquidation_is_marked_where_the_configuration_says(desk: OpenDesk, world: World) -> None:
    world.warn, world.act = "0.30", "0.10"
    near, safe, critical = (position["legs"][0] for position in world.positions.values())
    for leg, distance in ((near, "0.2"), (safe, "0.31"), (critical, "0.05")):
        leg["liquidation_distance"] = distance
    with desk() as page:
        for position, said in enumerate(("! 20.0%", "31.0%", "!! 5.0%")):
            leg = page.locator(".position").nth(position).locator(".leg").first
            shown = leg.locator(".fig", has_text="to liq.")
            expect(shown.locator(".value")).to_have_text(said)
            expect(shown.locator("meter")).to_have_attribute("high", "0.3")
            expect(shown.locator("meter")).to_have_attribute("low", "0.1")


def test_an_unhedged_leg_without_a_price_is_not_nothing(desk: OpenDesk, world: World) -> None:
    position = next(iter(world.positions.values()))
    position.update(unhedged="-0.25", unhedged_usd=None, unhedged_s=12)
    with desk() as page:
        expect(page.locator(".position").first).to_contain_text("! −0.25000 0:12")


def test_what_was_delisted_leaves_the_table(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        rows = page.get_by_role("grid", name="Funding rates")
        listed = len(server.world.rates)
        expect(rows).to_have_attribute("aria-rowcount", str(listed + 1))  # the head is one

        def delist() -> None:
            server.share = 0
            exchange, pair = next(iter(server.world.rates))
            server.push("FUNDING_RATE_UPDATE", {"exchange": exchange, "pair": pair, "gone": True})

        server.change(delist)
        expect(rows).to_have_attribute("aria-rowcount", str(listed))


def everything_is_drawn(page: Page) -> None:
    """On the desk, as far as it is always there."""
    expect(page.locator(".panel-rates .vt-body .vt-row").first).to_be_visible()
    expect(page.locator(".position")).to_have_count(3)
    expect(page.locator(".panel-engine")).to_contain_text("RUNNING")
    expect(page.locator(".tape-item").first).to_be_attached()
    settled(page)


@pytest.mark.parametrize(
    ("trouble", "said", "advice"),
    [
        ({"state": ""}, "No engine data.", "Wait for its start"),
        (
            {"state": "ERROR", "error": "reconciliation failed on okx"},
            "reconciliation failed on okx",
            "restart the bot",
        ),
        ({"down": ("okx",)}, "okx is down.", "open hedges are kept"),
        ({"database": False}, "The database is not reachable.", "Start the database"),
        ({"failed_services": {"pager": "its line is cut"}}, "Service pager has ended.", "Trading goes on"),
    ],
    ids=["no engine data", "engine error", "exchange down", "database down", "service ended"],
)
def test_troubles_say_what_is_wrong_and_what_to_do(
    trouble: dict[str, object], said: str, advice: str, world: World, desk: OpenDesk
) -> None:
    for name, value in trouble.items():
        setattr(world, name, value)
    with desk() as page:
        banner = page.locator(".banner", has_text=said)
        expect(banner).to_be_visible()
        expect(banner).to_contain_text(advice)
        if not world.state:
            expect(page.locator(".panel-rates")).to_contain_text("No funding rates yet.")
            expect(page.locator(".panel-positions")).to_contain_text("No open positions.")
            expect(page.locator(".panel-actions")).to_contain_text("Automation NOT KNOWN")


def test_a_phone_has_one_column_and_the_kill_switch_in_reach(desk: OpenDesk) -> None:
    with desk(PHONE) as page:
        everything_is_drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        lefts = page.evaluate(
            "[...document.querySelectorAll('.desk .column > *')].map((e) => e.getBoundingClientRect().left)"
        )
        assert len(set(lefts)) == 1
        page.mouse.wheel(0, 3000)
        kill = page.locator("#kill")
        expect(kill).to_be_in_viewport()
        kill.click()
        expect(page.get_by_role("dialog", name="Kill switch")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(server: BrowserServer, visit: OpenDesk, size: tuple[int, int]) -> None:
    with visit(server.url, size) as page:
        assert violations(page) == []
        log_in(page)
        page.locator(".panel-opportunities tbody tr").first.wait_for()
        assert violations(page) == []
        for line, inside, content in (
            ("HIST", "#panel-history", "spread"),
            ("CALC BTC", "#panel-calculator", "Break-even"),
            ("CONF", "#panel-config", "trading.min_net_usd"),
            ("SIM", "#panel-simulation", "hours were simulated"),
            ("ORD", "#panel-orders", "latency p50"),
            ("HELP", "dialog", "Keys"),
        ):
            command(page, line)
            expect(page.locator(inside)).to_contain_text(content)
            settled(page)
            assert violations(page, inside) == [], line


COUNT_FRAMES = """() => {
    window.gaps = [];
    let last = performance.now();
    const frame = (at) => {
        gaps.push(at - last);
        last = at;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}"""


def test_two_thousand_rates_a_second_stay_smooth(visit: OpenDesk) -> None:
    with running(World(pairs=500), share=0.1) as server, visit(server.url) as page:
        log_in(page)
        hear_rates(page, 10)
        client = page.context.new_cdp_session(page)
        client.send(
            "Performance.enable", {"timeDomain": "threadTicks"}
        )  # its own time, whatever else runs here

        def metrics() -> dict[str, float]:
            return {row["name"]: row["value"] for row in client.send("Performance.getMetrics")["metrics"]}

        before = metrics()
        page.evaluate(COUNT_FRAMES)
        hear_rates(page, 40)
        after = metrics()
        busy = (after["TaskDuration"] - before["TaskDuration"]) / (after["Timestamp"] - before["Timestamp"])
        gaps = sorted(page.evaluate("gaps"))
        p50, p99 = (gaps[int(len(gaps) * part)] for part in (0.5, 0.99))
        print(f"busy {busy:.0%} of the time; frames p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        assert page.locator(".panel-rates .vt-body .vt-row").count() < 100
        assert after["JSHeapUsedSize"] < 100e6
        assert busy < 0.8
