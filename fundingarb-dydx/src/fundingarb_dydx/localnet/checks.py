"""What a node asks of a transaction before it takes it (CheckTx)."""

from __future__ import annotations

import hashlib

from fundingarb.localnet.truth.types import OrderRequest, Refused, Side, TimeInForce
from fundingarb_dydx.localnet.chain import ChainAccount, NonceRefused
from fundingarb_dydx.localnet.codes import ChainRefused, clob, sdk
from fundingarb_dydx.localnet.contracts import CHAIN_ID, STEP_QUANTUMS, Perpetual, order_uuid, subaccount_uuid
from fundingarb_dydx.localnet.desk import SUBACCOUNT, Desk
from fundingarb_dydx.localnet.keys import verify
from fundingarb_dydx.localnet.orders import FILLED
from fundingarb_dydx.localnet.protobuf import DecodeError
from fundingarb_dydx.localnet.transactions import (
    CONDITIONAL,
    FOK,
    IOC,
    LONG_TERM,
    POST_ONLY,
    SHORT_TERM,
    Admitted,
    BatchCancel,
    CancelOrder,
    ClobMessage,
    OrderId,
    PlaceOrder,
    Transaction,
    clob_messages,
    decode_transaction,
    sign_document,
)

__all__ = ["Checks", "digest_of", "id_of", "owner_of"]

SHORT_BLOCK_WINDOW = 20
STATEFUL_WINDOW = 95 * 86_400
"""Seconds a long-term order may be good for."""
BATCH_LIMIT = 100
STATEFUL_PER_BLOCK, STATEFUL_PER_HUNDRED = 2, 20
"""Long-term placements and cancels of an address in a block, and in a hundred."""
EQUITY_TIERS = ((100_000, 200), (10_000, 100), (1_000, 10), (100, 5), (20, 1), (0, 0))
"""Equity from which so many long-term orders may be open."""


def id_of(order: OrderId) -> str:
    """The indexer's id of an order."""
    return order_uuid(
        subaccount_uuid(order.owner, order.subaccount), order.client_id, order.clob_pair, order.flags
    )


def digest_of(data: bytes) -> str:
    """The hash of a transaction."""
    return hashlib.sha256(data).hexdigest().upper()


