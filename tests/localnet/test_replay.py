"""Replay of recorded history, on files the test writes."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest
from tests.localnet.toy import RULES, contract

from fundingarb.localnet.errors import LocalnetError
from fundingarb.localnet.models.recording import load_recording, recorded_ranges, split_symbol
from fundingarb.localnet.models.replay import ReplayModel
from fundingarb.localnet.truth.events import FundingSettled, IntervalChanged
from fundingarb.localnet.truth.exchange import Exchange
from fundingarb.localnet.truth.types import Credentials, OrderRequest, OrderType, Side

HOUR = 3600.0
DAY = 86400.0
T0 = 1_760_000_400.0 - 1_760_000_400.0 % DAY
"""Midnight UTC."""
HEADER = "venue,symbol,timestamp,funding_rate,interval_hours,mark_price,mark_src"


def row(venue: str, symbol: str, hours: float, rate: float, interval: int, mark: str = "") -> str:
    return f"{venue},{symbol},{round((T0 + hours * HOUR) * 1000)},{rate:.8f},{interval},{mark},A"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days: BTC on both, with a hole on bybit; WIF changes from 8 to 4 hours; PEPE in bundles; one single."""
    binance = [HEADER]
    binance += [
        row("binance", "BTC-USDT", 8 * n, 0.0001 * (n + 1), 8, f"{50_000 + 100 * n}") for n in range(10)
    ]
    binance += [row("binance", "WIF-USDT", 8 * n, 0.0004, 8, "2.0") for n in range(4)]
    binance += [row("binance", "WIF-USDT", 24 + 4 * n, -0.0002, 4, "2.2") for n in range(1, 13)]
    binance += [row("binance", "1000PEPE-USDT", 8 * n, 0.0001, 8, "0.0120") for n in range(10)]
    binance += [row("binance", "ONLY-USDT", 8 * n, 0.0009, 8) for n in range(10)]
    binance += [row("binance", "BTC-USDC", 8 * n, 0.5, 8, "1") for n in range(10)]
    (tmp_path / "funding_binance.csv").write_text("\n".join(binance) + "\n")
    bybit = [HEADER]
    bybit += [row("bybit", "BTC-USDT", 8 * n, 0.0002, 8) for n in (0, 1, 2, 6, 7, 8, 9)]
    bybit += [row("bybit", "WIF-USDT", 8 * n, 0.0001, 8) for n in range(10)]
    bybit += [row("bybit", "1000PEPE-USDT", 8 * n, 0.0001, 8, "0.0121") for n in range(10)]
    with gzip.open(tmp_path / "funding_bybit.csv.gz", "wt") as file:
        file.write("\n".join(bybit) + "\n")
    marks = ["venue,symbol,timestamp,open,high,low,close"]
    marks += [f"bybit,BTC-USDT,{round((T0 + n * HOUR) * 1000)},{50_010 + 10 * n},0,0,0" for n in range(60)]
    (tmp_path / "mark_1h.csv").write_text("\n".join(marks) + "\n")
    return tmp_path


def model_of(folder: Path, hours: float = 1.0, seed: int = 1) -> ReplayModel:
    return ReplayModel.load(folder, exchanges=["binance", "bybit"], start=T0 + hours * HOUR, seed=seed)


def test_settles_at_the_recorded_times_with_the_recorded_rates(folder: Path) -> None:
    model = model_of(folder)
    rows = model.settlements("binance", "BTC-USDT", T0, T0 + 24 * HOUR)
    assert [(s.time - T0, s.rate, s.interval_hours) for s in rows] == [
        (8 * HOUR, 0.0002, 8),
        (16 * HOUR, pytest.approx(0.0003), 8),
        (24 * HOUR, pytest.approx(0.0004), 8),
    ]


def test_the_shown_rate_blends_from_the_settled_to_the_coming(folder: Path) -> None:
    model = model_of(folder)
    for part in (0.0, 0.25, 0.5, 0.999):
        shown = model.funding("binance", "BTC-USDT", T0 + 8 * HOUR * part)
        assert shown.rate == pytest.approx(0.0001 * (1 - part) + 0.0002 * part)
        assert (shown.next_time, shown.interval_hours) == (T0 + 8 * HOUR, 8)


