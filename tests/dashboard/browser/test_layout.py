"""On an ordinary laptop's screen every column that was asked for is in sight, and every figure stands on one line."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.browser.conftest import OpenDesk, command, settled
from tests.dashboard.browser.server import BrowserServer
from tests.dashboard.browser.test_states import everything_is_drawn
from tests.dashboard.browser.world import World

LAPTOP = (1440, 900)

BAR = 11
"""Pixels of a thin scroll bar, which this headless browser does not draw and people's browsers do."""

SCROLLING = ".panel .scroll, .vt, .positions, .calc-result, .simulation-review, .panel-engine .panel-body"

DRAW_BARS = """(rule) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(rule);
    document.adoptedStyleSheets = [sheet];
}"""

OUT = """([inside, scrolling, bar]) => {
    const cells = "th, td, .vt-cell, .fig .value, .fig .label, .facts dt, .facts dd, .venue > span, .tab, .exits";
    const wrong = [];
    for (const cell of document.querySelectorAll(inside.split(",").map((one) => `${one} :is(${cells})`).join(","))) {
        if (!cell.textContent.trim() || !cell.checkVisibility() || cell.clientWidth <= 1) continue;
        const panel = cell.closest(".panel, .dock");
        const edge = panel.getBoundingClientRect().right - (cell.closest(scrolling) ? bar : 0);
        const beyond = cell.getBoundingClientRect().right - edge;
        const cut = cell.scrollWidth > cell.clientWidth && getComputedStyle(cell).overflow === "hidden";
        const said = `${panel.id} ${cell.className}: ${cell.textContent}`;
        if (beyond > 0.5) wrong.push(`out of sight by ${beyond.toFixed(1)}: ${said}`);
        else if (cut) wrong.push(`cut: ${said}`);
    }
    return wrong;
}"""
"""What lies beyond the right edge of its panel, or is cut within its own box."""

BROKEN = """(inside) => {
    const figure = /^[+−!✕✓▲▼\\s]*[\\d.,:₀-₉]+\\s?(%|USD|USDT|h|ms|s|×)?$/;
    const wrong = [];
    for (const leaf of document.querySelectorAll(inside.split(",").map((one) => `${one} *`).join(","))) {
        const text = [...leaf.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!text || !leaf.checkVisibility() || leaf.clientWidth === 1) continue;
        if (!leaf.closest(".num") && !figure.test(text.data.trim())) continue;
        // An alarm says an amount and for how long: two figures, each in one piece.
        const figures = leaf.matches('.value[data-tone="bad"]') ? /\\S+/g : /\\S.*\\S|\\S/g;
        for (const found of text.data.matchAll(figures)) {
            const range = document.createRange();
            range.setStart(text, found.index);
            range.setEnd(text, found.index + found[0].length);
            const boxes = [...range.getClientRects()].filter((box) => box.width);
            const lines = new Set(boxes.map((box) => Math.round(box.top)));
            if (lines.size > 1) wrong.push(`${lines.size} lines: ${text.data}`);
        }
    }
    return wrong;
}"""
"""Figures that are broken onto several lines."""


def fits(page: Page, inside: str) -> None:
    """Everything ``inside`` is in sight and no figure is broken."""
    page.evaluate(DRAW_BARS, f"{SCROLLING} {{ border-right: {BAR}px solid transparent !important }}")
    settled(page)
    assert "\n".join(page.evaluate(OUT, [inside, SCROLLING, BAR])[:12]) == ""
    assert "\n".join(page.evaluate(BROKEN, inside)[:12]) == ""


def test_what_is_always_on_the_desk_is_in_sight(desk: OpenDesk, world: World) -> None:
    large = list(world.positions.values())[1]
    large.update(
        funding="14330.21", fees="1250.10", unrealized="-1234.56", net="11845.55", size_usd="516360.00"
    )
    large["legs"][0].update(unrealized="-1574.10", funding="1498.20", quantity="145400000")
    world.positions[next(iter(world.positions))].update(
        unhedged="0.0213", unhedged_usd="2071.42", unhedged_s=75
    )
    with desk(LAPTOP) as page:
        expect(page.locator(".exits").first).to_contain_text(
            "spread: 8-hour spread below -0.0100% (now +0.0274%)"
        )
        everything_is_drawn(page)
        page.get_by_role("button", name="Next payments of position 1").click()
        fits(page, ".panel-rates, .panel-positions, .panel-engine, .panel-pnl, .panel-actions, .panel-entry")
        fits(page, ".dock")
        titles = page.locator(".panel-rates .vt-titles .vt-cell").all_inner_texts()
        assert [title.split()[0] for title in titles][-2:] == ["MARK", "AGE"]


