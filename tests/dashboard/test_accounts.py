"""Accounts by the names that people use."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fundingarb_dashboard.accounts import account_named
from fundingarb_dashboard.answers import Problem


def bot(**exchanges: str) -> Any:
    """A bot with these accounts, each on its exchange."""
    rows = [SimpleNamespace(account=name, exchange=exchange) for name, exchange in exchanges.items()]
    return SimpleNamespace(status=lambda: SimpleNamespace(accounts=rows))


def test_an_account_or_the_only_one_of_an_exchange_is_named() -> None:
    mine = bot(main="okx", second="bybit", third="bybit", bybit="dydx")
    assert account_named(mine, "okx", "long") == "main"
    assert account_named(mine, "third", "long") == "third"
    assert account_named(mine, "bybit", "long") == "bybit"  # the account of that name comes first


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bybit", "bybit has several accounts; name one of second, third"),
        ("mars", "there is no account 'mars'; there are: main, second, third"),
    ],
)
def test_what_names_none_or_several_is_refused_with_the_names(name: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        account_named(bot(main="okx", second="bybit", third="bybit"), name, "short")
