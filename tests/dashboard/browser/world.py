"""A made-up bot for the browser's part alone: moving rates, a few hedges, and what commands do to them.

It knows nothing of the engine; it says what the HTTP contract says, with figures of a realistic size.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from fundingarb.config.schema import Config

Row = dict[str, Any]

EXCHANGES = ("binance", "bybit", "dydx", "okx")
INTERVALS = {"binance": 8, "bybit": 8, "dydx": 1, "okx": 4}
MAJORS = {
    "BTC-USDT": 97250.0,
    "ETH-USDT": 3480.0,
    "SOL-USDT": 212.4,
    "XRP-USDT": 1.42,
    "DOGE-USDT": 0.3921,
    "PEPE-USDT": 0.00002011,
}
PRESETS = {"conservative": "0", "moderate": "-0.0001", "aggressive": "-0.0005"}


MASTER_PASSWORD = "what only the owner knows"


class Refused(Exception):
    """An error in the contract's form."""

    def __init__(self, status: int, code: str, message: str, fields: Row | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"error": {"code": code, "message": message, "fields": fields or {}}}


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class World:
    """Everything the pages show. ``pairs`` symbols on four exchanges; ``hostile`` is one more symbol's name."""

    pairs: int = 40
    seed: int = 7
    hostile: str | None = None
    rates: dict[tuple[str, str], Row] = field(default_factory=dict)
    positions: dict[str, Row] = field(default_factory=dict)
    closed: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    alerts: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    not_flat: list[Row] = field(default_factory=list)
    state: str = "RUNNING"
    error: str | None = None
    database: bool = True
    down: tuple[str, ...] = ()
    killed: bool = False
    needs_password: bool = False
    foreign: list[Row] = field(default_factory=list)
    last_number: int = 0
    accounts: dict[str, str] = field(default_factory=lambda: {name: name for name in EXCHANGES})
    warn: str = "0.06"
    act: str = "0.04"
    failed_services: dict[str, str] = field(default_factory=dict)
    document: Row = field(default_factory=dict)
    revision: int = 12
    hours: float = 0.0
    tickets: set[str] = field(default_factory=set)
    sent: str | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        names = [*MAJORS, *(f"C{number:03d}-USDT" for number in range(self.pairs - len(MAJORS)))][
            : self.pairs
        ]
        self.names = [*names, *([self.hostile] if self.hostile else [])]
        for pair in self.names:
            mark = MAJORS.get(pair) or 10 ** self.random.uniform(-3, 3)
            for exchange in EXCHANGES:
                self.rates[exchange, pair] = self._rate(exchange, pair, mark)
        accounts = {name: {"exchange": name} for name in EXCHANGES}
        self.document = Config.model_validate({"accounts": accounts}).document()
        for pair, long, short, size in (
            ("BTC-USDT", "dydx", "binance", 25000),
            ("ETH-USDT", "okx", "bybit", 12000),
            ("SOL-USDT", "binance", "okx", 6000),
        ):
            self.open(pair, long, short, size)
        for number in range(14):
            self.closed.append(self._closed(number))
        self.alert("INFO", "Hedge opened", ["BTC-USDT long dydx short binance", "25,000 USD"])
        self.alert("WARNING", "okx: stream reconnected", ["quiet for 12 s"])

    def _rate(self, exchange: str, pair: str, mark: float) -> Row:
        rate = self.random.gauss(0.0001, 0.00015)
        hours = INTERVALS[exchange]
        due = now().replace(minute=0, second=0, microsecond=0)
        due += timedelta(hours=hours - due.hour % hours)
        eight = rate * 8 / hours
        return {
            "exchange": exchange,
            "pair": pair,
            "rate": round(rate, 8),
            "rate_8h": round(eight, 8),
            "apr": round(eight * 1095, 6),
            "interval_h": hours,
            "next_funding_time": iso(due),
            "predicted": round(rate * 0.9, 8),
            "mark": mark * self.random.uniform(0.9995, 1.0005),
            "age_s": round(self.random.uniform(0, 2), 2),
            "stale": False,
        }

    def move(self, share: float = 0.1) -> list[Row]:
        """Some rates move; the rows that did."""
        chosen = self.random.sample(list(self.rates.values()), max(1, int(len(self.rates) * share)))
        for row in chosen:
            rate = row["rate"] + self.random.gauss(0, 0.000004)
            eight = rate * 8 / row["interval_h"]
            row.update(rate=round(rate, 8), rate_8h=round(eight, 8), apr=round(eight * 1095, 6))
            row.update(mark=row["mark"] * self.random.uniform(0.9999, 1.0001), age_s=0.0)
        for position in self.positions.values():
            drift = self.random.gauss(0, 0.6)
            position["unrealized"] = f"{float(position['unrealized']) + drift:.2f}"
            position["net"] = f"{float(position['net']) + drift:.2f}"
        return chosen

    def open(self, pair: str, long: str, short: str, size: float) -> Row:
        """A hedge, at once and in full."""
        mark = float(self.rates[long, pair]["mark"])
        quantity = size / mark
        position_id = str(uuid.UUID(int=self.random.getrandbits(128)))
        self.last_number += 1
        funding = size * self.random.uniform(0.0002, 0.002)
        fees, unrealized = size * 0.0011, self.random.gauss(0, size * 0.0004)
        legs = [
            self._leg(side, name, pair, quantity, funding)
            for side, name in (("LONG", long), ("SHORT", short))
        ]
        position: Row = {
            "position_id": position_id,
            "number": self.last_number,
            "version": 3,
            "pair": pair,
            "status": "OPEN",
            "size_usd": f"{size:.2f}",
            "quantity": f"{quantity:.6f}",
            "opened_at": iso(now() - timedelta(hours=9)),
            "spread_8h_entry": "0.000312",
            "spread_8h": "0.000274",
            "unhedged": "0",
            "unhedged_usd": "0.00",
            "unhedged_s": 0,
            "funding": f"{funding:.2f}",
            "fees": f"{fees:.2f}",
            "unrealized": f"{unrealized:.2f}",
            "net": f"{funding - fees + unrealized:.2f}",
            "tolerance": PRESETS["moderate"],
            "tolerance_preset": "moderate",
            "close_reason": None,
            "price": "0",
            "legs": legs,
            "exits": [
                {"reason": "SPREAD", "needed": "8-hour spread below -0.0100%", "actual": "+0.0274%"},
                {"reason": "MARGIN", "needed": f"{long} nearer than 4.0% to liquidation", "actual": "12.1%"},
                {"reason": "MARGIN", "needed": f"{short} nearer than 4.0% to liquidation", "actual": "9.7%"},
            ],
        }
        self.positions[position_id] = position
        for leg in legs:
            self._order(position, leg, "OPEN")
        return position

    def _leg(self, side: str, exchange: str, pair: str, quantity: float, funding: float) -> Row:
        row = self.rates[exchange, pair]
        distance = self.random.uniform(0.05, 0.2)
        sign = 1 if side == "SHORT" else -1
        due = datetime.fromisoformat(row["next_funding_time"].replace("Z", "+00:00"))
        payments = [
            {
                "at": iso(due + timedelta(hours=row["interval_h"] * step)),
                "amount": f"{sign * row['rate'] * quantity * row['mark']:.4f}",
            }
            for step in range(3)
        ]
        return {
            "side": side,
            "account": exchange,
            "exchange": exchange,
            "quantity": f"{quantity:.6f}",
            "entry": f"{row['mark'] * 0.999:.8f}",
            "mark": f"{row['mark']:.8f}",
            "unrealized": f"{self.random.gauss(0, 20):.2f}",
            "funding": f"{funding / 2:.4f}",
            "fees": "3.10",
            "leverage": 5,
            "next_payments": payments,
            "liquidation_price": f"{row['mark'] * (1 + sign * distance):.8f}",
            "liquidation_distance": f"{distance:.4f}",
            "margin_ratio": f"{self.random.uniform(0.05, 0.3):.4f}",
            "adl_rank": self.random.randint(1, 4),
        }

    def _order(self, position: Row, leg: Row, action: str) -> Row:
        buys = (leg["side"] == "LONG") == (action == "OPEN")
        at = now()
        took = self.random.lognormvariate(3.6, 0.6)
        order: Row = {
            "order_id": f"fa{self.random.getrandbits(40):010x}",
            "position_id": position["position_id"],
            "pair": position["pair"],
            "account": leg["account"],
            "exchange": leg["exchange"],
            "leg": leg["side"],
            "side": "BUY" if buys else "SELL",
            "action": action,
            "type": "LIMIT",
            "price": leg["mark"],
            "quantity": leg["quantity"],
            "filled": leg["quantity"],
            "average": leg["mark"],
            "status": "FILLED",
            "reason": "",
            "intended_at": iso(at),
            "acknowledged_at": iso(at + timedelta(milliseconds=took)),
            "latency_ms": round(took, 1),
        }
        self.orders.insert(0, order)
        return order

    def _closed(self, number: int) -> Row:
        pair, size = self.random.choice(self.names), self.random.choice((5000, 10000, 25000))
        long, short = self.random.sample(EXCHANGES, 2)
        funding, price, fees = (
            self.random.uniform(0, size * 0.003),
            self.random.gauss(0, size * 0.0006),
            size * 0.0011,
        )
        ended = now() - timedelta(hours=7 * number + 3)
        hours = self.random.uniform(2, 60)
        return {
            "position_id": str(uuid.UUID(int=self.random.getrandbits(128))),
            "pair": pair,
            "long": long,
            "short": short,
            "size_usd": f"{size:.2f}",
            "opened_at": iso(ended - timedelta(hours=hours)),
            "closed_at": iso(ended),
            "duration_s": round(hours * 3600),
            "close_reason": self.random.choice(("SPREAD", "MANUAL", "MARGIN")),
            "funding": f"{funding:.2f}",
            "price": f"{price:.2f}",
            "basis": f"{price * 0.7:.2f}",
            "slippage": f"{price * 0.3:.2f}",
            "fees": f"{fees:.2f}",
            "net": f"{funding + price - fees:.2f}",
        }

    def close(self, position: Row, reason: str = "MANUAL") -> None:
        """The hedge is over, and in the history."""
        for leg in position["legs"]:
            self._order(position, leg, "CLOSE")
        del self.positions[position["position_id"]]
        row = self._closed(0)
        row.update(
            {
                key: position[key]
                for key in ("position_id", "pair", "size_usd", "opened_at", "funding", "fees")
            }
        )
        long, short = (leg["exchange"] for leg in position["legs"])
        self.closed.insert(
            0, {**row, "long": long, "short": short, "closed_at": iso(now()), "close_reason": reason}
        )

    def history(self, before: str | None, limit: int) -> Row:
        """A page of what is closed, behind the position that is named."""
        ids = [row["position_id"] for row in self.closed]
        first = ids.index(before) + 1 if before else 0
        rows = self.closed[first : first + limit]
        return {"rows": rows, "next": rows[-1]["position_id"] if first + limit < len(ids) else None}

    def alert(self, severity: str, title: str, lines: Sequence[str]) -> Row:
        row: Row = {
            "severity": severity,
            "title": title,
            "lines": list(lines),
            "timestamp": iso(now()),
            "message": " | ".join([title, *lines]),
            "position_id": None,
        }
        self.alerts.insert(0, row)
        return row

    def status(self) -> Row:
        exchanges = [
            {
                "name": name,
                "connected": name not in self.down,
                "halted": None,
                "breaker": "OPEN" if name in self.down else "CLOSED",
                "streams": [{"stream": "rates", "connected": name not in self.down, "age_s": 0.3}],
                "clock_offset_ms": 12.0 * place - 20,
                "rate_age_s": 0.3,
                "stale": name in self.down,
            }
            for place, name in enumerate(EXCHANGES)
        ]
        accounts = [
            {
                "account": name,
                "exchange": exchange,
                "currency": "USDT",
                "equity": "100214.55",
                "free": "61230.10",
                "margin_ratio": "0.1320",
                "halted": None,
            }
            for name, exchange in self.accounts.items()
        ]
        engine = {
            "state": "KILLED" if self.killed else self.state,
            "waiting_for": f"the entry window of DOGE-USDT: {now():%Y-%m-%d} 15:40:00 to 15:45:00 UTC",
            "error": self.error,
            "last_scan": iso(now() - timedelta(seconds=2)),
            "pending_orders": len(self.not_flat),
            "started_at": iso(now() - timedelta(hours=31)),
            "version": "0.1.0",
        }
        kill = {"latched": self.killed, "flat": self.killed and not self.positions, "not_flat": self.not_flat}
        kill.update(foreign=self.foreign, needs_password=self.needs_password)
        return {
            "engine": engine if self.state else {},
            "network": "localnet",
            "simulation": True,
            "exchanges": exchanges,
            "accounts": accounts,
            "kill": kill,
            "config_revision": self.revision,
            "margin": {"warn": self.warn, "act": self.act, "adl_rank": 4},
            "failed_services": [{"name": name, "reason": why} for name, why in self.failed_services.items()],
        }

    def summary(self) -> Row:
        rows = [*self.closed, *self.positions.values()]
        total = {
            name: sum(float(row.get(name) or 0) for row in rows)
            for name in ("funding", "price", "basis", "slippage", "fees")
        }
        unrealized = sum(float(row["unrealized"]) for row in self.positions.values())
        realized = total["funding"] + total["price"] - total["fees"]
        wins = sum(float(row["net"]) > 0 for row in self.closed)
        booked = {name: f"{value:.2f}" for name, value in total.items()}
        at_marks = {
            **dict.fromkeys(total, "0.00"),
            "price": f"{unrealized:.2f}",
            "basis": f"{unrealized:.2f}",
        }
        both = {name: f"{float(booked[name]) + float(at_marks[name]):.2f}" for name in total}
        return {
            **booked,
            "realized": f"{realized:.2f}",
            "unrealized": f"{unrealized:.2f}",
            "net": f"{realized + unrealized:.2f}",
            "trades": len(self.closed),
            "wins": wins,
            "open": len(self.positions),
            "win_rate": f"{wins / len(self.closed):.4f}" if self.closed else None,
            "average_duration_s": 86000 if self.closed else None,
            "splits": {"realized": booked, "unrealized": at_marks, "net": both},
        }

    def snapshot(self) -> Row:
        if not self.state:
            return {
                "status": {**self.status(), "engine": {}},
                "summary": None,
                "rates": [],
                "positions": [],
                "alerts": [],
            }
        return {
            "status": self.status(),
            "summary": self.summary(),
            "rates": list(self.rates.values()),
            "positions": list(self.positions.values()),
            "alerts": self.alerts,
        }

    def way(self) -> Row:
        """The way to live trading: the figures, and a ticket once it was simulated for long enough."""
        obstacles = []
        if self.hours < 24:
            obstacles.append(
                f"{self.hours:.1f} of 24 hours were simulated with this configuration; run it for longer"
            )
        ticket = None if obstacles else f"ticket {self.random.getrandbits(64)}"
        self.tickets.add(ticket or "")
        return {
            "network": "testnet",
            "obstacles": obstacles,
            "review": {
                "at": iso(now()),
                "hours": str(self.hours),
                "needed": "24",
                "hedges": 14,
                "result": "212.40",
                "funding": "260.00",
                "fees": "47.60",
                "critical_alerts": 0,
            },
            "ticket": ticket,
            "sent": self.sent,
        }

    def go_live(self, asked: Row) -> Row:
        """Only with a ticket, once, and the master password."""
        if asked["ticket"] not in self.tickets:
            raise Refused(409, "refused", "The review is over; review it again.")
        self.tickets.discard(asked["ticket"])
        if asked["master_password"] != MASTER_PASSWORD:
            fields = {"master_password": "is wrong"}
            raise Refused(403, "master_password", "The password does not open the vault; try again.", fields)
        said = "fundingarb.yaml says network: mainnet now; start the bot again to trade with real money"
        self.sent = f"2026-11-23 12:00 UTC: {said}"
        return {"said": said, "restart": True}

    def opportunities(self) -> Row:
        rows: list[Row] = []
        for pair in self.names:
            long, short = (
                pick(EXCHANGES, key=lambda name: self.rates[name, pair]["rate_8h"]) for pick in (min, max)
            )
            spread = self.rates[short, pair]["rate_8h"] - self.rates[long, pair]["rate_8h"]
            gate, needed, actual = (None, None, None)
            if spread < 0.0006:
                gate, needed, actual = "spread", "0.00060000", f"{spread:.8f}"
            elif self.random.random() < 0.6:
                gate, needed, actual = "window", "15:40:00 to 15:55:00", iso(now())[11:19]
            rows.append(
                {
                    "pair": pair,
                    "long": long,
                    "short": short,
                    "spread_8h": f"{spread:.8f}",
                    "net": f"{spread * 90000 - 22:.2f}",
                    "size_usd": "10000",
                    "gate": gate,
                    "needed": needed,
                    "actual": actual,
                }
            )
        rows.sort(key=lambda row: float(row["spread_8h"]), reverse=True)
        return {"scanned_at": iso(now()), "rows": rows}

    def calculator(self, asked: Mapping[str, str]) -> Row:
        size = float(asked["size_usd"])
        long, short = (self.rates[self.accounts[asked[side]], asked["pair"]] for side in ("long", "short"))
        payments: list[Row] = []
        for leg, row, sign in (("LONG", long, -1), ("SHORT", short, 1)):
            due = datetime.fromisoformat(row["next_funding_time"].replace("Z", "+00:00"))
            steps = 72 // row["interval_h"]
            payments += [
                {
                    "at": iso(due + timedelta(hours=step * row["interval_h"])),
                    "leg": leg,
                    "exchange": row["exchange"],
                    "amount": f"{sign * row['rate'] * size:.4f}",
                }
                for step in range(steps)
            ]
        payments.sort(key=lambda payment: payment["at"])
        funding = sum(float(payment["amount"]) for payment in payments)
        spread, fees, slippage = short["rate_8h"] - long["rate_8h"], size * 0.0021, size * 0.0003
        net = funding - fees - slippage
        refusals = [] if net > 1 else [{"gate": "net", "needed": "1 USD over 3 days", "actual": f"{net:.4f}"}]
        return {
            "pair": asked["pair"],
            "spread_8h": f"{spread:.8f}",
            "threshold": f"{0.0001 + 0.00001 * size / 10000:.8f}",
            "fees": {
                "long_open": f"{size * 0.0005:.2f}",
                "short_open": f"{size * 0.00055:.2f}",
                "long_close": f"{size * 0.0005:.2f}",
                "short_close": f"{size * 0.00055:.2f}",
            },
            "slippage": f"{slippage:.2f}",
            "basis": "0.80",
            "break_even_h": "31.4" if spread > 0 else None,
            "payments": payments,
            "net": f"{net:.2f}",
            "refusals": refusals,
        }

    def history_of_rates(self, pair: str, exchanges: Sequence[str], days: float) -> Row:
        series: list[Row] = []
        for exchange in exchanges or EXCHANGES:
            hours = INTERVALS[exchange]
            level = self.rates[exchange, pair]["rate_8h"]
            count = int(days * 24 / hours)
            points = [
                [
                    iso(now() - timedelta(hours=hours * (count - step))),
                    f"{level + self.random.gauss(0, 0.00005):.8f}",
                ]
                for step in range(count)
            ]
            series.append({"exchange": exchange, "points": points})
        own = [
            {
                "position_id": position["position_id"],
                "account": "binance",
                "t": iso(now() - timedelta(hours=8 * step)),
                "amount": f"{1.2 + step:.2f}",
            }
            for position in self.positions.values()
            if position["pair"] == pair
            for step in range(3)
        ]
        return {"series": series, "own": own}

    def account(self, position_id: str) -> Row | None:
        row = next((row for row in self.closed if row["position_id"] == position_id), None)
        if row is None:
            return None
        at = row["closed_at"]
        payments = [{"at": at, "exchange": row["short"], "leg": "SHORT", "amount": row["funding"]}]
        fills = [
            {
                "at": at,
                "exchange": row["long"],
                "side": "BUY",
                "price": "97250.1",
                "quantity": "0.102",
                "fee": "2.10",
            }
        ]
        orders = [order for order in self.orders if order["position_id"] == position_id]
        return {
            **row,
            "orders": orders,
            "fills": fills,
            "payments": payments,
            "settlements": [],
            "held_longer": {"h1": "0.80", "h4": "2.31", "h24": None, "note": "the day is not over"},
        }
