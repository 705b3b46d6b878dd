"""What the truth shows of its markets: tickers, candles, trades, books, and the accounts' positions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.localnet.still import BOUNDARY, START, Desk, StillModel
from tests.localnet.toy import RULES, contract

from fundingarb.localnet.models.seeded import SeededModel
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Refused

HOUR = 3600


@pytest.fixture
def seeded() -> Exchange:
    model = SeededModel(7, exchanges=("toy",))
    return Exchange("toy", RULES, [contract(one) for one in model.symbols], model, start=model.start, seed=7)


def test_books_are_sane_for_every_symbol(seeded: Exchange) -> None:
    for _ in range(20):
        for key, one in seeded.instruments.items():
            book = seeded.book(key)
            assert len(book.bids) == len(book.asks) == 50
            assert book.bids[0][0] < book.asks[0][0]
            assert list(book.bids) == sorted(book.bids, reverse=True)
            assert list(book.asks) == sorted(book.asks)
            assert len({price for price, _ in book.asks}) == 50
            for price, quantity in (*book.bids, *book.asks):
                assert price % one.tick == 0
                assert quantity > 0
                assert quantity % one.lot == 0
            mark = seeded.mark(key)
            assert abs(book.bids[0][0] / mark - 1) < Decimal("0.004")
            assert seeded.book(key, 5).bids == book.bids[:5]
        seeded.advance(seeded.now + 17)


def test_a_bundled_contract_is_quoted_per_bundle(seeded: Exchange) -> None:
    pepe = seeded.instrument("PEPE-USDT")
    assert (pepe.id, pepe.multiplier) == ("1000PEPEUSDT", Decimal(1000))
    assert Decimal("0.01") < seeded.mark(pepe.id) < Decimal("0.04")


def test_ticker(seeded: Exchange) -> None:
    for key in seeded.instruments:
        ticker, book = seeded.ticker(key), seeded.book(key, 1)
        assert (ticker.bid, ticker.ask) == (book.bids[0], book.asks[0])
        assert ticker.last in (ticker.bid[0], ticker.ask[0])
        assert ticker.low_24h <= min(ticker.last, ticker.open_24h)
        assert ticker.high_24h >= max(ticker.last, ticker.open_24h)
        assert ticker.mark == seeded.mark(key)
        assert ticker.volume_24h > ticker.open_interest > 0
        assert abs(ticker.turnover_24h / (ticker.volume_24h * ticker.last * 1) - 1) < Decimal("0.01")


def test_the_day_of_a_ticker_moves_with_time() -> None:
    def path(time: float) -> float:
        return 1000.0 + (time - START) / HOUR

    desk = Desk(StillModel(path=path))
    desk.to(START + 48 * HOUR)
    ticker = desk.exchange.ticker(desk.id)
    assert float(ticker.open_24h) == pytest.approx(1024, abs=1)
    assert float(ticker.low_24h) == pytest.approx(1024, abs=1)
    assert float(ticker.high_24h) == pytest.approx(1048, abs=1.1)


def test_a_price_gap_is_in_the_ticker_and_the_candles_at_once() -> None:
    desk = Desk()
    desk.exchange.move_price(desk.id, factor=2)
    assert desk.exchange.ticker(desk.id).last > 1990
    assert desk.exchange.mark(desk.id) == 2000


def test_candles() -> None:
    def path(time: float) -> float:
        return 1000.0 + (time - START) / HOUR

    desk = Desk(StillModel(path=path, flow=1.0))
    desk.to(BOUNDARY + 90 * 60)
    start = round(BOUNDARY * 1000)
    rows = desk.exchange.candles(desk.id, HOUR, start, start + 10 * HOUR * 1000)
    assert [row.open_ms for row in rows] == [start, start + HOUR * 1000]
    assert rows[0].close == rows[1].open
    assert float(rows[0].close - rows[0].open) == pytest.approx(1.0, abs=0.2)
    assert float(rows[1].close - rows[1].open) == pytest.approx(0.5, abs=0.2)
    assert rows[0].low <= rows[0].open
    assert rows[0].high >= rows[0].close
    assert rows[0].volume > rows[1].volume > 0
    marks = desk.exchange.candles(desk.id, 60, start, start + 3 * 60_000, "mark")
    assert [row.volume for row in marks] == [0, 0, 0]
    index = desk.exchange.candles(desk.id, 60, start, start + 60_000, "index")
    assert index[0].open == marks[0].open


def test_trades_ascend_and_include_the_accounts() -> None:
    desk = Desk(StillModel(flow=0.5))
    desk.wait(60)
    desk.order("BUY", "0.5")
    rows = desk.exchange.trades(desk.id, 20)
    assert len(rows) == 20
    assert [row.time_ms for row in rows] == sorted(row.time_ms for row in rows)
    assert len({row.id for row in rows}) == 20
    (fill,) = desk.exchange.fills("a")
    assert (rows[-1].price, rows[-1].quantity, rows[-1].side) == (fill.price, fill.quantity, fill.side)
    desk.wait(5)
    again = desk.exchange.trades(desk.id, 50)
    assert [row for row in again if row in rows[5:]] == rows[5:]


def test_instruments_are_found_by_either_name() -> None:
    desk = Desk()
    assert desk.exchange.instrument("BTC-USDT") is desk.exchange.instrument("BTCUSDT")
    with pytest.raises(Refused):
        desk.exchange.instrument("NOPE")
    with pytest.raises(KeyError):
        desk.exchange.state("nobody")
    assert desk.exchange.account_of_key("key-a") == "a"
    assert desk.exchange.account_of_key("?") is None


def test_a_positions_numbers() -> None:
    model = StillModel()
    desk = Desk(model)
    desk.book([("999", "9")], [("1000", "9")])
    desk.exchange.set_leverage("a", desk.id, Decimal(10))
    desk.order("BUY", "2")
    model.price = 1100.0
    desk.wait(1)
    (position,) = desk.exchange.positions("a")
    assert (position.entry_price, position.mark_price) == (Decimal(1000), Decimal(1100))
    assert (position.value, position.unrealized) == (Decimal(2200), Decimal(200))
    assert (position.initial_margin, position.maintenance_margin) == (Decimal(220), Decimal(22))
    assert position.break_even_price == Decimal("1000.5")
    assert position.adl_rank > 0
    state = desk.exchange.state("a")
    assert state.equity == state.wallet + 200
    assert state.available == state.equity - 220
    desk.order("BUY", "1", "999", client_id="resting")
    assert len(desk.exchange.open_orders("a", desk.id)) == 1
    assert desk.exchange.open_orders("a", "OTHER") == []
