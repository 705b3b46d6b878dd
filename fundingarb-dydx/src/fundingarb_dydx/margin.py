"""What a subaccount holds: positions with their margin and liquidation price, and the balance. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from fundingarb.domain.order import ZERO, Balance, ExchangePosition
from fundingarb.errors import BadMessage
from fundingarb.exchanges import values
from fundingarb.exchanges.parse import number, one_of
from fundingarb.exchanges.symbols import InstrumentMap
from fundingarb_dydx import schema
from fundingarb_dydx.messages import EXCHANGE, SETTLE, margin_fractions, oracle_price

_SIGNS = {"LONG": 1, "SHORT": -1}


def signed_size(side: str, size: str) -> Decimal:
    """The indexer signs the size of some shorts and not of others: the side counts."""
    return one_of(_SIGNS, side, "dydx: position side") * abs(number(size, "position size"))


def liquidation_price(
    equity: Decimal, size: Decimal, oracle: Decimal, maintenance: Decimal, others: Decimal
) -> Decimal | None:
    """Where the subaccount falls below its maintenance margin when this price alone moves; None when nowhere.

    ``p' = (e - s * p - M) / (|s| * MMF - s)`` with ``e`` the equity, ``s`` the signed size, ``p`` the oracle price and
    ``M`` the maintenance margin of the other positions. Source: dYdX documentation, "Liquidations", isolated and cross
    liquidation price.
    """
    divisor = abs(size) * maintenance - size
    price = (equity - size * oracle - others) / divisor if divisor else ZERO
    return price if price > 0 else None


def positions(
    answer: schema.Subaccount, account: str, listed: Mapping[str, schema.Market], known: InstrumentMap
) -> list[ExchangePosition]:
    """Every position that is not zero, with margin and liquidation price as the chain would reckon them."""
    equity = number(answer.equity, "equity")
    rows = [row for row in answer.openPerpetualPositions.values() if number(row.size, "position size")]
    needs: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    for row in rows:
        market = listed.get(row.market)
        if market is None:
            raise BadMessage(f"dydx: a position in {row.market}, which is not listed")
        size, oracle = signed_size(row.side, row.size), oracle_price(market)
        needs[row.market] = (size, oracle, margin_fractions(market)[1])
    maintenance = {name: abs(size) * oracle * rate for name, (size, oracle, rate) in needs.items()}
    total = sum(maintenance.values(), ZERO)
    found = []
    for row in rows:
        size, oracle, rate = needs[row.market]
        margin = maintenance[row.market]
        limit = liquidation_price(equity, size, oracle, rate, total - margin)
        found.append(
            values.position(
                EXCHANGE,
                account,
                row.market,
                known.by_id(row.market),
                quantity=size,
                entry_price=row.entryPrice,
                mark=oracle,
                liquidation_price="" if limit is None else limit,
                unrealized_pnl=row.unrealizedPnl or "",
                leverage="",
                maintenance_margin=margin,
                adl_rank=None,
            )
        )
    return found


def balance(
    answer: schema.Subaccount, account: str, listed: Mapping[str, schema.Market], known: InstrumentMap
) -> Balance:
    """The USDC of a subaccount.

    What a position cost is taken off the chain's own USDC balance and comes back when it is closed; ``wallet`` counts
    it as still there, so that only price results, funding, fees and transfers change it.
    """
    held = sum(
        (signed_size(row.side, row.size) for row in answer.assetPositions.values() if row.symbol == SETTLE),
        ZERO,
    )
    open_positions = positions(answer, account, listed, known)
    return Balance(
        account=account,
        currency=SETTLE,
        wallet=held + sum((row.quantity * row.entry_price for row in open_positions), ZERO),
        equity=number(answer.equity, "equity"),
        available=max(number(answer.freeCollateral, "freeCollateral"), ZERO),
        maintenance_margin=sum((row.maintenance_margin or ZERO for row in open_positions), ZERO),
    )
