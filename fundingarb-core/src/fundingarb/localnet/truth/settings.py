"""Leverage, margin mode and position mode of an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from fundingarb.localnet.truth import margin
from fundingarb.localnet.truth.core import Account, Core
from fundingarb.localnet.truth.events import SettingsChanged
from fundingarb.localnet.truth.types import MarginMode, Reason, Refused

__all__ = ["set_hedge_mode", "set_leverage", "set_margin_mode"]


def _tell(
    core: Core,
    account: Account,
    setting: Literal["leverage", "margin_mode", "position_mode"],
    instrument: str,
    value: str,
) -> None:
    core.emit(SettingsChanged(core.next_sequence(), core.now_ms, account.name, setting, instrument, value))


def set_leverage(core: Core, account: Account, instrument: str, leverage: Decimal) -> None:
    """Set the leverage of an instrument; refused when the open position does not fit it."""
    rules = core.market(instrument).instrument
    if not leverage.is_finite() or not 1 <= leverage <= rules.max_leverage:
        raise Refused(Reason.LEVERAGE_OUT_OF_RANGE)
    before = core.leverage(account, instrument)
    if before == leverage and instrument in account.leverages:
        raise Refused(Reason.NOT_MODIFIED)
    had = account.leverages.get(instrument)
    room = margin.available(core, account)
    old = margin.need(core, account, instrument).total
    account.leverages[instrument] = leverage
    new = margin.need(core, account, instrument).total
    problem = None
    if new - old > room:
        problem = Reason.LEVERAGE_TOO_LOW_FOR_POSITION
    elif new * leverage > margin.max_value(rules, leverage):
        problem = Reason.MAX_POSITION
    if problem is not None:
        if had is None:
            del account.leverages[instrument]
        else:
            account.leverages[instrument] = had
        raise Refused(problem)
    if before != leverage:
        _tell(core, account, "leverage", instrument, f"{leverage:f}")


def _busy(account: Account, instrument: str | None) -> bool:
    return any(instrument is None or h.instrument == instrument for h in account.held()) or any(
        instrument is None or o.instrument == instrument for o in account.open.values()
    )


def set_margin_mode(core: Core, account: Account, mode: MarginMode, instrument: str | None) -> None:
    """Set the margin mode of an instrument or of the account."""
    if instrument is not None:
        core.market(instrument)
        if account.mode_of(instrument) is mode:
            raise Refused(Reason.NOT_MODIFIED)
    elif account.margin_mode is mode and not account.margin_modes:
        raise Refused(Reason.NOT_MODIFIED)
    if _busy(account, instrument):
        raise Refused(Reason.MARGIN_MODE_LOCKED)
    if instrument is not None:
        account.margin_modes[instrument] = mode
    else:
        account.margin_mode = mode
        account.margin_modes.clear()
    _tell(core, account, "margin_mode", instrument or "", mode.value)


def set_hedge_mode(core: Core, account: Account, hedge: bool) -> None:
    """Switch between one-way and hedge mode; only without positions and orders."""
    if account.hedge_mode is hedge:
        raise Refused(Reason.NOT_MODIFIED)
    if _busy(account, None):
        raise Refused(Reason.POSITION_MODE_LOCKED)
    account.hedge_mode = hedge
    _tell(core, account, "position_mode", "", "hedge" if hedge else "one-way")
