"""/ws/v5/private: orders, positions and the balance of the account that logged in, and its order entry.

A channel is named by its first argument, the account and its whole argument, because OKX repeats the argument in
every push: ``orders:okx?{"channel":"orders","instType":"SWAP"}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from fundingarb.localnet.faults import Failure
from fundingarb.localnet.streams import encode
from fundingarb.localnet.truth.events import AccountChanged, OrderChanged, SettingsChanged
from fundingarb.localnet.truth.types import Cause, Position
from fundingarb.localnet.venue import ReplyLost
from fundingarb_okx.localnet import account, trade
from fundingarb_okx.localnet.codes import failure_outcome, is_order_code
from fundingarb_okx.localnet.contracts import family
from fundingarb_okx.localnet.desk import SWAP, Desk
from fundingarb_okx.localnet.holdings import balance_row, position_row
from fundingarb_okx.localnet.journal import Record
from fundingarb_okx.localnet.render import order_event, user_id
from fundingarb_okx.localnet.stream import OkxSession, Stream, unknown_channel
from fundingarb_okx.localnet.trade import AMEND, CANCEL, LARGEST_BATCH, PLACE, Operation
from fundingarb_okx.localnet.wire import ApiError, dumps, money

__all__ = ["PrivateStream"]

REGULAR = 5.0
"""Simulated seconds between two pushes of balance and positions when nothing happens."""
WARNED = Decimal(3)
"""Margin ratio (equity over maintenance margin) below which a position is warned of."""
KINDS = (SWAP, "ANY", "MARGIN", "FUTURES", "OPTION", "SPOT", "EVENTS")
BY_KIND = ("orders", "positions", "liquidation-warning")
CHANNELS = (*BY_KIND, "account", "balance_and_position")
VIP = ("fills",)
"""Channels for higher fee tiers than anyone has here (fills: VIP6)."""
_CAUSES = {
    Cause.ORDER: "filled",
    Cause.FUNDING: "funding_fee",
    Cause.TRANSFER: "transferred",
    Cause.LIQUIDATION: "liquidation",
    Cause.ADL: "adl",
    Cause.MARGIN: "adjust_margin",
}


class _Command(NamedTuple):
    run: Operation
    name: str
    """For faults."""
    path: str
    limit: str
    batch: bool


_COMMANDS = {
    "order": _Command(PLACE, "order.place", "/trade/order", "60/2", batch=False),
    "batch-orders": _Command(PLACE, "order.place", "/trade/batch-orders", "300/2", batch=True),
    "cancel-order": _Command(CANCEL, "order.cancel", "/trade/cancel-order", "60/2", batch=False),
    "batch-cancel-orders": _Command(
        CANCEL, "order.cancel", "/trade/cancel-batch-orders", "300/2", batch=True
    ),
    "amend-order": _Command(AMEND, "order.amend", "/trade/amend-order", "60/2", batch=False),
    "batch-amend-orders": _Command(AMEND, "order.amend", "/trade/amend-batch-orders", "300/2", batch=True),
}


class PrivateStream(Stream):
    """The private websocket of one venue."""

    needs_login = True

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        desk.venue.every(REGULAR, self._publish_regularly)
        desk.venue.every(1.0, self._publish_warnings)
        self._regular_ms = 0
        self._warned: dict[tuple[str, str], int] = {}

    # -- subscriptions -------------------------------------------------------------------------------------------

    def topic(self, session: OkxSession, arg: Mapping[str, Any]) -> str:
        channel = str(arg["channel"])
        if channel in VIP:
            raise ApiError(64003, "Your trading fee tier doesn't meet the requirement to access this channel")
        if channel not in CHANNELS or (channel in BY_KIND and arg.get("instType") not in KINDS):
            raise unknown_channel(arg)
        name = arg.get("instId")
        if name is not None and name not in self.desk.truth.instruments:
            raise unknown_channel(arg)
        return f"{channel}:{session.account}?{dumps(arg)}"

    def first(self, session: OkxSession, topic: str, arg: Mapping[str, Any]) -> list[bytes]:
        """A snapshot, where the channel has one."""
        name, channel = str(session.account), arg["channel"]
        if channel == "account":
            return [self._frame(name, arg, [self._balance(name, arg)], snapshot=True)]
        if channel == "positions":
            positions = self._of(arg, self.desk.truth.positions(name))
            rows = [position_row(self.desk, position) for position in positions]
            return [self._frame(name, arg, rows, snapshot=True)]
        if channel == "balance_and_position":
            state = self.desk.truth.state(name)
            balances = [(state.asset, state.wallet, state.updated_ms)]
            row = self._both("snapshot", balances, self.desk.truth.positions(name), [])
            return [self._frame(name, arg, [row])]
        return []

    def _frame(
        self, name: str, arg: Mapping[str, Any], rows: Sequence[Any], *, snapshot: bool | None = None
    ) -> bytes:
        frame: dict[str, Any] = {"arg": {**arg, "uid": user_id(name)}}
        if snapshot is not None:
            frame["eventType"] = "snapshot" if snapshot else "event_update"
            frame |= {"curPage": 1, "lastPage": True} if snapshot else {}
        return encode({**frame, "data": rows})

    def _listeners(self, channel: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Topics of a channel that an account's connections listen to, with their argument."""
        for topic in self.hub.topics(f"{channel}:{name}?"):
            yield topic, json.loads(topic.partition("?")[2])

    def _fits(self, arg: Mapping[str, Any], instrument: str) -> bool:
        """Whether a subscription is about a contract."""
        if arg.get("instType", "ANY") not in ("ANY", SWAP):
            return False
        wanted = (arg.get("instId", instrument), arg.get("instFamily") or arg.get("uly"))
        return wanted in ((instrument, None), (instrument, family(self.desk.find(instrument))))

    def _of(self, arg: Mapping[str, Any], positions: Sequence[Position]) -> list[Position]:
        return [position for position in positions if self._fits(arg, position.instrument)]

    # -- rows ----------------------------------------------------------------------------------------------------

    def _balance(self, name: str, arg: Mapping[str, Any]) -> dict[str, Any]:
        row = balance_row(self.desk.truth, name)
        for detail in row["details"]:
            detail["coinUsdPrice"] = "1"
        if arg.get("ccy"):
            row["details"] = [detail for detail in row["details"] if detail["ccy"] == arg["ccy"]]
        return row

    def _both(
        self,
        why: str,
        balances: Sequence[tuple[str, Decimal, int]],
        positions: Sequence[Position],
        trades: Sequence[Mapping[str, str]],
    ) -> dict[str, Any]:
        """A row of balance_and_position."""
        held = []
        for position in positions:
            row = position_row(self.desk, position)
            names = ("posId", "tradeId", "instId", "instType", "mgnMode", "posSide", "pos", "ccy", "posCcy")
            held.append({key: row[key] for key in (*names, "avgPx", "nonSettleAvgPx", "settledPnl", "uTime")})
        return {
            "pTime": self.desk.stamp(),
            "eventType": why,
            "balData": [
                {"ccy": coin, "cashBal": money(amount), "uTime": str(at)} for coin, amount, at in balances
            ],
            "posData": held,
            "trades": list(trades),
        }

    # -- events --------------------------------------------------------------------------------------------------

    def order_changed(self, event: OrderChanged, record: Record | None) -> None:
        order = event.order
        row: dict[str, Any] | None = None
        for topic, arg in self._listeners("orders", order.account):
            if self._fits(arg, order.instrument):
                if row is None:
                    row = order_event(self.desk, order, record, amended=event.execution == "AMENDED")
                self.hub.publish(topic, self._frame(order.account, arg, [row]))

    def account_changed(self, event: AccountChanged) -> None:
        """The positions, then the balance, then both."""
        name = event.account
        self._push_positions(name, event.positions)
        if event.balances:
            self._push_balance(name)
        for topic, arg in self._listeners("balance_and_position", name):
            balances = [(one.asset, one.wallet, event.time_ms) for one in event.balances]
            trades = [
                {"instId": row.instrument, "tradeId": row.fill_id} for row in event.rows[:1] if row.fill_id
            ]
            row = self._both(_CAUSES[event.cause], balances, event.positions, trades)
            self.hub.publish(topic, self._frame(name, arg, [row]))

    def settings_changed(self, event: SettingsChanged) -> None:
        """A new leverage or margin mode shows on the positions."""
        if event.instrument:
            self._push_positions(event.account, self.desk.truth.positions(event.account, event.instrument))

    def _push_positions(self, name: str, positions: Sequence[Position]) -> None:
        for topic, arg in self._listeners("positions", name):
            rows = [position_row(self.desk, position) for position in self._of(arg, positions)]
            if rows:
                self.hub.publish(topic, self._frame(name, arg, rows, snapshot=False))

    def _push_balance(self, name: str) -> None:
        for topic, arg in self._listeners("account", name):
            frame = self._frame(name, arg, [self._balance(name, arg)], snapshot=False)
            self.hub.publish(topic, frame)

    def _publish_regularly(self) -> None:
        """What channels push although nothing happened, unless ``updateInterval`` 0 asks them not to."""
        now = self.desk.truth.now_ms
        if now - self._regular_ms < REGULAR * 1000:
            return
        self._regular_ms = now
        for name in self.desk.truth.accounts:
            for topic, arg in self._listeners("account", name):
                if _regular(arg):
                    self.hub.publish(
                        topic, self._frame(name, arg, [self._balance(name, arg)], snapshot=False)
                    )
            for topic, arg in self._listeners("positions", name):
                positions = self._of(arg, self.desk.truth.positions(name)) if _regular(arg) else []
                rows = [position_row(self.desk, position) for position in positions]
                if rows:
                    self.hub.publish(topic, self._frame(name, arg, rows, snapshot=False))

    def _publish_warnings(self) -> None:
        """Positions close to liquidation, each at most every ten seconds (simulated)."""
        for name in self.desk.truth.accounts:
            for topic, arg in self._listeners("liquidation-warning", name):
                rows = []
                for position in self._of(arg, self.desk.truth.positions(name)):
                    row = position_row(self.desk, position)
                    if (
                        row["mgnRatio"]
                        and Decimal(row["mgnRatio"]) <= WARNED
                        and self._due(name, row["posId"])
                    ):
                        rows.append(row)
                if rows:
                    self.hub.publish(topic, self._frame(name, arg, rows))

    def _due(self, name: str, position: str) -> bool:
        now = self.desk.truth.now_ms
        if now - self._warned.get((name, position), -10_000) < 10_000:
            return False
        self._warned[name, position] = now
        return True

    # -- order entry ---------------------------------------------------------------------------------------------

    async def operation(self, session: OkxSession, op: str, message: Mapping[str, Any]) -> bool:
        command = _COMMANDS.get(op)
        if command is None:
            return False
        name, request_id = session.account, message.get("id")
        try:
            if name is None:
                raise ApiError(60011, "Please log in")
            if request_id is None:
                raise ApiError(60013, "Invalid args")
            entries = self._entries(name, command, message.get("args"))
        except ApiError as error:
            if request_id is None or error.code.startswith("60"):
                session.error(error)
            else:
                self._answer(session, message, [], error.code, error.message)
            return True
        await self._carry_out(session, name, message, command, entries)
        return True

    def _entries(self, name: str, command: _Command, args: Any) -> list[Mapping[str, Any]]:
        """The orders of a request, counted against the limits that REST and the websocket share."""
        if not isinstance(args, list) or not args or not all(isinstance(one, dict) for one in args):
            raise ApiError(60013, "Invalid args")
        if len(args) > (LARGEST_BATCH if command.batch else 1):
            raise ApiError(60013, "Invalid args")
        if "trade" not in account.permissions(self.desk, name).split(","):
            raise ApiError(50120, "This API key doesn't have permission to use this function")
        for one in args:
            contract = str(one.get("instId") or self.desk.by_code.get(str(one.get("instIdCode")), ""))
            state = self.desk.charge(command.limit, f"{name}{command.path}/{contract}")
            if self.desk.settings.rate_limits and state.exceeded:
                raise ApiError(50011, "Too Many Requests")
        return args

    def _answer(
        self,
        session: OkxSession,
        message: Mapping[str, Any],
        rows: Sequence[Any],
        code: str,
        text: str,
        came: int | None = None,
    ) -> None:
        reply: dict[str, Any] = {"id": str(message.get("id")), "op": message["op"], "code": code, "msg": text}
        reply["data"] = list(rows)
        now = self.desk.now_ms() * 1000
        reply |= {"inTime": str(came if came is not None else now), "outTime": str(now + 1)}
        session.send(encode(reply))

    async def _carry_out(
        self,
        session: OkxSession,
        name: str,
        message: Mapping[str, Any],
        command: _Command,
        entries: Sequence[Mapping[str, Any]],
    ) -> None:
        desk, came = self.desk, self.desk.now_ms() * 1000

        async def execute() -> tuple[list[Any], str, str]:
            try:
                rows = trade.carry_out(desk, name, command.run, entries, str(message.get("expTime") or ""))
            except ApiError as error:
                return [], error.code, error.message
            return rows, *trade.outcome_of(rows)

        def failed(failure: Failure) -> tuple[list[Any], str, str]:
            outcome = failure_outcome(failure, order=True)
            code, text = outcome.code, outcome.message
            if not is_order_code(code):
                return [], code, text
            rows = [trade.failed_row(desk, command.run, one, code, text) for one in entries]
            return rows, "1", "All operations failed"

        symbol = entries[0].get("instId") or desk.by_code.get(str(entries[0].get("instIdCode")))
        try:
            rows, code, text = await desk.venue.perform(
                command.name,
                execute,
                failed,
                account=name,
                symbol=symbol if isinstance(symbol, str) else None,
            )
        except ReplyLost:
            session.drop()
            return
        self._answer(session, message, rows, code, text, came)


def _regular(arg: Mapping[str, Any]) -> bool:
    """Whether a subscription wants pushes without an event."""
    extra = arg.get("extraParams")
    if not isinstance(extra, str):
        return True
    try:
        found = json.loads(extra)
    except ValueError:
        return True
    return not isinstance(found, dict) or str(found.get("updateInterval")) != "0"
