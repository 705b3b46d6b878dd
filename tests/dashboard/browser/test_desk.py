"""The pages in a browser: the way in, every panel, keyboard and command bar."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect
from pydantic import TypeAdapter
from tests.dashboard.browser.conftest import OpenDesk, command, hear_rates, log_in, settled
from tests.dashboard.browser.server import PASSWORD, BrowserServer
from tests.dashboard.browser.world import World

from fundingarb_dashboard.numbers import Fraction, Usd


def test_a_wrong_password_is_said_at_the_field_and_the_right_one_opens_the_desk(
    server: BrowserServer, visit: OpenDesk
) -> None:
    with visit(server.url, quiet=False) as page:
        secret = page.get_by_label("Password or one-time token")
        secret.fill("wrong")
        secret.press("Enter")
        expect(page.get_by_text("neither the password nor a fresh token")).to_be_visible()
        expect(secret).to_have_attribute("aria-invalid", "true")
        log_in(page)
        expect(page.get_by_text("[SIMULATION]")).to_be_visible()


def test_a_link_with_a_token_logs_in_and_the_token_leaves_the_address(
    server: BrowserServer, visit: OpenDesk
) -> None:
    with visit(f"{server.url}/#token={'T' * 43}") as page:
        page.locator("#desk").wait_for()
        assert page.url == f"{server.url}/"


def test_an_anonymous_visit_asks_for_nothing_that_is_refused(server: BrowserServer, visit: OpenDesk) -> None:
    with visit(server.url) as page:
        expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_snapshot_alone_fills_the_table_and_the_tape(server: BrowserServer, visit: OpenDesk) -> None:
    server.silent = True  # nothing comes after it
    with visit(server.url) as page:
        page.get_by_label("Password or one-time token").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.locator("#desk").wait_for()
        # before the page takes the silence for a dead connection, after nine seconds, and gets another one
        expect(page.locator(".panel-rates .vt-body .vt-row").first).to_be_visible(timeout=7000)
        expect(page.locator(".tape-item").first).to_be_attached(timeout=7000)


def test_every_panel_has_content(desk: OpenDesk) -> None:
    with desk() as page:
        expect(page.locator("[data-card=realized] .card-value")).to_contain_text(".")
        expect(page.locator(".panel-rates .vt-body .vt-row").first).to_be_visible()
        expect(page.locator(".position")).to_have_count(3)
        expect(page.locator(".panel-engine")).to_contain_text("RUNNING")
        expect(page.locator(".panel-actions")).to_contain_text("Automation ON")
        expect(page.locator(".panel-entry .spread-now")).to_contain_text("%")
        expect(page.locator(".panel-alerts .alert")).to_have_count(2)
        expect(page.locator(".tape-item").first).to_be_visible()
        for key, panel, content in (
            ("F3", "opportunities", "takeable, scanned"),
            ("F6", "charts", "own settlements"),
            ("F7", "history", "spread"),
            ("F8", "calculator", "Symbol"),
            ("F9", "config", "trading.min_net_usd"),
        ):
            page.keyboard.press(key)
            expect(page.locator(f"#panel-{panel}")).to_contain_text(content)
        for line, panel, content in (
            ("ORD", "orders", "latency p50"),
            ("SIM", "simulation", "Refusals by gate"),
            ("AUDIT", "audit", "No commands yet"),
        ):
            command(page, line)
            expect(page.locator(f"#panel-{panel}")).to_contain_text(content)


@pytest.mark.parametrize(
    ("card", "result"), [("Realised", "realized"), ("Unrealised", "unrealized"), ("Net", "net")]
)
def test_every_result_splits_on_demand_by_the_keyboard(
    card: str, result: str, desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    wanted: dict[str, float] = {}

    def hold() -> None:
        server.share = 0  # nothing moves
        wanted.update({name: float(value) for name, value in world.summary()["splits"][result].items()})

    server.change(hold)
    with desk() as page:
        split = page.get_by_role("region", name="What it consists of, USD")
        toggle = page.get_by_role("button", name=card, exact=True)
        expect(toggle).to_have_attribute("aria-expanded", "false")
        toggle.focus()
        page.keyboard.press("Enter")
        expect(toggle).to_have_attribute("aria-expanded", "true")
        expect(split).to_contain_text(f"{card}, USD")
        for part in ("funding", "price", "basis", "slippage"):
            shown = split.locator(".part", has_text=part).locator("dd").inner_text()
            assert number(shown) == pytest.approx(wanted[part]), part
        fees = split.locator(".part", has_text="fees").locator("dd").inner_text()
        assert number(fees) == pytest.approx(-wanted["fees"])
        page.keyboard.press("Space")
        expect(split).to_be_hidden()


def test_every_next_payment_is_shown_on_opening(desk: OpenDesk, world: World) -> None:
    position = next(iter(world.positions.values()))
    with desk() as page:
        shown = page.locator(".position").first
        more = shown.get_by_role("button", name="Next payments of position 1, BTC-USDT")
        coming = shown.get_by_role("region", name="Next payments, USD")
        expect(coming).to_be_hidden()
        more.focus()
        page.keyboard.press("Enter")
        expect(more).to_have_attribute("aria-expanded", "true")
        expect(coming.locator("li")).to_have_count(6)
        for leg, box in zip(position["legs"], coming.locator(".coming-leg").all(), strict=True):
            expect(box).to_contain_text(f"{leg['side'].lower()} {leg['account']}")
            for payment, row in zip(leg["next_payments"], box.locator("li").all(), strict=True):
                assert number(row.locator(".num").inner_text()) == round(float(payment["amount"]), 2)
                expect(row).to_contain_text(f"at {payment['at'][5:16].replace('T', ' ')}, in ")
        page.keyboard.press("Enter")
        expect(coming).to_be_hidden()


def number(shown: str) -> float:
    """A figure as a person reads it."""
    return float(shown.replace("−", "-").replace(",", "").replace("+", ""))


def test_rates_sort_filter_freeze_and_turn_into_a_matrix(desk: OpenDesk) -> None:
    with desk() as page:
        rows = page.locator(".panel-rates .vt-body .vt-row:not([hidden])")
        page.get_by_role("button", name="PAIR").click()
        expect(rows.first).to_contain_text("BTC-USDT")
        page.get_by_label("Filter rates").fill("sol")
        expect(rows).to_have_count(4)
        page.get_by_role("button", name="FREEZE").click()
        expect(page.locator(".panel-rates")).to_contain_text("FROZEN")
        before = rows.first.inner_text()
        hear_rates(page)
        assert rows.first.inner_text() == before
        page.get_by_role("button", name="FREEZE").click()
        page.get_by_role("button", name="MATRIX").click()
        expect(rows).to_have_count(1)
        expect(page.get_by_role("columnheader", name="DYDX")).to_be_visible()
        page.get_by_label("Filter rates").fill("nothing such")
        expect(page.locator(".panel-rates")).to_contain_text("Clear the filter")


def test_the_command_bar_completes_and_goes(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        page.keyboard.press("/")
        bar = page.get_by_role("combobox", name="Command")
        expect(bar).to_be_focused()
        bar.fill("CL")
        expect(page.get_by_role("option").first).to_contain_text("CLOSE")
        bar.press("Tab")
        expect(bar).to_have_value("CLOSE ")
        bar.press("Escape")
        command(page, "BTC <GO>")
        expect(page.get_by_label("Filter rates")).to_have_value("BTC-USDT")
        expect(page.locator("#panel-charts")).to_be_visible()
        expect(page.locator("#panel-entry select[name=pair]")).to_have_value("BTC-USDT")
        command(page, "CALC ETH okx bybit 20000")
        expect(page.locator("#panel-calculator")).to_contain_text("Break-even")
        command(page, "CLOSE 9")
        expect(page.locator(".command-message")).to_have_text("CLOSE which? Open are 1, 2, 3.")
        command(page, "TOL 2 aggressive")
        expect(page.locator(".toast")).to_contain_text("ETH-USDT: tolerance is aggressive now.")
        expect(page.locator(".position").nth(1).get_by_role("combobox")).to_have_value("aggressive")
        command(page, "STOP")
        expect(page.locator(".panel-actions")).to_contain_text("Automation OFF")
        assert [path for path, _ in server.requests][-1] == "engine/stop"
        page.keyboard.press("F1")
        expect(page.get_by_role("dialog")).to_contain_text("OPEN pair long short usd")


def test_function_keys_go_where_they_say(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        page.keyboard.press("F2")
        expect(page.get_by_label("Filter rates")).to_be_focused()
        page.keyboard.press("F4")
        expect(page.locator("#panel-positions")).to_be_focused()
        page.keyboard.press("F5")
        expect(page.locator(".toast")).to_contain_text("Reading every account.")
        assert [path for path, _ in server.requests] == ["engine/refresh"]
        for key, name in (("F1", "Help"), ("F10", "Kill switch")):
            page.keyboard.press(key)
            expect(page.get_by_role("dialog", name=name)).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_hedge_is_opened_and_closed_by_the_keyboard_alone(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        keys = page.keyboard
        keys.press("/")
        for line, positions in (("OPEN DOGE okx dydx 7500", 4), ("CLOSE 4", 3)):
            expect(page.get_by_role("combobox", name="Command")).to_be_focused()  # after a dialog again
            keys.type(line)
            keys.press("Enter")
            expect(page.get_by_role("dialog").get_by_role("button").last).to_be_focused()
            keys.press("Enter")
            expect(page.locator(".position")).to_have_count(positions)
            expect(page.get_by_role("dialog")).to_have_count(0)
        assert [path.split("/")[-1] for path, _ in server.requests] == ["open", "close"]
        # and through the form: nothing is out of the reach of Tab
        page.get_by_role("form", name="Open a position").get_by_label("Symbol").focus()
        for name in ("Long", "Short", "Size, USD per leg"):
            keys.press("Tab")
            expect(page.get_by_role("form", name="Open a position").get_by_label(name)).to_be_focused()
        keys.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("Size per leg10,000.00 USD")


def test_where_an_exchange_has_several_accounts_one_of_them_is_named(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    world.accounts = {"binance": "binance", "bybit": "bybit", "okx-a": "okx", "okx-b": "okx", "dydx": "dydx"}
    with desk() as page:
        form = page.get_by_role("form", name="Open a position")
        expect(form.get_by_label("Long").locator("option")).to_have_text(
            ["binance", "bybit", "dydx", "okx-a", "okx-b"]
        )
        command(page, "OPEN BTC okx binance 5000")
        expect(page.locator(".command-message")).to_contain_text("okx has several accounts; name one of")
        form.get_by_label("Symbol").select_option("ETH-USDT")
        form.get_by_label("Long").select_option("okx-a")
        form.get_by_label("Short").select_option("okx-b")
        form.get_by_role("button", name="Open position").click()
        expect(form).to_contain_text("Long and short must be on different exchanges.")
        form.get_by_label("Short").select_option("bybit")
        expect(form.locator(".spread-now")).to_contain_text("%")
        form.get_by_role("button", name="Open position").click()
        page.get_by_role("dialog").get_by_role("button", name="Open position").click()
        expect(page.locator(".position")).to_have_count(4)
        command(page, "OPEN BTC okx-b binance 5000")
        page.get_by_role("dialog").get_by_role("button", name="Open position").click()
        expect(page.locator(".position")).to_have_count(5)
        opened = [(body["long"], body["short"]) for path, body in server.requests if path == "positions/open"]
        assert opened == [("okx-a", "bybit"), ("okx-b", "binance")]
        command(page, "CALC BTC okx binance 5000")  # as a row of the opportunities asks
        expect(page.locator("#panel-calculator")).to_contain_text("BTC-USDT: long okx-a, short binance")


SIZE = "Write a size in USD from 1 to 999999999, such as 10000, 7,500 or 2.5k."
TOLERANCE = "TOL 3 conservative|moderate|aggressive or a fraction below 0.1 either way, e.g. -0.0001"
LINES: list[tuple[str, dict[str, Any]]] = [
    ("btc", {"act": "pair", "pair": "BTC-USDT"}),
    ("BTC <GO>", {"act": "pair", "pair": "BTC-USDT"}),
    ("btc chart", {"act": "panel", "panel": "charts", "args": {"pair": "BTC-USDT"}}),
    (
        "open btc okx bybit 5k",
        {"act": "open", "pair": "BTC-USDT", "long": "okx", "short": "bybit", "size_usd": "5000"},
    ),
    (
        "open btc okx bybit 2.5k",
        {"act": "open", "pair": "BTC-USDT", "long": "okx", "short": "bybit", "size_usd": "2500"},
    ),
    *(
        (f"open btc okx bybit {size}", {"error": f"{size}: {SIZE}"})
        for size in ("0.5", "1,5", "1e5", "1000m")
    ),
    ("OPEN BTC okx", {"act": "panel", "panel": "entry", "args": {"pair": "BTC-USDT", "long": "okx"}}),
    ("open btc okx okx 5000", {"error": "Long and short must be different exchanges."}),
    ("open btc mars okx 5000", {"error": "mars is not an exchange here; there are okx, bybit."}),
    ("close 3", {"act": "close", "number": 3}),
    ("tol 3 -0.0002", {"act": "tolerance", "number": 3, "wanted": "-0.0002"}),
    ("tol 3 -.0002", {"act": "tolerance", "number": 3, "wanted": "-0.0002"}),
    ("tol 3 moderate", {"act": "tolerance", "number": 3, "wanted": "moderate"}),
    *(
        (f"tol 3 {value}", {"error": TOLERANCE})
        for value in ("0.5", "-1", "0.1", "0.00000000001", "bold", "")
    ),
    ("kill", {"act": "kill"}),
    (
        "CONF trading.min_net_usd",
        {"act": "panel", "panel": "config", "args": {"path": "trading.min_net_usd"}},
    ),
    ("constructor", {"error": "constructor is neither a command nor a symbol; HELP lists the commands."}),
    ("", {"error": "Type a command; HELP lists them."}),
]


def test_what_command_lines_mean(server: BrowserServer, visit: OpenDesk) -> None:
    with visit(server.url) as page:
        for line, meaning in LINES:
            found = page.evaluate(
                """async (line) => {
                    const {parse} = await import("/static/js/commands.js");
                    return parse(line, {pairs: ["BTC-USDT"], exchanges: ["okx", "bybit"], numbers: [3]});
                }""",
                line,
            )
            assert found == meaning, line


WRITTEN = [
    ("sizeOf", "5,000.50", "5000.5"),
    ("sizeOf", "5000.123456789123", "5000.12"),
    ("sizeOf", "0.995", "1"),
    ("sizeOf", "999999999", "999999999"),
    ("sizeOf", "1.", "1"),
    ("sizeOf", "12.345k", "12345"),
    *(("sizeOf", text, None) for text in ("0.99", "999999999.01", "1000000k", "-5", "", "NaN", "5 000", "k")),
    ("fractionOf", "-0.00010", "-0.0001"),
    ("fractionOf", ".05", "0.05"),
    *(("fractionOf", text, "0") for text in ("0", "-0", "0.000", "00.0")),
    *(("fractionOf", text, None) for text in ("0.1", "1", "-.5", "1e-4", ".", "-", "", "0.01%")),
]


def test_what_is_written_is_what_the_bot_takes(server: BrowserServer, visit: OpenDesk) -> None:
    with visit(server.url) as page:
        for name, text, taken in WRITTEN:
            found = page.evaluate(
                """async ([name, text]) => (await import("/static/js/amounts.js"))[name](text)""",
                [name, text],
            )
            assert found == taken, (name, text)
            wanted = {"sizeOf": Usd, "fractionOf": Fraction}[name]
            if taken is not None:
                TypeAdapter(wanted).validate_python(taken)


FIGURES = [
    ("gain", "-0.004", "0.00"),
    ("gain", "1234.5", "+1,234.50"),
    ("paid", "1.5", "−1.50"),
    ("pct", "0.0001", "+0.0100%"),
    ("pct", None, "–"),
    ("price", "97250.16", "97,250.2"),
    ("price", "0.00002011", "0.00002011"),
    ("shortPrice", "0.00001776", "0.0₄1776"),
    ("quantity", "2807000000", "2.807B"),
    ("span", 3665, "1:01:05"),
    ("span", 90061, "1d 01:01"),
    ("clock", "2026-11-23T14:03:22.5Z", "14:03:22"),
    ("clock", "never", "–"),
    ("gain", "NaN", "–"),
    ("shortPrice", "113189.04", "113,189"),
    ("shortPrice", "13189.04", "13,189.0"),
    ("shortSpan", 3799, "1h03m"),
    ("shortSpan", 3599, "59:59"),
    ("shortSpan", 187_200, "2d04h"),
    ("judged", ["spread", "0.00010000"], "+0.0100%"),
    ("judged", ["net", "-1.2345"], "−1.23 USD"),
    ("judged", ["pair-cap", "7"], "7"),
    ("judged", ["window", "2026-01-05 08:40:00 to 08:45:00"], "01-05 08:40:00 to 08:45:00"),
    ("judged", [None, None], ""),
]


def test_how_figures_are_written(server: BrowserServer, visit: OpenDesk) -> None:
    with visit(server.url) as page:
        for name, value, text in FIGURES:
            found = page.evaluate(
                'async ([name, value]) => (await import("/static/js/format.js"))[name](...[value].flat())',
                [name, value],
            )
            assert found == text, (name, value)


@pytest.mark.parametrize("name", ["<img src=x onerror=boom()>-USDT", '"><script>boom()</script>', "‮TDSU-CTB"])
def test_hostile_symbol_names_are_only_text(visit: OpenDesk, name: str) -> None:
    from tests.dashboard.browser.server import running

    world = World(pairs=6, hostile=name)
    world.open(name, "okx", "dydx", 5000)
    world.alert("CRITICAL", name, [name])
    with running(world) as server, visit(server.url) as page:
        page.evaluate("() => { window.boom = () => { window.hit = true; }; }")
        log_in(page, PASSWORD)
        expect(page.locator(".position", has_text=name.split("-")[0][:9])).to_be_visible()
        for key in ("F3", "F6", "F7"):
            page.keyboard.press(key)
        page.keyboard.press("F6")
        with page.expect_response("**/api/rates/history*") as answered:
            page.locator("#panel-charts select").first.select_option(name, force=True)
        answered.value.finished()
        expect(page.locator("#panel-charts .main-svg").first).to_be_visible()
        hear_rates(page, 5)
        assert page.evaluate("window.hit") is None
        assert page.locator("img, #root script").count() == 0


def test_rates_are_walked_with_the_arrow_keys(desk: OpenDesk) -> None:
    with desk() as page:
        page.get_by_role("button", name="FREEZE").click()
        expect(page.locator(".panel-rates")).to_contain_text("FROZEN")
        grid = page.get_by_role("grid", name="Funding rates")
        grid.focus()
        for _ in range(3):
            grid.press("ArrowDown")
        chosen = page.locator(".panel-rates .vt-row[aria-selected=true]")
        expect(chosen).to_have_attribute("aria-rowindex", "4")
        expect(grid).to_have_attribute("aria-activedescendant", chosen.get_attribute("id") or "")
        pair = chosen.locator(".vt-cell").first.inner_text()
        grid.press("Enter")
        expect(page.locator("#panel-entry select[name=pair]")).to_have_value(pair)


def test_a_panel_is_enlarged_and_put_back(desk: OpenDesk) -> None:
    with desk() as page:
        expect(page.locator(".panel-rates .vt-body .vt-row").first).to_be_visible()
        expect(page.locator(".position")).to_have_count(3)
        expect(page.locator("[data-card=realized] .card-value")).to_contain_text(".")
        settled(page)
        before = page.locator("#panel-rates").bounding_box()
        page.get_by_role("grid", name="Funding rates").focus()
        page.keyboard.press("z")
        wide = page.locator("#panel-rates").bounding_box()
        page.keyboard.press("z")
        after = page.locator("#panel-rates").bounding_box()
        assert before is not None
        assert wide is not None
        assert wide["width"] > 1500
        assert after == before
