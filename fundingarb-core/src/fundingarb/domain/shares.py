"""One position, several owners: what the exchange books on it is divided by quantity, to the last digit.

A one-way account holds one position per symbol: our legs, and beside them what a person accepted as somebody else's.
What the exchange does to that position by itself (liquidation, ADL, funding) is one row of its ledger. The first part
keeps the row's own name, the others get one of their own, and the parts add up to the row exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from fundingarb.domain.funding import FundingPayment
from fundingarb.domain.order import ZERO, Fill

#: Digits after the point that a part of an amount keeps; a row's remainder goes to its last part.
DIGITS = Decimal("1e-12")
_PART = re.compile(r"~part\d+$")


def part_of(name: str, number: int) -> str:
    """The name of the ``number``-th part (0 is the first) of the ledger's row ``name``."""
    return f"{name}~part{number + 1}" if number else name


def row_of(name: str) -> str:
    """The ledger's own name of the row that ``name`` is, or is a part of."""
    return _PART.sub("", name)


def divide_fill(fill: Fill, quantities: Sequence[Decimal]) -> list[Fill]:
    """``fill`` in parts of these quantities, which add up to its own; fee and realised result follow them."""
    fees = _shares(fill.fee, quantities)
    results = _shares(fill.realized_pnl, quantities)
    return [
        replace(fill, trade_id=part_of(fill.trade_id, n), quantity=quantity, fee=fee, realized_pnl=result)
        for n, (quantity, fee, result) in enumerate(zip(quantities, fees, results, strict=True))
    ]


def divide_payment(payment: FundingPayment, ours: Decimal, foreign: Decimal) -> list[FundingPayment]:
    """``payment`` for a position of which ``ours`` and ``foreign`` (signed base units) were held: our part first.

    Undivided where one of them is nothing, or the two cancel: then the row says nothing of either.
    """
    if not ours or not foreign or not ours + foreign:
        return [payment]
    amounts = _shares(payment.amount, (ours, foreign))
    return [
        replace(payment, ledger_id=part_of(payment.ledger_id, n), amount=amount)
        for n, amount in enumerate(amounts)
    ]


def whole(parts: Iterable[FundingPayment]) -> list[FundingPayment]:
    """The ledger's rows that these payments are, or are the parts of; under the name of the first part."""
    rows: list[FundingPayment] = []
    places: dict[tuple[str, str, str, datetime, str], int] = {}
    for part in sorted(parts, key=lambda payment: row_of(payment.ledger_id) != payment.ledger_id):
        name = row_of(part.ledger_id)
        key = (part.exchange, part.account, part.symbol, part.settlement, name)
        place = places.get(key)
        if place is None or part.ledger_id == name:
            places[key] = len(rows)
            rows.append(replace(part, ledger_id=name))
        else:
            rows[place] = replace(rows[place], amount=rows[place].amount + part.amount)
    return rows


def _shares(amount: Decimal, quantities: Sequence[Decimal]) -> list[Decimal]:
    with localcontext() as exact:
        exact.prec = 80
        exact.rounding = ROUND_HALF_EVEN
        total = sum(quantities, ZERO)
        shares = [(amount * quantity / total).quantize(DIGITS) for quantity in quantities[:-1]]
        return [*(share.normalize() for share in shares), amount - sum(shares, ZERO)]
