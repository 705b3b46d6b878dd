"""The full account of one hedge, and accounts by the names that people use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fundingarb.errors import ConfigError
from fundingarb.ports import BotHandle, HedgeAccount
from fundingarb_dashboard.answers import Problem
from fundingarb_dashboard.api_status import order_of
from fundingarb_dashboard.rows import Order, Trade, trade_row

__all__ = ["HedgeRecords", "account_named", "records_of"]


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A funding payment of the ledger: USD, positive received; ``rate`` as the exchange says it charged."""

    account: str
    exchange: str
    leg: str | None
    at: datetime
    amount: Decimal
    rate: Decimal | None


@dataclass(frozen=True, slots=True)
class SettlementRow:
    """A settlement a leg went through: whether the ledger has booked it, and what it was expected to bring."""

    account: str
    exchange: str
    at: datetime
    status: str
    expected: Decimal | None


@dataclass(frozen=True, slots=True)
class HedgeRecords:
    """Everything that was booked to a hedge, each oldest first."""

    orders: list[Order]
    fills: list[Trade]
    payments: list[PaymentRow]
    settlements: list[SettlementRow]


def records_of(account: HedgeAccount) -> HedgeRecords:
    """The records of ``account`` as the API shows them."""
    row = account.row
    legs = {row.long_account: "LONG", row.short_account: "SHORT"}
    return HedgeRecords(
        orders=[order_of(order) for order in account.orders],
        fills=[trade_row(fill, row.hedge_id) for fill in account.fills],
        payments=[
            PaymentRow(
                each.account, each.exchange, legs.get(each.account), each.settlement, each.amount, each.rate
            )
            for each in account.payments
        ],
        settlements=[
            SettlementRow(each.account, each.exchange, each.at, each.status.value, each.expected)
            for each in account.settlements
        ],
    )


def account_named(bot: BotHandle, name: str, field: str) -> str:
    """The account that ``name`` of ``field`` means to the bot. Raises `Problem` 409 that names the field."""
    try:
        return bot.account_named(name)
    except ConfigError as error:
        raise Problem(409, str(error), code="refused", fields={field: str(error)}) from error
