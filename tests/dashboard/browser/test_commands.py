"""What a person does with money: open, close, kill, configure. The right request is sent, once, after a question."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.dashboard.browser.conftest import Held, OpenDesk, command
from tests.dashboard.browser.server import BrowserServer
from tests.dashboard.browser.world import World


def test_opening_by_hand_asks_first_and_a_double_click_opens_one(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk() as page:
        command(page, "OPEN DOGE okx dydx 7500")
        dialog = page.get_by_role("dialog", name="Open DOGE-USDT")
        expect(dialog).to_contain_text("7,500.00 USD")
        dialog.locator("form").evaluate("(form) => { form.requestSubmit(); form.requestSubmit(); }")
        expect(page.locator(".position")).to_have_count(4)
        expect(dialog).to_have_count(0)
        assert server.requests == [
            ("positions/open", {"pair": "DOGE-USDT", "long": "okx", "short": "dydx", "size_usd": "7500"})
        ]


def test_a_refusal_is_shown_where_it_was_asked_and_may_be_called_off(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk(quiet=False) as page:
        form = page.get_by_role("form", name="Open a position")
        form.get_by_label("Size").fill("0")
        form.get_by_role("button", name="Open position").click()
        expect(form).to_contain_text("Write a size in USD")
        form.get_by_label("Size").fill("90,000")
        form.get_by_role("button", name="Open position").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Open position").click()
        expect(dialog).to_contain_text("at most 50000 USD per pair")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.locator(".position")).to_have_count(3)


def test_a_size_is_sent_as_it_was_shown_and_never_when_the_bot_would_refuse_it(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk() as page:
        command(page, "OPEN DOGE okx dydx 0.5")
        expect(page.locator("#command-message")).to_contain_text(
            "0.5: Write a size in USD from 1 to 999999999"
        )
        expect(page.get_by_role("dialog")).to_have_count(0)
        form = page.get_by_role("form", name="Open a position")
        form.get_by_label("Size").fill("0.5")
        form.get_by_role("button", name="Open position").click()
        expect(form).to_contain_text("Write a size in USD from 1 to 999999999")
        command(page, "OPEN DOGE okx dydx 5000.123456789123")
        dialog = page.get_by_role("dialog", name="Open DOGE-USDT")
        expect(dialog).to_contain_text("5,000.12 USD")
        dialog.get_by_role("button", name="Open position").click()
        expect(dialog).to_have_count(0)
        command(page, "TOL 1 0.5")
        expect(page.locator("#command-message")).to_contain_text("a fraction below 0.1 either way")
        assert [(path, body["size_usd"]) for path, body in server.requests] == [("positions/open", "5000.12")]


def test_an_outcome_nobody_knows_is_called_neither_done_nor_failed(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk(quiet=False) as page:
        server.deaf = True
        command(page, "OPEN DOGE okx dydx 7500")
        dialog = page.get_by_role("dialog", name="Open DOGE-USDT")
        dialog.get_by_role("button", name="Open position").click()
        expect(dialog.get_by_role("alert")).to_contain_text("OUTCOME UNKNOWN: it may have been carried out")
        expect(dialog.get_by_role("alert")).to_have_class("dialog-error unknown")
        server.deaf = False
        dialog.get_by_role("button", name="Open position").click()
        expect(dialog).to_have_count(0)
        expect(page.locator(".position")).to_have_count(4)
        assert len(server.keys) > 1  # chromium itself sends again what a broken connection has swallowed
        assert len(set(server.keys)) == 1
        server.deaf = True
        command(page, "SCAN")
        expect(page.locator(".toast.warn")).to_contain_text("OUTCOME UNKNOWN")


def test_what_a_dialog_was_closed_over_is_told_when_it_is_known(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk() as page:
        opening = Held(page, "**/api/positions/open")
        command(page, "OPEN DOGE okx dydx 7500")
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Open position").click()
        opening.wait()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        opening.go()
        expect(page.locator(".toast.good")).to_contain_text("Open DOGE-USDT: it was carried out after all.")


def test_a_tolerance_that_was_refused_is_not_shown_as_if_it_were_in_force(
    desk: OpenDesk, world: World
) -> None:
    with desk(quiet=False) as page:
        page.route("**/tolerance", lambda route: route.abort())
        chosen = page.locator(".position select").first
        chosen.select_option("aggressive")
        expect(page.locator(".toast.warn")).to_contain_text("OUTCOME UNKNOWN")
        expect(chosen).to_have_value("moderate")
        page.unroute("**/tolerance")
        chosen.select_option("aggressive")
        expect(page.locator(".toast.good")).to_contain_text("tolerance is aggressive now")
        expect(chosen).to_have_value("aggressive")


def test_closing_names_the_version_it_saw(desk: OpenDesk, server: BrowserServer, world: World) -> None:
    with desk() as page:
        second = list(world.positions.values())[1]
        expect(page.locator(".position")).to_have_count(3)
        command(page, "CLOSE 2")
        dialog = page.get_by_role("dialog", name=f"Close {second['pair']} (2)")
        base = second["pair"].split("-")[0]
        for leg in second["legs"]:
            expect(dialog).to_contain_text(f"{base} on {leg['exchange']} ({leg['account']})")
        expect(dialog).to_contain_text("Size per leg")
        dialog.get_by_role("button", name="Close position").click()
        expect(page.locator(".position")).to_have_count(2)
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert server.requests == [(f"positions/{second['position_id']}/close", {"version": 3})]
        expect(page.locator(".position .fig:first-child .value").first).to_have_text("1")
        page.keyboard.press("F7")
        page.locator("#panel-history tbody tr", has_text="ETH-USDT").first.click()
        account = page.get_by_role("dialog", name="ETH-USDT: the full account")
        expect(account).to_contain_text("Holding 1 h longer+0.80 USD")
        expect(account).to_contain_text("the day is not over")
        expect(account).to_contain_text("24 h longernot known")
        expect(account).to_contain_text("Orders (4)")


def test_the_kill_switch_wants_the_word_and_shows_each_leg_until_flat(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    world.foreign = [
        {
            "account": "okx",
            "exchange": "okx",
            "symbol": "TON-USDT",
            "quantity": "-3",
            "reason": "not of this bot",
        }
    ]
    world.needs_password = True
    with desk() as page:
        page.keyboard.press("F10")
        dialog = page.get_by_role("dialog", name="Kill switch")
        expect(dialog).to_contain_text("Not of this bot: TON-USDT on okx−3")
        button = dialog.get_by_role("button", name="Kill", exact=True)
        expect(button).to_be_disabled()
        word = dialog.get_by_label("Type KILL to go on")
        expect(word).to_be_focused()
        word.press("Enter")
        assert server.requests == []
        word.fill("kill")
        word.press("Enter")
        expect(dialog).to_contain_text("6 legs are not flat yet")
        assert server.requests == [("engine/kill", {"confirm": "KILL"})]
        server.flatten()
        expect(dialog).to_contain_text("5 legs are not flat yet")
        expect(dialog.locator("tr", has_text="✓ flat")).to_have_count(1)
        expect(dialog.get_by_role("button", name="Release…")).to_be_disabled()
        while world.not_flat:
            server.flatten()
        expect(dialog).to_contain_text("✓ FLAT")
        expect(dialog.locator("tr", has_text="✓ flat")).to_have_count(6)
        expect(page.locator("#kill")).to_have_text("KILLED ✓")
        dialog.get_by_role("button", name="Release…").click()
        release = page.get_by_role("dialog", name="Release the kill switch")
        release.get_by_label("Master password").fill("what only the owner knows")
        release.get_by_role("button", name="Release").click()
        expect(page.locator("#kill")).to_have_text("KILL")
        assert server.requests[-1] == ("engine/resume", {"master_password": "what only the owner knows"})


def test_the_kill_switch_is_in_reach_over_another_dialog(desk: OpenDesk) -> None:
    with desk() as page:
        command(page, "HELP")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("F10")
        expect(page.get_by_label("Type KILL to go on")).to_be_focused()
        page.keyboard.press("F10")
        expect(page.get_by_role("dialog", name="Kill switch")).to_have_count(1)


def test_without_a_connection_a_kill_is_sent_again_and_nothing_counts_as_flat(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk(quiet=False) as page:
        page.keyboard.press("F10")
        word = page.get_by_label("Type KILL to go on")
        word.fill("kill")
        word.press("Enter")
        dialog = page.get_by_role("dialog", name="Kill switch")
        expect(dialog).to_contain_text("not flat yet")
        while world.not_flat:
            server.flatten()
        expect(dialog).to_contain_text("✓ FLAT")
        page.evaluate("() => { window.WebSocket = class extends EventTarget { close() {} }; }")
        server.cut()
        expect(dialog).to_contain_text("NOT KNOWN: nothing arrives from the bot")
        expect(page.locator("#kill")).to_have_text("KILL")
        expect(dialog).not_to_contain_text("✓ FLAT")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.keyboard.press("F10")
        word.fill("kill")
        word.press("Enter")
        expect(dialog).to_contain_text("NOT KNOWN")
        assert [path for path, _ in server.requests] == ["engine/kill", "engine/kill"]


def test_the_configuration_shows_errors_at_the_field_and_the_difference_before_saving(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk() as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        net = panel.get_by_label("min_net_usd")
        expect(net).to_be_focused()
        net.fill("9999999999")
        panel.get_by_role("button", name="Save & apply").click()
        expect(panel).to_contain_text("is too large; choose at most 1000000000")
        expect(net).to_have_attribute("aria-invalid", "true")
        net.fill("2.5")
        symbols = panel.locator(".words", has_text="BTC-USDT")
        symbols.get_by_placeholder("add…").fill("DOGE-USDT")
        symbols.get_by_role("button", name="Add").click()
        panel.get_by_role("button", name="Remove SOL-USDT").click()
        panel.get_by_role("button", name="Save & apply").click()
        dialog = page.get_by_role("dialog", name="Save 2 changes")
        expect(dialog).to_contain_text("trading.min_net_usd")
        expect(dialog).to_contain_text("− 1")
        expect(dialog).to_contain_text("+ 2.5")
        dialog.get_by_role("button", name="Save & apply").click()
        expect(page.locator(".toast.good")).to_contain_text("Revision 13 is in force.")
        assert world.document["trading"]["min_net_usd"] == "2.5"
        assert world.document["trading"]["symbols"] == ["BTC-USDT", "ETH-USDT", "DOGE-USDT"]
        assert server.requests[-1][1]["base_revision"] == 12


def test_what_is_typed_while_the_configuration_is_on_its_way_stays(desk: OpenDesk) -> None:
    with desk() as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        net = panel.get_by_label("min_net_usd")
        expect(net).to_be_focused()
        command(page, "HIST")
        late = Held(page, "**/api/config")
        command(page, "CONF trading.min_net_usd")
        expect(net).to_be_focused()
        net.fill("2.5")
        late.go()
        expect(net).to_have_value("2.5")
        expect(panel.get_by_role("button", name="Save & apply")).to_be_enabled()
        panel.get_by_role("button", name="Undo").click()
        late.go()
        expect(net).to_have_value("1")
        expect(panel.get_by_role("button", name="Save & apply")).to_be_disabled()


def test_leverage_is_set_per_exchange_with_a_slider(desk: OpenDesk, world: World) -> None:
    with desk() as page:
        page.keyboard.press("F9")
        panel = page.locator("#panel-config")
        panel.get_by_role("combobox", name="Exchange or account").select_option("okx")
        group = panel.get_by_role("group", name="leverage")
        group.get_by_role("button", name="Add").first.click()
        group.get_by_label("default", exact=True).fill("3")
        panel.get_by_role("button", name="Save & apply").click()
        page.get_by_role("dialog").get_by_role("button", name="Save & apply").click()
        expect(page.locator(".toast.good")).to_be_visible()
        assert world.document["leverage"] == {"okx": {"default": 3}}