def test_interval_changes_are_real_and_scale_the_settled_rate(folder: Path) -> None:
    model = model_of(folder)
    just_after = model.funding("binance", "WIF-USDT", T0 + 24 * HOUR)
    assert (just_after.interval_hours, just_after.next_time) == (4, T0 + 28 * HOUR)
    assert just_after.rate == pytest.approx(0.0002), "0.0004 per 8 hours is 0.0002 per 4"
    assert model.funding("binance", "WIF-USDT", T0 + 23 * HOUR).interval_hours == 8


def test_a_hole_settles_on_the_grid_with_the_other_exchanges_rate(folder: Path) -> None:
    model = model_of(folder)
    rows = model.settlements("bybit", "BTC-USDT", T0 + 16 * HOUR, T0 + 48 * HOUR)
    assert [(s.time - T0) / HOUR for s in rows] == [24, 32, 40, 48]
    assert [s.rate for s in rows] == [
        pytest.approx(0.0004),
        pytest.approx(0.0005),
        pytest.approx(0.0006),
        pytest.approx(0.0002),
    ]


def test_marks_are_interpolated_and_the_other_exchange_falls_back(folder: Path) -> None:
    model = model_of(folder)
    time = T0 + 10.5 * HOUR
    bybit, binance = (model.prices(name, "BTC-USDT", time).mark for name in ("bybit", "binance"))
    assert bybit == pytest.approx(50_010 + 105, rel=1e-3)
    # binance has marks of its own every eight hours: 50,100 at hour 8 where bybit has 50,090
    # (+2.0 bp) and 50,200 at hour 16 where it has 50,170 (+6.0 bp)
    assert binance / bybit == pytest.approx(1 + (2.0 + 4.0 * 2.5 / 8) * 1e-4, abs=2e-6)
    # bybit has no mark of WIF: it follows binance exactly
    marks = {model.prices(name, "WIF-USDT", time).mark for name in ("binance", "bybit")}
    assert len(marks) == 1
    assert marks.pop() == pytest.approx(2.0, rel=1e-2)


def test_bundled_contracts_are_priced_per_unit(folder: Path) -> None:
    model = model_of(folder)
    (pepe,) = [one for one in model.symbols if one.base == "PEPE"]
    assert (pepe.symbol, pepe.multiplier) == ("PEPE-USDT", 1000)
    assert model.prices("binance", "PEPE-USDT", T0 + HOUR).mark == pytest.approx(0.000012, rel=1e-2)
    listed = contract(pepe)
    assert listed.id == "1000PEPEUSDT"
    assert split_symbol("1INCH-USDT") == ("1INCH-USDT", 1)
    assert split_symbol("1MBABYDOGE-USDT") == ("BABYDOGE-USDT", 1_000_000)


def test_symbols_of_one_exchange_are_listed_there_only(folder: Path) -> None:
    model = model_of(folder)
    names = {name: [one.symbol for one in model.listed(name)] for name in ("binance", "bybit")}
    assert "ONLY-USDT" in names["binance"]
    assert "ONLY-USDT" not in names["bybit"]
    assert "BTC-USDC" not in names["binance"]


def test_the_truth_settles_what_was_recorded(folder: Path) -> None:
    model = model_of(folder)
    events: list[object] = []
    exchange = Exchange(
        "binance", RULES, [contract(one) for one in model.listed("binance")], model, start=model.start
    )
    exchange.subscribe(events.append)
    exchange.add_account("binance", Credentials("k", "s"), Decimal(100_000))
    exchange.place("binance", OrderRequest("WIFUSDT", Side.SELL, Decimal(1000), OrderType.MARKET))
    exchange.advance(T0 + 33 * HOUR)
    payments = exchange.funding_payments("binance")
    assert [(p.settlement_ms / 1000 - T0, p.rate, p.interval_hours) for p in payments] == [
        (8 * HOUR, Decimal("0.0004"), 8),
        (16 * HOUR, Decimal("0.0004"), 8),
        (24 * HOUR, Decimal("0.0004"), 8),
        (28 * HOUR, Decimal("-0.0002"), 4),
        (32 * HOUR, Decimal("-0.0002"), 4),
    ]
    assert [p.amount > 0 for p in payments] == [True, True, True, False, False]
    settled = [e for e in events if isinstance(e, FundingSettled) and e.instrument == "BTCUSDT"]
    assert [e.rate for e in settled] == [
        Decimal("0.0002"),
        Decimal("0.0003"),
        Decimal("0.0004"),
        Decimal("0.0005"),
    ]
    changes = [e for e in events if isinstance(e, IntervalChanged)]
    assert [(e.instrument, e.interval_hours) for e in changes] == [("WIFUSDT", 4)]


