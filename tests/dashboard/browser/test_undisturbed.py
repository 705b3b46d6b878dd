"""What a person types, chooses, aims at or reads is not undone by what arrives: answers, updates, snapshots."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.dashboard.browser.conftest import Held, OpenDesk, command, hear_rates, settled
from tests.dashboard.browser.server import BrowserServer
from tests.dashboard.browser.world import EXCHANGES, World

RATE = {"rate": 0.05, "rate_8h": 0.05, "apr": 54.75}


def mark(element: Locator) -> None:
    """So that an element that was made anew in its place is told from it."""
    element.evaluate("(element) => { element.dataset.marked = 'yes'; }")


def reconnect(page: Page, server: BrowserServer) -> None:
    """Lose the connection, and have everything from a snapshot again."""
    page.evaluate("""async () => {
        const {on} = await import("/static/js/store.js");
        window.again = new Promise((done) => on(["snapshot"], () => done()));
    }""")
    server.cut()
    page.evaluate("() => window.again")
    settled(page)


# the configuration


def test_what_is_saved_is_what_was_shown_whatever_is_typed_meanwhile(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk() as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        net, base = panel.get_by_label("min_net_usd"), panel.get_by_label("min_spread_base")
        before = base.input_value()
        net.fill("2.5")
        checking = Held(page, "**/api/config/check")
        panel.get_by_role("button", name="Save & apply").click()
        checking.wait()
        base.fill("0.007")
        checking.go()
        dialog = page.get_by_role("dialog", name="Save 1 change")
        dialog.get_by_role("button", name="Save & apply").click()
        expect(page.locator(".toast.good")).to_contain_text("Revision 13 is in force.")
        assert world.document["trading"]["min_net_usd"] == "2.5"
        assert str(world.document["trading"]["min_spread_base"]) == before
        expect(base).to_have_value("0.007")
        expect(panel.locator(".config-changes")).to_have_text("● unsaved changes")
        panel.get_by_role("button", name="Save & apply").click()
        checking.go()
        expect(page.get_by_role("dialog", name="Save 1 change")).to_contain_text("trading.min_spread_base")
        assert [path for path, _ in server.requests] == ["config/update"]


def test_a_late_mistake_takes_nobody_out_of_another_field(desk: OpenDesk) -> None:
    with desk() as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        panel.get_by_label("min_net_usd").fill("9999999999")
        checking = Held(page, "**/api/config/check")
        panel.get_by_role("button", name="Save & apply").click()
        checking.wait()
        base = panel.get_by_label("min_spread_base")
        base.fill("0.007")
        checking.go()
        expect(panel.get_by_text("is too large").first).to_be_visible()
        expect(base).to_be_focused()


def test_a_configuration_that_comes_late_fetches_nobody_back(desk: OpenDesk) -> None:
    with desk() as page:
        late = Held(page, "**/api/config")
        command(page, "CONF trading.min_net_usd")
        late.wait()
        page.keyboard.press("/")
        bar = page.get_by_role("combobox", name="Command")
        bar.press_sequentially("HI")
        late.go()
        expect(page.locator("#panel-config").get_by_label("min_net_usd")).to_be_visible()
        page.keyboard.type("ST")
        expect(bar).to_have_value("HIST")


def test_a_refresh_leaves_the_form_to_whoever_is_in_it(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk(quiet=False) as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        net = panel.get_by_label("min_net_usd")
        expect(net).to_be_focused()
        asked = Held(page, "**/api/config")

        def saved_by_somebody() -> None:
            trading = {**world.document["trading"], "min_spread_base": "0.0123"}
            world.document = {**world.document, "trading": trading}
            world.revision += 1

        # half a symbol in a list, and an answer that would draw the form anew
        word = panel.locator(".words", has_text="BTC-USDT").get_by_placeholder("add…")
        word.fill("DOGE")
        server.change(saved_by_somebody)
        page.keyboard.press("F5")
        asked.go()
        expect(word).to_have_value("DOGE")
        expect(word).to_be_focused()
        expect(panel.locator(".config-changes")).to_contain_text("revision 13 was saved meanwhile")
        # an answer that does not come
        page.keyboard.press("F5")
        asked.fail()
        expect(panel).to_contain_text("What is below is from before.")
        expect(word).to_be_visible()
        expect(word).to_be_focused()
        # nothing typed: the new form is there, and who was in it is where they were
        word.fill("")
        net.focus()
        page.keyboard.press("F5")
        asked.go()
        expect(panel.get_by_label("min_spread_base")).to_have_value("0.0123")
        expect(net).to_be_focused()


def test_going_back_to_a_revision_says_what_it_drops(desk: OpenDesk) -> None:
    with desk() as page:
        command(page, "CONF trading.min_net_usd")
        panel = page.locator("#panel-config")
        for typed in (False, True):
            if typed:
                panel.get_by_label("min_net_usd").fill("2.5")
            panel.get_by_role("button", name="REVISIONS").click()
            page.get_by_role("dialog").get_by_role("button", name="Roll back…").first.click()
            dialog = page.get_by_role("dialog", name="Back to revision 11")
            expect(dialog).to_contain_text("as a new revision and applies it.")
            assert ("not saved are dropped" in dialog.inner_text()) is typed
            dialog.get_by_role("button", name="Cancel").click()
        expect(panel.get_by_label("min_net_usd")).to_have_value("2.5")


# dialogs and the login


def test_a_password_typed_while_another_is_checked_stays(server: BrowserServer, visit: OpenDesk) -> None:
    with visit(server.url, quiet=False) as page:
        secret = page.get_by_label("Password or one-time token")
        checking = Held(page, "**/api/login")
        secret.fill("wrong")
        secret.press("Enter")
        checking.wait()
        secret.fill("better")
        checking.go()
        expect(page.get_by_text("neither the password nor a fresh token")).to_be_visible()
        secret.press("x")
        expect(secret).to_have_value("betterx")


def test_a_kill_that_is_on_its_way_is_not_sent_twice_by_typing(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        sending = Held(page, "**/api/engine/kill")
        page.keyboard.press("F10")
        dialog = page.get_by_role("dialog", name="Kill switch")
        word = dialog.get_by_label("Type KILL to go on")
        word.fill("KILL")
        word.press("Enter")
        sending.wait()
        button = dialog.get_by_role("button", name="Kill", exact=True)
        for text in ("KIL", "KILL"):
            word.fill(text)
            expect(button).to_be_disabled()
        sending.go()
        expect(dialog).to_contain_text("6 legs are not flat yet")
        assert [path for path, _ in server.requests] == ["engine/kill"]
        row = dialog.locator("tbody tr").first
        mark(row)
        server.flatten()
        expect(dialog).to_contain_text("5 legs are not flat yet")
        expect(dialog.locator("tr[data-marked]")).to_have_count(1)  # what somebody copies from it is not lost


# open hedges


def test_the_last_of_two_quick_choices_is_the_tolerance(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk() as page:
        chosen = page.locator(".position select").first
        sending = Held(page, "**/tolerance")
        chosen.select_option("aggressive")
        sending.wait()
        chosen.select_option("conservative")
        hear_rates(page)  # live updates of the position come with them
        expect(chosen).to_have_value("conservative")
        sending.go()
        sending.go()
        expect(page.locator(".toast.good").last).to_contain_text("tolerance is conservative now")
        expect(chosen).to_have_value("conservative")
        position = next(iter(world.positions.values()))
        assert position["tolerance_preset"] == "conservative"
        assert [body["version"] for _, body in server.requests] == [3, 4]


def test_who_is_at_a_position_stays_there_when_another_is_closed(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk() as page:
        second = page.locator(".position").nth(1).get_by_role("combobox")
        second.focus()
        first = next(iter(world.positions.values()))

        def over() -> None:
            world.close(first)
            server.push("POSITION_UPDATE", {"position_id": first["position_id"], "status": "CLOSED"})

        server.change(over)
        expect(page.locator(".position")).to_have_count(2)
        expect(page.locator(".position").first.get_by_role("combobox")).to_be_focused()
        server.change(lambda: server.push("POSITION_UPDATE", world.open("DOGE-USDT", "okx", "dydx", 5000)))
        numbers = page.locator(".position-head .fig:first-child .value")
        expect(numbers).to_have_text(["2", "3", "4"])  # 1 may be in a command that somebody is typing
        page.reload()
        expect(numbers).to_have_text(["2", "3", "4"])  # and so they are in every other browser


# rates


@pytest.fixture
def still(server: BrowserServer) -> BrowserServer:
    """A server whose rates do not move by themselves."""

    def stop() -> None:
        server.share = 0

    server.change(stop)
    return server


def surge(server: BrowserServer, pair: str) -> None:
    """The rate of a symbol rises, so that it has the widest spread of all."""

    def rise() -> None:
        row: dict[str, Any] = server.world.rates["okx", pair]
        row.update(RATE)
        server.push("FUNDING_RATE_UPDATE", row)

    server.change(rise)


def test_a_press_means_the_row_it_was_aimed_at(desk: OpenDesk, still: BrowserServer) -> None:
    with desk() as page:
        page.get_by_label("Filter rates").fill("okx")
        rows = page.locator(".panel-rates .vt-body .vt-row:not([hidden])")
        expect(rows).to_have_count(12)
        place = page.locator(".panel-rates .vt-row[aria-rowindex='4']")
        aimed = place.locator(".vt-cell").first.inner_text()
        above = page.locator(".panel-rates .vt-row[aria-rowindex='7'] .vt-cell").first.inner_text()
        box = place.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 30, box["y"] + 10)
        page.mouse.down()
        surge(still, above)
        expect(place.locator(".vt-cell").first).not_to_have_text(aimed)
        page.mouse.up()
        chosen = page.locator(".panel-rates .vt-row[aria-selected=true]")
        expect(chosen.locator(".vt-cell").first).to_have_text(aimed)
        # and of a double click the one that was aimed at first
        box = chosen.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 30, box["y"] + 10)
        page.mouse.down()
        page.mouse.up()
        another = page.locator(".panel-rates .vt-row[aria-rowindex='9'] .vt-cell").first.inner_text()
        still.change(lambda: still.world.rates["okx", another].update(RATE, rate_8h=0.09))
        still.push("FUNDING_RATE_UPDATE", still.world.rates["okx", another])
        expect(page.locator(".panel-rates .vt-row[aria-rowindex='2'] .vt-cell").first).to_have_text(another)
        page.mouse.down(click_count=2)
        page.mouse.up(click_count=2)
        expect(page.locator("#panel-entry select[name=pair]")).to_have_value(aimed)
        grid = page.get_by_role("grid", name="Funding rates")
        page.get_by_label("Filter rates").fill("")
        expect(grid).to_have_attribute("aria-activedescendant", chosen.get_attribute("id") or "")


def test_a_frozen_table_holds_still_while_it_is_scrolled(desk: OpenDesk) -> None:
    with desk() as page:
        grid = page.get_by_role("grid", name="Funding rates")
        page.get_by_role("button", name="FREEZE").click()
        expect(page.locator(".panel-rates")).to_contain_text("FROZEN")
        before = grid.inner_text()
        hear_rates(page, 25)
        grid.evaluate("(grid) => grid.dispatchEvent(new Event('scroll'))")
        settled(page)
        assert grid.inner_text() == before


def test_a_symbol_that_is_delisted_is_not_silently_another_one(desk: OpenDesk, still: BrowserServer) -> None:
    with desk() as page:
        form = page.get_by_role("form", name="Open a position")
        pair = form.get_by_label("Symbol")
        pair.select_option("DOGE-USDT")

        def delist() -> None:
            for exchange in EXCHANGES:
                del still.world.rates[exchange, "DOGE-USDT"]
                still.push("FUNDING_RATE_UPDATE", {"exchange": exchange, "pair": "DOGE-USDT", "gone": True})

        still.change(delist)
        expect(page.get_by_role("grid", name="Funding rates")).to_have_attribute("aria-rowcount", "45")
        expect(pair).to_have_value("DOGE-USDT")
        form.get_by_role("button", name="Open position").click()
        expect(form).to_contain_text("DOGE-USDT is not listed any more")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_calculation_says_what_it_is_of(desk: OpenDesk) -> None:
    with desk() as page:
        late = Held(page, "**/api/calculator*")
        command(page, "CALC BTC okx dydx 5000")
        late.wait()
        panel = page.locator("#panel-calculator")
        panel.get_by_label("Symbol").select_option("ETH-USDT")
        late.go()
        expect(panel).to_contain_text("BTC-USDT: long okx, short dydx, 5,000.00 USD")


# what is read


def test_who_looks_back_at_closed_hedges_is_not_put_to_the_start(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    world.closed += [world._closed(number) for number in range(14, 130)]
    with desk() as page:
        command(page, "HIST")
        rows = page.locator("#panel-history tbody tr")
        expect(rows).to_have_count(50)
        page.get_by_role("button", name="Older…").click()
        expect(rows).to_have_count(100)
        scroll = page.get_by_role("region", name="Closed positions")
        last = rows.last
        last.scroll_into_view_if_needed()
        last.focus()
        mark(last)
        first = next(iter(world.positions.values()))

        def over() -> None:
            world.close(first)
            server.push("POSITION_UPDATE", {"position_id": first["position_id"], "status": "CLOSED"})

        server.change(over)
        expect(rows).to_have_count(101)
        reconnect(page, server)
        expect(rows).to_have_count(101)
        expect(page.locator("#panel-history tr[data-marked]")).to_be_focused()
        expect(page.locator("#panel-history tr[data-marked]")).to_be_in_viewport()
        page.get_by_role("button", name="Older…").click()
        expect(rows).to_have_count(131)
        assert scroll.evaluate("(box) => box.scrollTop") > 0


def test_lists_that_somebody_reads_keep_their_rows(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        alert = page.locator(".panel-alerts .alert").first
        mark(alert)
        for _ in range(2):
            command(page, "SCAN")
        command(page, "AUDIT")
        rows = page.locator("#panel-audit tbody tr")
        expect(rows).to_have_count(2)
        mark(rows.last)
        command(page, "REFRESH")
        expect(rows).to_have_count(3)
        reconnect(page, server)
        expect(page.locator("#panel-audit tr[data-marked]")).to_have_count(1)
        expect(page.locator(".panel-alerts .alert[data-marked]")).to_have_count(1)


def test_the_button_that_tries_again_stays_while_it_counts_down(
    desk: OpenDesk, server: BrowserServer
) -> None:
    with desk(quiet=False) as page:
        page.evaluate("""() => { window.WebSocket = class extends EventTarget { close() {} }; }""")
        server.cut()
        banner = page.locator(".banner", has_text="Connection lost")
        again = banner.get_by_role("button", name="Retry now")
        again.focus()
        mark(again)
        page.evaluate("""async () => {
            const {state, touch} = await import("/static/js/store.js");
            state.link = {...state.link, retryAt: Date.now() + 90500};
            touch("link");
        }""")
        expect(banner).to_contain_text("in 91 s")
        expect(banner).to_contain_text("in 90 s")
        expect(page.locator("[data-marked]")).to_be_focused()


def test_a_chart_that_is_drawn_again_stays_zoomed(desk: OpenDesk, server: BrowserServer) -> None:
    with desk() as page:
        command(page, "CHART BTC")
        plot = page.locator("#panel-charts .plot")
        expect(plot.locator(".main-svg").first).to_be_visible()
        settled(page)
        box = plot.locator(".nsewdrag").first.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.4, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.move(box["x"] + box["width"] * 0.7, middle)
        page.mouse.up()
        page.wait_for_function("() => document.querySelector('.plot').layout.xaxis.range !== undefined")
        zoomed = plot.evaluate("(plot) => plot.layout.xaxis.range.map(String)")
        figures = page.locator("#panel-charts summary")
        figures.focus()
        with page.expect_response("**/api/rates/history*") as answered:
            reconnect(page, server)
        answered.value.finished()
        settled(page)
        assert plot.evaluate("(plot) => plot.layout.xaxis.range.map(String)") == zoomed
        expect(figures).to_be_focused()


# quick actions


def test_a_switch_that_has_just_changed_by_itself_is_not_turned_back(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    with desk() as page:
        expect(page.locator(".panel-actions")).to_contain_text("Automation ON")
        # pressed in the moment in which it changes: meant to turn automation off
        page.evaluate("""() => {
            const automation = document.querySelector(".panel-actions [role=switch]");
            new MutationObserver(() => automation.click()).observe(automation, {attributeFilter: ["aria-checked"]});
        }""")

        def pause() -> None:
            world.state = "PAUSED"
            server.push("ENGINE_STATUS", world.status())

        server.change(pause)
        expect(page.locator(".toast.warn")).to_contain_text("Automation has changed just now; look again.")
        assert server.requests == []


def test_an_error_in_the_corner_stays_until_it_is_dismissed(desk: OpenDesk, world: World) -> None:
    with desk() as page:
        page.evaluate("""async () => {
            const {toast} = await import("/static/js/toasts.js");
            toast("read me", "bad");
            for (let number = 0; number < 5; number += 1) toast(`done ${number}`, "good");
        }""")
        expect(page.locator(".toast.bad")).to_contain_text("read me")
        expect(page.locator(".toast")).to_have_count(4)


# notices


def test_errors_that_stand_do_not_hide_the_answer_to_what_was_just_done(desk: OpenDesk) -> None:
    with desk() as page:
        show = """async ([text, kind]) => {
            const {toast} = await import("/static/js/toasts.js");
            toast(text, kind);
        }"""
        for number in range(5):
            page.evaluate(show, [f"error {number}", "bad"])
        page.evaluate(show, ["it is in force", "good"])
        expect(page.locator(".toast")).to_have_text(
            [f"!error {number}×" for number in (2, 3, 4)] + ["✓it is in force×"]
        )
        page.evaluate(show, ["and this", "info"])
        texts = [f"!error {number}×" for number in (2, 3, 4)] + ["iand this×"]
        expect(page.locator(".toast")).to_have_text(texts)
