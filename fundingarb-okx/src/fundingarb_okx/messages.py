"""What OKX v5 answers, and how it becomes ours. Pure functions; a surprise is a ``BadMessage``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from fundingarb.domain.funding import FundingPayment, FundingRate, SettledRate
from fundingarb.domain.instrument import Instrument
from fundingarb.domain.order import (
    Balance,
    ExchangePosition,
    FeeTier,
    Fill,
    FillKind,
    NewOrder,
    OrderReport,
    OrderSide,
    OrderState,
)
from fundingarb.errors import BadMessage, ExchangeError
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import (
    decode,
    each,
    fraction,
    moment,
    number,
    one_of,
    optional,
    optional_positive,
    positive,
)
from fundingarb.exchanges.symbols import in_base_units
from fundingarb.ports import KeyPermissions
from fundingarb_okx.contracts import Contracts, Listed
from fundingarb_okx.schema import (
    AccountConfig,
    Bill,
    Contract,
    Fees,
    Funding,
    IndexPrice,
    Leverage,
    MarkPrice,
    Order,
    Placed,
    Position,
    SettledFunding,
    Wallet,
)

EXCHANGE = "okx"
SETTLE = "USDT"
DEFAULT_INTERVAL = timedelta(hours=8)
_LIVE, _AHEAD = "live", ("preopen", "test")
"""``state`` of a contract that is traded, and of one that nobody has traded yet; every other one was traded once."""

_STATES = {
    "live": OrderState.OPEN,
    "partially_filled": OrderState.OPEN,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "mmp_canceled": OrderState.CANCELLED,
}
_SIDES = {"buy": OrderSide.BUY, "sell": OrderSide.SELL}
POSITION_MODES = {"net_mode": "one-way", "long_short_mode": "hedge"}

# Bills: type, and subtype -> side. Trades in long/short mode open and close where those in net mode buy and sell; block
# trades have codes of their own, as has delivery.
_BUYS, _SELLS = ("1", "3", "6", "204", "206", "209", "113"), ("2", "4", "5", "205", "207", "208", "112")
_FORCED_BUYS, _FORCED_SELLS = ("101", "102", "105", "106"), ("100", "103", "104", "107")
_ADL_BUYS, _ADL_SELLS = ("126", "127"), ("125", "128")
_EXECUTIONS = {
    **dict.fromkeys((*_BUYS, *_FORCED_BUYS, *_ADL_BUYS), OrderSide.BUY),
    **dict.fromkeys((*_SELLS, *_FORCED_SELLS, *_ADL_SELLS), OrderSide.SELL),
}
_KINDS = {
    "2": FillKind.TRADE,
    "3": FillKind.LIQUIDATION,  # a delisted contract is closed by the exchange
    "5": FillKind.LIQUIDATION,
    "9": FillKind.ADL,
    "10": FillKind.LIQUIDATION,  # clawback: the exchange's deed too, and of nothing but money
}
FUNDING = "8"


def side_of(text: str) -> OrderSide:
    return one_of(_SIDES, text, "okx: order side")


def interval(row: Funding) -> timedelta | None:
    """The time between the coming settlement and the one after it; None while OKX does not name that one."""
    if not row.nextFundingTime:
        return None
    found = moment(row.nextFundingTime, "nextFundingTime") - moment(row.fundingTime, "fundingTime")
    if not timedelta(0) < found <= timedelta(hours=24):
        raise BadMessage(f"okx {row.instId}: a funding interval of {found}")
    return found


def contracts(
    rows: Iterable[msgspec.Raw],
    intervals: Mapping[str, timedelta],
    rejected: Callable[[str, bytes], None] | None = None,
) -> list[Listed]:
    """The USDT swaps that can be traded. ``rejected`` hears of entries that cannot be understood."""
    return each(rows, lambda body: _listed(body, intervals, live=True), rejected)


def halted(rows: Iterable[msgspec.Raw], intervals: Mapping[str, timedelta]) -> list[Listed]:
    """The USDT swaps that were traded and are not for now: what is held of them counts in their contracts."""
    return each(rows, lambda body: _listed(body, intervals, live=False))


def _listed(body: bytes, intervals: Mapping[str, timedelta], *, live: bool) -> Listed | None:
    row = decode(Contract, body, "okx instruments entry")
    base, _, quote = row.instFamily.partition("-")
    if (
        row.state in _AHEAD
        or (row.state == _LIVE) is not live
        or (row.ctType, row.ruleType or "normal") != ("linear", "normal")
    ):
        return None
    if (row.settleCcy, quote, row.ctValCcy) != (SETTLE, SETTLE, base):
        return None
    name = row.instId
    size = positive(row.ctVal, f"{name} ctVal") * positive(row.ctMult or "1", f"{name} ctMult")
    largest = [optional_positive(text, f"{name} maximum") for text in (row.maxLmtSz, row.maxMktSz)]
    known = [each for each in largest if each is not None]
    instrument = in_base_units(
        Instrument(
            exchange=EXCHANGE,
            symbol=f"{base}-{SETTLE}",
            exchange_id=name,
            base=base,
            settle=SETTLE,
            tick=positive(row.tickSz, f"{name} tickSz"),
            lot=positive(row.lotSz, f"{name} lotSz") * size,
            min_quantity=positive(row.minSz, f"{name} minSz") * size,
            min_notional=Decimal(0),
            funding_interval=intervals.get(name, DEFAULT_INTERVAL),
            max_quantity=min(known) * size if known else None,
            delists_at=moment(row.expTime, f"{name} expTime") if row.expTime else None,
        )
    )
    return Listed(instrument, size * instrument.multiplier, row.uly or row.instFamily, row.groupId)


def intervals(rows: Iterable[msgspec.Raw]) -> dict[str, timedelta]:
    """Exchange id -> funding interval, of all rows that say so."""

    def take(body: bytes) -> tuple[str, timedelta] | None:
        row = decode(Funding, body, "okx funding-rate entry")
        found = interval(row)
        return None if found is None else (row.instId, found)

    return dict(each(rows, take))


def funding_rate(
    row: Funding, listed: Listed, marks: Mapping[str, str], indexes: Mapping[str, str], at: datetime
) -> FundingRate:
    """The rate for ``fundingTime``: an estimate until then. ``nextFundingRate`` is only sent where it is predicted."""
    return values.funding_rate(
        listed.instrument,
        rate=row.fundingRate,
        predicted=row.nextFundingRate,
        interval=interval(row),
        next_settlement=row.fundingTime,
        at=at,
        mark=marks.get(row.instId, ""),
        index=indexes.get(listed.index, ""),
    )


def prices(
    marks: Iterable[MarkPrice], indexes: Iterable[IndexPrice]
) -> tuple[dict[str, str], dict[str, str]]:
    """Mark prices by instrument, index prices by index."""
    return {row.instId: row.markPx for row in marks}, {row.instId: row.idxPx for row in indexes}


def settled(rows: Iterable[SettledFunding], symbol: str) -> list[SettledRate]:
    """``realizedRate`` is what was charged; ``fundingRate`` in the same row is what had been predicted."""
    return values.settled_rates(EXCHANGE, symbol, ((row.fundingTime, row.realizedRate) for row in rows))


def created(rows: Iterable[Placed], order: NewOrder, account: str, at: datetime) -> OrderReport:
    """An order that was taken in. OKX matches it afterwards, so even an immediate-or-cancel order is still open."""
    for row in rows:
        if row.ordId and row.sCode == "0":
            return OrderReport(
                account=account,
                symbol=order.symbol,
                client_id=order.client_id,
                exchange_order_id=row.ordId,
                state=OrderState.OPEN,
                side=order.side,
                quantity=order.quantity,
                filled=Decimal(0),
                price=order.price,
                reduce_only=order.reduce_only,
                at=at,
            )
    raise BadMessage("okx: an order was answered without an order id")


def order_report(order: Order, account: str, known: Contracts) -> OrderReport:
    instrument = known.by_id(order.instId)
    state = one_of(_STATES, order.state, "okx: order state")
    return values.order_report(
        account,
        order.instId,
        instrument,
        client_id=order.clOrdId,
        exchange_order_id=order.ordId,
        state=state,
        side=side_of(order.side),
        quantity=order.sz,
        filled=order.accFillSz,
        price=order.px,
        average=order.avgPx,
        reduce_only=order.reduceOnly in (True, "true"),
        at=order.uTime,
        reason=_reason(order) if state is OrderState.CANCELLED else "",
        units=known.units(instrument),
    )


def _reason(order: Order) -> str:
    code = f"cancel source {order.cancelSource}" if order.cancelSource else ""
    return ": ".join(filter(None, (code, order.cancelSourceReason)))


def position(row: Position, account: str, known: Contracts) -> ExchangePosition:
    """``pos`` has a sign in net mode only; ``adl`` is 0 to 5."""
    instrument = known.by_id(row.instId)
    size = optional(row.pos, "pos") or Decimal(0)
    signs = {"net": Decimal(1), "long": Decimal(1), "short": Decimal(-1)}
    rank = optional(row.adl, "adl")
    return values.position(
        EXCHANGE,
        account,
        row.instId,
        instrument,
        quantity=one_of(signs, row.posSide, "okx: position side") * size,
        entry_price=row.avgPx,
        mark=row.markPx,
        liquidation_price=row.liqPx,
        unrealized_pnl=row.upl,
        leverage=row.lever,
        maintenance_margin=row.mmr,
        adl_rank=None if rank is None else min(max(int(rank), 1), 5),
        units=known.units(instrument),
    )


def balance(wallets: Iterable[Wallet], account: str) -> Balance:
    """The USDT of the trading account; an account that never held any has none.

    Futures mode gives availability and maintenance margin per currency, the other modes per account (in USD).
    """
    for wallet in wallets:
        for coin in wallet.details:
            if coin.ccy != SETTLE:
                continue
            free = optional(coin.availEq or wallet.availEq or coin.availBal, "availEq")
            return Balance(
                account=account,
                currency=SETTLE,
                wallet=number(coin.cashBal, "cashBal"),
                equity=number(coin.eq, "eq"),
                available=Decimal(0) if free is None else free,
                maintenance_margin=optional(coin.mmr or wallet.mmr, "mmr"),
            )
    return values.no_balance(account, SETTLE)


def is_fill(bill: Bill) -> bool:
    """Whether a bill is an execution, or a charge that belongs to one (the fee of a liquidation)."""
    kind = _KINDS.get(bill.type)
    return kind is not None and (bill.subType in _EXECUTIONS or kind is not FillKind.TRADE)


def fill(bill: Bill, account: str, instrument: Instrument, known: Contracts) -> Fill:
    """One execution: ``pnl`` is the result of the closed part, ``fee`` negative when paid.

    What the exchange takes or gives beyond the trade (fee of a liquidation, clawback) is a fill of nothing.
    """
    kind, side = _KINDS[bill.type], _EXECUTIONS.get(bill.subType)
    pnl, fee = optional(bill.pnl, "pnl") or Decimal(0), optional(bill.fee, "fee") or Decimal(0)
    if side is None:
        return values.charge(
            account,
            instrument,
            ledger_id=f"bill{bill.billId}",
            order_id=bill.ordId,
            amount=pnl + fee or number(bill.balChg, "balChg"),
            at=bill.ts,
            kind=kind,
        )
    return values.fill(
        account,
        instrument,
        trade_id=bill.tradeId or f"bill{bill.billId}",
        exchange_order_id=bill.ordId,
        client_id=bill.clOrdId,
        side=side,
        quantity=bill.sz,
        price=bill.px,
        fee=-fee,
        realized_pnl=pnl,
        at=bill.fillTime or bill.ts,
        maker=bill.execType == "M",
        kind=kind,
        units=known.units(instrument),
    )


def payment(bill: Bill, account: str, symbol: str) -> FundingPayment:
    """One funding bill: ``pnl`` is the payment, negative when paid (of an isolated position ``balChg`` may be 0)."""
    return values.payment(
        EXCHANGE,
        account,
        symbol,
        amount=bill.pnl or bill.balChg,
        currency=bill.ccy,
        at=bill.ts,
        ledger_id=bill.billId,
    )


def fee_tier(fees: Fees, group: str) -> FeeTier:
    """OKX's fees are negative when charged. The instrument's fee group counts; without one, those of USDT contracts."""
    for row in fees.feeGroup:
        if group and row.groupId == group:
            maker, taker = row.maker, row.taker
            break
    else:
        maker, taker = fees.makerU or fees.maker, fees.takerU or fees.taker
    return FeeTier(maker=-fraction(maker, "maker fee"), taker=-fraction(taker, "taker fee"))


def leverage(row: Leverage) -> Decimal:
    return positive(row.lever, "lever")


def permissions(config: AccountConfig) -> KeyPermissions:
    """``perm`` lists read_only, trade, withdraw. Who may trade may also move money between accounts of one's own."""
    granted = {word.strip() for word in config.perm.split(",") if word.strip()}
    bound = bool(config.ip.strip())
    if not granted:
        return KeyPermissions(None, None, bound)
    may_trade, may_withdraw = "trade" in granted, "withdraw" in granted
    return KeyPermissions(may_trade, may_withdraw, bound, transfer=may_trade or may_withdraw)


def check_account_mode(config: AccountConfig) -> None:
    """``ExchangeError`` for an account that cannot hold swaps."""
    if config.acctLv == "1":
        raise ExchangeError(
            "okx: the account is in Spot mode, which has no swaps; switch it to Futures mode (Trade > Settings)",
            code="acctLv",
        )