class Checks:
    """A node's checks, with the cancellations it remembers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.cancels: dict[str, int] = {}
        """Short-term cancellations by order id: the block until which they hold."""
        self.cancelling: set[str] = set()
        """Long-term orders whose cancellation waits for a block."""

    def admit(self, data: bytes) -> Admitted:
        """Who sends what. Raises ``ChainRefused``."""
        try:
            transaction = decode_transaction(data)
            messages = clob_messages(transaction)
        except DecodeError as error:
            raise sdk(2, str(error)) from None
        if len(messages) > 1:
            raise sdk(
                18, "a transaction containing an off-chain message may not contain more than one message"
            )
        message, last = messages[0], transaction.timeout_height
        if last and self._desk.chain.height > last:
            raise sdk(30, f"block height: {self._desk.chain.height}, timeout height: {last}")
        signer = self._signer(transaction, owner_of(message))
        stateful = not _short_term(message)
        if stateful:
            self._sequence(signer, transaction.sequence)
        self._signature(signer, transaction)
        self._check(signer, message)
        if stateful:
            signer.use(transaction.sequence)
            signer.stateful.append(self._desk.chain.height + 1)
        return Admitted(signer.name, message, last)

    def _signer(self, transaction: Transaction, owner: str) -> ChainAccount:
        account = self._desk.chain.accounts.get(owner)
        if account is None:
            raise sdk(9, f"account {owner} does not exist")
        if transaction.public_key and transaction.public_key != account.public_key:
            raise sdk(8, f"pubKey does not match signer address {owner} with signer index: 0")
        return account

    def _sequence(self, account: ChainAccount, sequence: int) -> None:
        try:
            account.check(sequence, self._desk.venue.age_ms(sequence))
        except NonceRefused as refused:
            raise ChainRefused("sdk", 32, str(refused)) from None

    def _signature(self, account: ChainAccount, transaction: Transaction) -> None:
        document = sign_document(transaction, CHAIN_ID, account.number)
        if not verify(account.public_key, document, transaction.signature):
            raise sdk(
                4,
                f"signature verification failed; please verify account number ({account.number}), sequence "
                f"({account.sequence}) and chain-id ({CHAIN_ID})",
            )

    # -- order messages --------------------------------------------------------------------------------------

    def _check(self, account: ChainAccount, message: ClobMessage) -> None:
        if isinstance(message, PlaceOrder):
            self._check_place(account, message)
        elif isinstance(message, CancelOrder):
            if message.id.short_term:
                self._check_short_cancel(message.id, message.good_til)
            else:
                self._check_long_cancel(account, message)
        else:
            self._check_batch(message)

    def _check_place(self, account: ChainAccount, order: PlaceOrder) -> None:
        if order.side not in (1, 2):
            raise clob(3, "invalid order side")
        if not order.quantums:
            raise clob(4, "order size quantums cannot be 0")
        if not order.subticks:
            raise clob(6, "order subticks cannot be 0")
        if order.time_in_force == FOK:
            raise clob(48, "fill-or-kill has been deprecated and will be removed in future versions")
        if order.time_in_force not in (0, IOC, POST_ONLY):
            raise clob(42, f"time in force {order.time_in_force}")
        if order.id.flags == CONDITIONAL:
            raise clob(9002, "conditional orders are not offered by this localnet")
        if order.id.flags not in (SHORT_TERM, LONG_TERM):
            raise clob(3000, f"invalid order flag {order.id.flags}")
        if order.reduce_only and order.time_in_force != IOC:
            raise clob(9003, "reduce only orders must be short term IOC orders")
        perpetual = self._pair(order.id)
        if order.quantums % STEP_QUANTUMS:
            raise clob(4, f"order base quantums {order.quantums} must be a multiple of {STEP_QUANTUMS}")
        if order.subticks % perpetual.subticks_per_tick:
            raise clob(
                6, f"order subticks {order.subticks} must be a multiple of {perpetual.subticks_per_tick}"
            )
        if order.id.short_term:
            self._check_short(account, order, perpetual)
        else:
            self._check_long(account, order, perpetual)

    def _pair(self, order: OrderId) -> Perpetual:
        found = self._desk.pairs.get(order.clob_pair)
        if found is None:
            raise clob(8, f"clob pair {order.clob_pair} is not a valid clob pair")
        return found

    def _block_window(self, good_til: int) -> None:
        following = self._desk.chain.height + 1
        if not good_til:
            raise clob(5, "order goodTilBlock cannot be 0")
        if good_til < following:
            raise clob(10, f"GoodTilBlock {good_til} is less than the current blockHeight {following}")
        if good_til > following + SHORT_BLOCK_WINDOW:
            raise clob(
                11,
                f"The GoodTilBlock {good_til} exceeds the current blockHeight {following} plus "
                f"ShortBlockWindow {SHORT_BLOCK_WINDOW}",
            )

    def _check_short(self, account: ChainAccount, order: PlaceOrder, perpetual: Perpetual) -> None:
        self._block_window(order.good_til)
        name = id_of(order.id)
        if self.cancels.get(name, 0) >= order.good_til:
            raise clob(7)
        known = self._desk.orders.get(name)
        if known is not None and known.message.good_til > self._desk.chain.height:
            if known.message == order:
                raise clob(30)
            if known.status == FILLED:
                raise clob(24)
            if known.live and order.good_til <= known.message.good_til:
                raise clob(20, "existing order has a greater or equal priority")
        if order.reduce_only and not self._reduces(account, order, perpetual):
            raise clob(2001)
        if order.time_in_force == POST_ONLY and self._crosses(order, perpetual):
            raise clob(2003)

    def _reduces(self, account: ChainAccount, order: PlaceOrder, perpetual: Perpetual) -> bool:
        row = self._desk.positions.open(account.name, perpetual.ticker)
        return row is not None and row.long == (order.side == 2)

    def _crosses(self, order: PlaceOrder, perpetual: Perpetual) -> bool:
        book = self._desk.truth.book(perpetual.ticker, 1)
        price = perpetual.price(order.subticks)
        if order.side == 1:
            return bool(book.asks) and price >= book.asks[0][0]
        return bool(book.bids) and price <= book.bids[0][0]

    def _time_window(self, good_til: int) -> None:
        now = self._desk.chain.time_ms // 1000
        if not good_til:
            raise clob(3001, "stateful order goodTilBlockTime cannot be 0")
        if good_til <= now:
            raise clob(3003, f"GoodTilBlockTime {good_til} is less than or equal to the block time {now}")
        if good_til > now + STATEFUL_WINDOW:
            raise clob(3004, f"GoodTilBlockTime {good_til}")

    def _check_long(self, account: ChainAccount, order: PlaceOrder, perpetual: Perpetual) -> None:
        if order.time_in_force == IOC:
            raise clob(3002, "long-term orders cannot require immediate execution")
        self._time_window(order.good_til)
        known = self._desk.orders.get(id_of(order.id))
        if known is not None and known.live:
            raise clob(3005)
        self._block_rate(account)
        self._equity_tier(account)
        side = Side.BUY if order.side == 1 else Side.SELL
        request = OrderRequest(
            perpetual.ticker,
            side,
            perpetual.quantity(order.quantums),
            price=perpetual.price(order.subticks),
            time_in_force=TimeInForce.GTC,
        )
        if order.id.subaccount != SUBACCOUNT:
            raise clob(3007)
        try:
            self._desk.truth.check(account.name, request)
        except Refused as refused:
            raise clob(3007, refused.detail) from None

    def _block_rate(self, account: ChainAccount) -> None:
        following = self._desk.chain.height + 1
        while account.stateful and account.stateful[0] <= following - 100:
            account.stateful.popleft()
        now = sum(1 for height in account.stateful if height == following)
        if now >= STATEFUL_PER_BLOCK or len(account.stateful) >= STATEFUL_PER_HUNDRED:
            raise clob(5001, f"rate of long-term orders and cancels of {account.address} exceeds the limit")

    def _equity_tier(self, account: ChainAccount) -> None:
        equity = self._desk.truth.state(account.name).equity
        allowed = next((limit for from_equity, limit in EQUITY_TIERS if equity >= from_equity), 0)
        resting = sum(1 for r in self._desk.orders.live() if r.account == account.name and not r.short_term)
        if resting >= allowed:
            raise clob(
                10001, f"Opening order would exceed equity tier limit of {allowed}. Order count: {resting}"
            )

    def _check_short_cancel(self, order: OrderId, good_til: int) -> None:
        self._pair(order)
        self._block_window(good_til)
        if self.cancels.get(id_of(order), 0) >= good_til:
            raise clob(9)

    def _check_long_cancel(self, account: ChainAccount, cancel: CancelOrder) -> None:
        if cancel.id.flags != LONG_TERM:
            raise clob(3000, f"invalid order flag {cancel.id.flags}")
        self._pair(cancel.id)
        self._time_window(cancel.good_til)
        name = id_of(cancel.id)
        known = self._desk.orders.get(name)
        if known is None or not known.live:
            raise clob(3006, f"Order Id to cancel does not exist. OrderId: {name}")
        if name in self.cancelling:
            raise clob(32)
        if cancel.good_til < known.message.good_til:
            raise clob(29, "cancellation goodTilBlockTime less than stateful order goodTilBlockTime")
        self._block_rate(account)

    def _check_batch(self, batch: BatchCancel) -> None:
        if not batch.ids:
            raise clob(45, "Batch cancel cannot have zero orders")
        if len(batch.ids) > BATCH_LIMIT:
            raise clob(45, f"Batch cancel cannot have over {BATCH_LIMIT} orders")
        if len(set(batch.ids)) != len(batch.ids):
            raise clob(45, "Batch cancel cannot have duplicate cancels")
        self._block_window(batch.good_til)
        for order in batch.ids:
            self._pair(order)


def owner_of(message: ClobMessage) -> str:
    return message.owner if isinstance(message, BatchCancel) else message.id.owner


def _short_term(message: ClobMessage) -> bool:
    """Such messages are protected from replay by their last block; the chain asks for no sequence."""
    return isinstance(message, BatchCancel) or message.id.short_term
