"""The pages against the real thing: ``fundingarb demo`` with its bot, its exchanges and its server."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.dashboard.browser.conftest import PHONE, OpenDesk, command, settled, violations

pytestmark = pytest.mark.slow

LINK = re.compile(r"http://127\.0\.0\.1:\d+/#token=\S+")
START = 90.0
SETTLED = 120_000
"""Seconds until it says where its dashboard is; milliseconds for what it does by itself (open, be paid, close)."""


@pytest.fixture
def link(fundingarb_script: Path, tmp_path: Path) -> Iterator[str]:
    """A running demo: the link that it printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    said = tmp_path / "said"
    with said.open("w") as out:
        demo = subprocess.Popen(
            [str(fundingarb_script), "demo", "--port", str(port)],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield wait_for_link(demo, said)
        finally:
            demo.terminate()
            try:
                demo.wait(30)
            except subprocess.TimeoutExpired:
                demo.kill()
                demo.wait()


def wait_for_link(demo: subprocess.Popen[bytes], said: Path) -> str:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and demo.poll() is None:
        found = LINK.search(said.read_text())
        if found:
            return found.group()
        time.sleep(0.2)
    pytest.fail(f"the demo did not say where its dashboard is:\n{said.read_text()}")


def every_panel_lives(page: Page) -> None:
    """What is always there has content of the running bot, on a desk and on a phone, and axe-core has no objection."""
    for panel, content in (
        ("rates", "BTC-USDT"),
        ("positions", "USDT"),
        ("engine", "binance"),
        ("actions", "Automation ON"),
        ("entry", "%"),
        ("alerts", "Position Opened"),
        ("pnl", " open"),
    ):
        expect(page.locator(f".panel-{panel}")).to_contain_text(content, timeout=SETTLED)
    expect(page.locator(".tape-item").first).to_contain_text("%")
    assert violations(page) == []
    desk = page.viewport_size
    assert desk is not None
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    page.mouse.wheel(0, 2000)
    expect(page.locator("#kill")).to_be_in_viewport()
    assert violations(page) == []
    page.set_viewport_size(desk)


def takes_effect_without_restart(page: Page) -> None:
    """No spread is that wide: with it asked for, the next scan refuses everything for it, in or out of a window."""
    command(page, "CONF trading.min_spread_base")
    panel = page.locator("#panel-config")
    panel.get_by_label("min_spread_base").fill("0.09")
    panel.get_by_role("button", name="Save & apply").click()
    page.get_by_role("dialog", name="Save 1 change").get_by_role("button", name="Save & apply").click()
    expect(page.locator(".toast.good", has_text="is in force")).to_be_visible()
    command(page, "SCAN")
    command(page, "OPPS")
    expect(page.locator("#panel-opportunities")).to_contain_text("+9.0000%")
    expect(page.locator("#panel-opportunities")).not_to_contain_text("✕ window")


def by_hand(page: Page, pair: str) -> Locator:
    """A hedge is opened by hand, again when the page tells that nobody took its first order; the position it is."""
    position = page.locator(".position", has=page.locator(".position-head", has_text=pair))
    opened = position.and_(page.locator("[data-status=OPEN]"))
    given_up = page.locator(".panel-alerts li", has_text="Position Not Opened")
    for attempt in range(5):
        command(page, f"OPEN {pair} binance bybit 2000")
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Open position").click()
        expect(dialog).to_have_count(0)
        expect(opened.or_(given_up.nth(attempt))).to_be_visible(timeout=SETTLED)
        if opened.count():
            break
    expect(opened).to_be_visible()
    return position


def opened_and_closed_by_hand(page: Page) -> str:
    """With automation off, on a symbol of which no hedge is open; that symbol."""
    command(page, "STOP")
    expect(page.locator(".panel-actions")).to_contain_text("Automation OFF")
    busy = page.locator(".positions").inner_text()
    pair = next(name for name in ("XRP-USDT", "ETH-USDT", "LINK-USDT", "WIF-USDT") if name not in busy)
    position = by_hand(page, pair)
    command(page, f"CLOSE {position.locator('.position-head .value').first.inner_text()}")
    dialog = page.get_by_role("dialog", name=f"Close {pair}")
    dialog.get_by_role("button", name="Close position").click()
    expect(position).to_have_count(0, timeout=SETTLED)
    command(page, "HIST")
    expect(page.locator("#panel-history tbody tr", has_text=pair).first).to_contain_text("manual")
    return pair


def test_a_demo_is_watched_and_commanded_until_it_is_flat(link: str, visit: OpenDesk) -> None:
    with visit(link) as page:
        page.locator("#desk").wait_for()
        expect(page.get_by_text("[SIMULATION]")).to_be_visible()
        expect(page.locator(".panel-engine")).to_contain_text("RUNNING", timeout=SETTLED)
        expect(page.locator(".position[data-status=OPEN]").first).to_be_visible(timeout=SETTLED)
        expect(page.locator("[data-card=funding] [data-tone=up]")).to_be_visible(timeout=SETTLED)
        for line, panel in (
            ("OPPS", "opportunities"),
            ("ORD", "orders"),
            ("HIST", "history"),
            ("CHART BTC", "charts"),
            ("AUDIT", "audit"),
            ("SIM", "simulation"),
            ("CONF", "config"),
        ):
            command(page, line)
            expect(page.locator(f"#panel-{panel}")).to_be_visible()
            expect(page.locator(f"#panel-{panel} [data-failed]")).to_have_count(0)
            assert violations(page, f"#panel-{panel}") == [], line
        every_panel_lives(page)
        command(page, "CALC BTC binance okx 5000")
        expect(page.locator("#panel-calculator")).to_contain_text("Break-even")
        command(page, "SCAN")
        expect(page.locator(".toast.good", has_text="Looking at every symbol.")).to_be_visible()

        command(page, "HIST")  # what it opened by itself it closes by itself
        expect(page.locator("#panel-history tbody tr").first).to_contain_text("spread", timeout=SETTLED)
        pair = opened_and_closed_by_hand(page)
        by_hand(page, pair)
        command(page, "START")
        expect(page.locator(".panel-actions")).to_contain_text("Automation ON")
        takes_effect_without_restart(page)

        command(page, "KILL")
        dialog = page.get_by_role("dialog", name="Kill switch")
        dialog.get_by_label("Type KILL to go on").fill("KILL")
        dialog.get_by_role("button", name="Kill", exact=True).click()
        expect(dialog).to_contain_text("✓ FLAT", timeout=SETTLED)
        expect(page.locator(".position")).to_have_count(0, timeout=SETTLED)
        expect(page.locator("#kill")).to_have_text("KILLED ✓")