def test_the_matrix_of_rates_is_in_sight(desk: OpenDesk) -> None:
    with desk(LAPTOP) as page:
        everything_is_drawn(page)
        page.get_by_role("button", name="MATRIX").click()
        expect(page.get_by_role("columnheader", name="DYDX")).to_be_visible()
        fits(page, ".panel-rates")


@pytest.mark.parametrize(
    ("line", "panel", "content"),
    [
        ("OPPS", "opportunities", "takeable, scanned"),
        ("ORD", "orders", "latency p50"),
        ("HIST", "history", "amounts in USD"),
        ("CALC BTC dydx okx 10000", "calculator", "Break-even"),
        ("CALC PEPE binance bybit 1000000", "calculator", "Break-even"),
        ("SIM", "simulation", "Refusals by gate"),
        ("AUDIT", "audit", "tolerance"),
    ],
)
def test_every_column_of_a_tab_is_in_sight(
    line: str, panel: str, content: str, desk: OpenDesk, world: World
) -> None:
    world.orders[0].update(status="CANCELLED", reason="nobody took it within 30 seconds")
    with desk(LAPTOP) as page:
        everything_is_drawn(page)
        command(page, "TOL 1 aggressive")
        expect(page.locator(".toast")).to_be_visible()
        command(page, line)
        expect(page.locator(f"#panel-{panel}")).to_contain_text(content)
        fits(page, f"#panel-{panel}")
        assert page.locator(f"#panel-{panel} :is(th, dt)").count() > 3


def test_the_net_of_a_calculation_is_seen_without_scrolling(desk: OpenDesk) -> None:
    with desk(LAPTOP) as page:
        command(page, "CALC BTC dydx okx 10000")
        net = page.locator("#panel-calculator .facts .total")
        expect(net).to_contain_text("USD")
        expect(page.locator("#panel-calculator .facts dt").first).to_have_text("Net")
        box, panel = net.bounding_box(), page.locator("#panel-calculator").bounding_box()
        assert box is not None
        assert panel is not None
        assert box["y"] + box["height"] < panel["y"] + panel["height"]


def test_an_empty_panel_of_positions_leaves_its_room_to_the_tabs(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk(LAPTOP) as page:
        everything_is_drawn(page)
        before = page.locator(".dock").bounding_box()

        def close_all() -> None:
            for position_id in list(world.positions):
                world.close(world.positions[position_id])
                server.push("POSITION_UPDATE", {"position_id": position_id, "status": "CLOSED"})

        server.change(close_all)
        expect(page.locator(".position")).to_have_count(0)
        expect(page.get_by_text("No open positions.")).to_be_visible()
        settled(page)
        panel, after = page.locator(".panel-positions").bounding_box(), page.locator(".dock").bounding_box()
        assert before is not None
        assert after is not None
        assert panel is not None
        assert panel["height"] < 120
        assert after["height"] > before["height"] + 150


def test_every_account_is_seen_without_scrolling(desk: OpenDesk) -> None:
    with desk(LAPTOP) as page:
        everything_is_drawn(page)
        panel = page.locator(".panel-engine .panel-body")
        expect(panel.locator(".accounts .account")).to_have_count(4)
        assert panel.evaluate("(body) => body.scrollHeight - body.clientHeight") <= 0


@pytest.mark.parametrize("width", [1600, 1920])
def test_the_desk_fits_at_other_widths(width: int, desk: OpenDesk) -> None:
    with desk((width, 1000)) as page:
        everything_is_drawn(page)
        fits(page, ".panel-rates, .panel-positions, .panel-engine, .dock")
