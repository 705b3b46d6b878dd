"""What could be opened: the candidates of the last scan with what refuses them, and the calculator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field
from quart import Quart, Response
from quart_schema import document_response, validate_querystring

from fundingarb.domain.instrument import Side
from fundingarb.ports import BotHandle, Calculation, Opportunities
from fundingarb_dashboard.answers import answer
from fundingarb_dashboard.api_market import Name
from fundingarb_dashboard.numbers import Pair, Usd
from fundingarb_dashboard.site import Site

__all__ = ["install"]


class Hedge(BaseModel):
    """A hedge to be reckoned: accounts or exchanges to be long and short on."""

    model_config = ConfigDict(extra="forbid")
    pair: Pair = Field(json_schema_extra={"required": True})
    long: Name = Field(json_schema_extra={"required": True})
    short: Name = Field(json_schema_extra={"required": True})
    size_usd: Usd = Field(json_schema_extra={"required": True})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate of the last scan. ``gate`` refused it: it ``needed`` more than the ``actual``, in the gate's own
    unit; None for one that may be taken now."""

    pair: str
    long: str
    short: str
    spread_8h: Decimal | None
    net: Decimal | None
    size_usd: Decimal | None
    gate: str | None
    needed: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Best first, as of ``scanned_at``; None before the first scan."""

    scanned_at: datetime | None
    rows: list[Candidate]


@dataclass(frozen=True, slots=True)
class Fees:
    """The four fees at the accounts' real tiers, in USD; ``total`` is their sum."""

    long_open: Decimal
    short_open: Decimal
    long_close: Decimal
    short_close: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class ExpectedPayment:
    """A payment that is expected, in USD, positive received."""

    at: datetime
    leg: str
    exchange: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What speaks against opening it now."""

    gate: str
    needed: str
    actual: str


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A hedge in USD: ``net`` = funding - fees - slippage - basis over the horizon; costs are positive. ``threshold``
    is the least 8-hour spread for this size, ``break_even_h`` None when the spread never pays the costs."""

    pair: str
    long: str
    short: str
    quantity: Decimal
    size_usd: Decimal
    spread_8h: Decimal
    threshold: Decimal
    fees: Fees
    slippage: Decimal
    basis: Decimal
    funding: Decimal
    net: Decimal
    break_even_h: Decimal | None
    payments: list[ExpectedPayment]
    refusals: list[WhyNot]


def install(app: Quart, site: Site) -> None:
    """The routes of `fundingarb_dashboard.api_opportunities`."""

    @app.get("/api/opportunities")
    @document_response(Candidates)
    async def opportunities() -> Response:
        """What the strategy saw when it last looked at every symbol, and what refused each candidate."""

        async def look(bot: BotHandle) -> Opportunities:
            return bot.opportunities()

        found = await site.line.ask(look)
        rows = [
            Candidate(
                row.symbol, row.long_exchange, row.short_exchange, row.spread_8h, row.net, row.size_usd,
                row.gate, row.needed, row.actual,
            )
            for row in found.rows
        ]  # fmt: skip
        return answer(Candidates(found.scanned_at, rows))

    @app.get("/api/calculator")
    @document_response(Reckoned)
    @validate_querystring(Hedge)
    async def calculator(query_args: Hedge) -> Response:
        """A hedge in numbers, whether or not it may be opened."""

        async def look(bot: BotHandle) -> Calculation:
            asked = query_args
            return bot.calculate(asked.pair, asked.long, asked.short, Decimal(asked.size_usd))

        return answer(reckoned(await site.line.ask(look)))


def reckoned(found: Calculation) -> Reckoned:
    """``found`` as the API shows it."""
    value = found.valuation
    fees = {(line.side, line.entry): line.amount for line in found.fees}
    exchanges = {Side.LONG: value.long.exchange, Side.SHORT: value.short.exchange}
    return Reckoned(
        pair=value.symbol,
        long=value.long.account,
        short=value.short.account,
        quantity=value.quantity,
        size_usd=value.notional,
        spread_8h=value.spread_8h,
        threshold=value.threshold,
        fees=Fees(
            long_open=fees[Side.LONG, True],
            short_open=fees[Side.SHORT, True],
            long_close=fees[Side.LONG, False],
            short_close=fees[Side.SHORT, False],
            total=value.fees,
        ),
        slippage=value.slippage,
        basis=value.basis,
        funding=value.funding,
        net=value.net,
        break_even_h=value.break_even_hours,
        payments=[
            ExpectedPayment(each.at, each.side.value, exchanges[each.side], each.amount)
            for each in sorted(value.payments, key=lambda payment: payment.at)
        ],
        refusals=[WhyNot(each.gate, each.needed, each.actual) for each in found.refusals],
    )
