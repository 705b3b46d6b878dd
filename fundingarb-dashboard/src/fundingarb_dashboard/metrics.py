"""``/metrics`` in Prometheus' format: the figures that matter here, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from quart import Quart, Response
from quart_schema import hide

from fundingarb.ports import BotHandle, Vitals
from fundingarb_dashboard.answers import Problem
from fundingarb_dashboard.site import Site

__all__ = ["exposition", "install"]

Labelled = Iterable[tuple[tuple[str, ...], float | None]]


def install(app: Quart, site: Site) -> None:
    """``/metrics``. Its bearer token is checked with everything else that stands before the routes."""

    @app.get("/metrics")
    @hide
    async def metrics() -> Response:
        async def look(bot: BotHandle) -> Vitals:
            return bot.vitals()

        try:
            vitals = await site.line.ask(look)
        except Problem:
            vitals = None
        text = exposition(vitals, len(site.hub.clients))
        return Response(text, content_type=CONTENT_TYPE_LATEST)


def exposition(vitals: Vitals | None, watching: int) -> bytes:
    """The figures as text; with None the bot did not answer, and only that is said."""
    registry = CollectorRegistry()
    registry.register(_Figures(vitals, watching))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, vitals: Vitals | None, watching: int) -> None:
        self._vitals = vitals
        self._watching = watching

    def collect(self) -> Iterator[Metric]:
        vitals = self._vitals
        yield gauge("up", "whether the bot's loop answers", 0 if vitals is None else 1)
        yield gauge("dashboard_clients", "browsers on the websocket", self._watching)
        if vitals is not None:
            yield from _figures(vitals)


def _figures(vitals: Vitals) -> Iterator[Metric]:
    states = ("RUNNING", "PAUSED", "KILLED", "STARTING", "ERROR")
    yield labelled(
        "state", "1 for the state the bot is in", ("state",), (((s,), s == vitals.state) for s in states)
    )
    yield gauge("ready", "whether every account was read and the bot trades", vitals.ready)
    yield gauge("loop_lag_seconds", "worst lateness of the bot's loop lately", vitals.loop_lag)
    yield gauge("unhedged_usd", "notional of all legs without a partner", float(vitals.unhedged_usd))
    yield gauge("unhedged_seconds", "how long the oldest of them has been so", vitals.unhedged_seconds)
    yield gauge(
        "settlements_expected", "settlements that should have been paid lately", vitals.settlements_expected
    )
    yield gauge("settlements_booked", "those of them that the ledgers have booked", vitals.settlements_booked)
    distance = vitals.liquidation_distance
    yield gauge(
        "liquidation_distance",
        "nearest leg, as a fraction of mark",
        None if distance is None else float(distance),
    )
    latencies = (("0.5", vitals.order_latency_p50_ms), ("0.99", vitals.order_latency_p99_ms))
    yield labelled(
        "order_latency_seconds", "from asking for an order to be sent until the answer", ("quantile",),
        (((name,), None if found is None else found / 1000) for name, found in latencies),
    )  # fmt: skip
    yield gauge("database_up", "whether the database answers", vitals.database_reachable)
    yield gauge("lease_fresh", "whether this process still has the right to trade", vitals.lease_fresh)
    yield gauge("config_revision", "revision of the configuration in use", vitals.config_revision)
    exchanges = vitals.exchanges
    yield labelled(
        "exchange_up", "whether the exchange is connected", ("exchange",),
        (((each.exchange,), each.connected) for each in exchanges),
    )  # fmt: skip
    yield labelled(
        "rate_age_seconds", "since the exchange's rates were heard", ("exchange",),
        (((each.exchange,), each.rate_age) for each in exchanges),
    )  # fmt: skip
    yield labelled(
        "breaker_open", "whether requests to the exchange are held back", ("exchange",),
        (((each.exchange,), each.breaker_open) for each in exchanges),
    )  # fmt: skip
    yield labelled(
        "stream_up", "whether a stream is connected", ("exchange", "stream"),
        (((each.exchange, each.stream), each.connected) for each in vitals.streams),
    )  # fmt: skip
    accounts = vitals.accounts
    yield labelled(
        "clock_offset_seconds", "the exchange's clock less ours", ("account",),
        (((a.account,), None if a.clock_offset_ms is None else a.clock_offset_ms / 1000) for a in accounts),
    )  # fmt: skip
    yield labelled(
        "margin_ratio", "maintenance margin by equity; 1 is liquidation", ("account",),
        (((a.account,), None if a.margin_ratio is None else float(a.margin_ratio)) for a in accounts),
    )  # fmt: skip
    yield labelled(
        "account_halted", "whether entries on the account are off", ("account",),
        (((a.account,), a.halted is not None) for a in accounts),
    )  # fmt: skip


def gauge(name: str, what: str, value: float | None) -> Metric:
    """One figure; what is not known has no sample."""
    return labelled(name, what, (), [((), value)])


def labelled(name: str, what: str, labels: tuple[str, ...], samples: Labelled) -> Metric:
    """One figure per label; those that are not known have no sample."""
    family = GaugeMetricFamily(f"fundingarb_{name}", what, labels=labels)
    for values, sample in samples:
        if sample is not None:
            family.add_metric(values, float(sample))
    return family