def test_time_goes_on_after_the_end_without_funding(folder: Path) -> None:
    model = model_of(folder)
    assert model.end == T0 + 72 * HOUR
    late = model.funding("binance", "BTC-USDT", T0 + 200 * HOUR)
    assert late.rate == 0
    assert late.next_time > T0 + 200 * HOUR
    assert model.prices("bybit", "BTC-USDT", T0 + 200 * HOUR).mark > 0


def test_common_ranges(folder: Path) -> None:
    recording = load_recording(folder, ["binance", "bybit"])
    assert recording.common(["binance", "bybit"]) == ["BTC-USDT", "PEPE-USDT", "WIF-USDT"]
    found = [
        (one.symbol, (one.start - T0) / HOUR, (one.end - T0) / HOUR)
        for one in recorded_ranges(recording, ["binance", "bybit"])
    ]
    assert found == [
        ("PEPE-USDT", 0, 72),
        ("WIF-USDT", 0, 72),
        ("BTC-USDT", 48, 72),
        ("BTC-USDT", 0, 16),
    ]


def test_without_a_start_it_begins_before_the_end_of_what_is_common(folder: Path) -> None:
    model = ReplayModel.load(folder, exchanges=["binance", "bybit"])
    assert T0 <= model.start < T0 + 72 * HOUR
    assert (model.start + 22 * 60) % (8 * HOUR) == 0


def test_a_single_file_with_several_venues(folder: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.csv"
    lines = (folder / "funding_binance.csv").read_text()
    with gzip.open(folder / "funding_bybit.csv.gz", "rt") as file:
        lines += "".join(file.readlines()[1:])
    both.write_text(lines)
    model = model_of(both)
    assert {one.symbol for one in model.listed("bybit")} == {"BTC-USDT", "PEPE-USDT", "WIF-USDT"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f / "nowhere", "there is nothing to replay"),
        (lambda f: (f / "funding_bybit.csv.gz").unlink() or f, "has no funding_bybit.csv"),
        (lambda f: (f / "funding_binance.csv").write_text("a,b\n1,2\n") and f, "has no column 'venue'"),
        (
            lambda f: (
                (f / "funding_binance.csv").write_text(HEADER + "\n" + "binance,BTC-USDT,x,1,8,,A\n") and f
            ),
            "line 2: not a settlement",
        ),
        (lambda f: (f / "funding_bybit.csv.gz").write_bytes(b"no gzip") and f, "cannot read"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(folder: Path, change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(LocalnetError, match=message) as caught:
        model_of(change(folder))
    assert "\n" not in str(caught.value)


def test_a_start_without_data_is_refused(folder: Path) -> None:
    with pytest.raises(LocalnetError, match="choose another start"):
        model_of(folder, hours=24 * 400)


def test_recorded_history_of_binance_and_bybit(data_dir: Path) -> None:
    """The real files: quick to load, and every settlement of ten days comes out as recorded."""
    start = 1_759_937_880.0  # 2025-10-08 15:38 UTC
    model = ReplayModel.load(data_dir, exchanges=["binance", "bybit"], start=start)
    names = {one.symbol for one in model.listed("bybit")}
    assert {"BTC-USDT", "ETH-USDT", "SOL-USDT", "DOGE-USDT", "HYPE-USDT"} <= names
    recording = load_recording(data_dir, ["binance", "bybit"], start=start, end=start + 10 * DAY)
    for symbol in sorted(names):
        for exchange in ("binance", "bybit"):
            series = recording.series.get((exchange, symbol))
            if series is None:
                continue
            rows = model.settlements(exchange, symbol, start, start + 10 * DAY)
            assert [(s.time, s.rate) for s in rows] == list(zip(series.times, series.rates, strict=True))
    for hour in range(0, 240, 3):
        time = start + hour * HOUR
        marks = [model.prices(name, "BTC-USDT", time).mark for name in ("binance", "bybit")]
        assert abs(marks[0] / marks[1] - 1) < 0.005
