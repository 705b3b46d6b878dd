"""Going live from the page: what is in the way is said, and only the word and the master password lead there."""

from __future__ import annotations

from playwright.sync_api import expect
from tests.dashboard.browser.conftest import OpenDesk, command, violations
from tests.dashboard.browser.server import BrowserServer
from tests.dashboard.browser.world import MASTER_PASSWORD, World


def test_what_is_in_the_way_of_going_live_is_said(desk: OpenDesk, world: World) -> None:
    world.hours = 23.5
    with desk() as page:
        command(page, "SIM")
        way = page.get_by_role("region", name="Going live")
        expect(way).to_contain_text("Simulated with this configuration23.5 of 24.0 h")
        expect(way.get_by_role("listitem")).to_have_text(
            "✕ 23.5 of 24 hours were simulated with this configuration; run it for longer"
        )
        expect(way.get_by_role("button", name="Go live…")).to_be_disabled()
        assert violations(page, "#panel-simulation") == []


def test_going_live_takes_the_review_the_word_and_the_master_password(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    world.hours = 24.0
    with desk(quiet=False) as page:
        command(page, "SIM")
        way = page.get_by_role("region", name="Going live")
        expect(way).to_contain_text("✓ Nothing is in the way.")
        way.get_by_role("button", name="Go live…").click()
        dialog = page.get_by_role("dialog", name="Go live")
        expect(dialog).to_contain_text("Result+212.40 USD")
        expect(dialog).to_contain_text("Open on testnet, looked after no more3")
        go = dialog.get_by_role("button", name="Go live")
        password = dialog.get_by_label("Master password")
        expect(password).to_be_focused()
        password.fill("a guess")
        expect(go).to_be_disabled()
        password.press("Enter")  # not without the word
        dialog.get_by_label("Type LIVE to go on").fill("live")
        assert violations(page, "dialog") == []
        assert server.requests == []
        go.click()
        expect(dialog.get_by_role("alert").last).to_contain_text("does not open the vault")
        expect(password).to_have_value("a guess")
        password.fill(MASTER_PASSWORD)
        go.click()
        sent = page.get_by_role("dialog", name="Sent live")
        expect(sent).to_contain_text("start the bot again to trade with real money")
        expect(sent).to_contain_text("Until it is started again this bot goes on simulating")
        sent.get_by_role("button", name="Close").click()
        expect(way.locator(".sent")).to_contain_text("Sent live at 2026-11-23 12:00 UTC")
        asked = [body for path, body in server.requests if path == "live"]
        assert [body["master_password"] for body in asked] == ["a guess", MASTER_PASSWORD]
        assert [body["confirm"] for body in asked] == ["LIVE", "LIVE"]
        assert asked[0]["ticket"] != asked[1]["ticket"]
        assert len(set(server.keys)) == 2
        assert page.evaluate(KEPT, MASTER_PASSWORD) == []


KEPT = """(password) => [
    document.documentElement.outerHTML, location.href, JSON.stringify(localStorage), JSON.stringify(sessionStorage),
    ...[...document.querySelectorAll("input")].map((input) => input.value),
].filter((text) => text.includes(password))"""
"""Where a page might keep a password."""


def test_an_outcome_of_going_live_that_nobody_knows_is_asked_for_again_as_the_same(
    desk: OpenDesk, server: BrowserServer, world: World
) -> None:
    world.hours = 24.0
    with desk(quiet=False) as page:
        command(page, "SIM")
        page.get_by_role("button", name="Go live…").click()
        dialog = page.get_by_role("dialog", name="Go live")
        dialog.get_by_label("Master password").fill(MASTER_PASSWORD)
        dialog.get_by_label("Type LIVE to go on").fill("LIVE")
        server.deaf = True
        dialog.get_by_role("button", name="Go live").click()
        expect(dialog.get_by_role("alert").last).to_contain_text("OUTCOME UNKNOWN")
        server.deaf = False
        dialog.get_by_role("button", name="Go live").click()
        expect(page.get_by_role("dialog", name="Sent live")).to_be_visible()
        assert len(set(server.keys)) == 1
