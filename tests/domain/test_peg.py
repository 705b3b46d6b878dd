"""What one dollar is worth in another."""

from __future__ import annotations

from tests.domain.make import D

from fundingarb.domain.peg import deviation, farthest, implied_peg, peg_symbol


def test_what_prices_of_the_same_things_say() -> None:
    prices = [
        ("BTC-USDT", "USDT", D(99)),
        ("BTC-USDT", "USDT", D(101)),
        ("BTC-USDT", "USDC", D(102)),
        ("ETH-USDT", "USDT", D("49.5")),
        ("ETH-USDT", "USDC", D(50)),
        ("SOL-USDT", "USDT", D(7)),
        ("SOL-USDT", "USDC", D(10)),
        ("XRP-USDT", "USDT", D(1)),
    ]
    assert implied_peg(prices, "USDC") == D(100) / D(102), "the median: one odd symbol does not count"
    assert implied_peg(prices, "DAI") is None
    assert implied_peg([], "USDC") is None


def test_the_farther_one_counts() -> None:
    assert farthest([D("1.002"), D("0.99"), D("1.005")]) == D("0.99")
    assert farthest([]) is None


def test_how_far_two_dollars_are_apart() -> None:
    assert deviation(D("1.01")) == deviation(1 / D("1.01")) == D("0.01")
    assert deviation(D("0.5"), D("1")) == 1
    assert deviation(D("0.99"), D("0.99")) == 0
    assert peg_symbol("USDC") == "USDC-USDT"
