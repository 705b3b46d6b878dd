"""What nodes answer: the error codes of the chain's modules, and injected faults in their words."""

from __future__ import annotations

from dataclasses import dataclass

from fundingarb.localnet.faults import Failure, FailureKind

__all__ = ["ChainRefused", "TxResult", "clob", "failed_result", "sdk", "status_of"]

_SDK = {
    2: "tx parse error",
    4: "unauthorized",
    8: "invalid pubkey",
    9: "unknown address",
    13: "insufficient fee",
    18: "invalid request",
    19: "tx already in mempool",
    20: "mempool is full",
    30: "tx timeout height",
    32: "incorrect account sequence",
}
_CLOB = {
    3: "Invalid order side",
    4: "Invalid order quantums",
    5: "Invalid order goodTilBlock",
    6: "Invalid order subticks",
    7: "Attempt to place an order that is already canceled",
    8: "ClobPair ID does not reference a valid CLOB",
    9: "A cancel already exists in the memclob for this order with a greater than or equal GoodTilBlock",
    10: "The next block height is greater than the GoodTilBlock of the message",
    11: "The GoodTilBlock of the message is further than ShortBlockWindow blocks into the future",
    20: "Replacing an existing order failed",
    24: "Order is fully filled",
    29: "Invalid stateful order cancellation",
    30: "An order with the same `OrderId` and `OrderHash` has already been processed for this CLOB",
    32: "Existing stateful order cancellation has higher-or-equal priority than the new one",
    42: "Unexpected time in force",
    45: "Invalid batch cancel message",
    48: "This field has been deprecated",
    2001: "Reduce-only orders cannot increase the position size",
    2003: "Post-only order would cross one or more maker orders",
    3000: "Invalid order flags",
    3001: "Invalid order goodTilBlockTime",
    3002: "Stateful orders cannot require immediate execution",
    3003: "The block time is greater than the GoodTilBlockTime of the message",
    3004: "The GoodTilBlockTime of the message is further than StatefulOrderTimeWindow into the future",
    3005: "Existing stateful order has higher-or-equal priority than the new one",
    3006: "Stateful order does not exist",
    3007: "Stateful order collateralization check failed",
    5001: "Block rate limit exceeded",
    9002: "This function is not implemented",
    9003: "Reduce-only is currently disabled for non-IOC orders",
    10001: "Subaccount cannot open more orders due to equity tier limit.",
}


class ChainRefused(Exception):
    """A transaction that a node does not take: codespace, code and raw log."""

    def __init__(self, codespace: str, code: int, log: str) -> None:
        super().__init__(log)
        self.codespace = codespace
        self.code = code
        self.log = log


@dataclass(frozen=True, slots=True)
class TxResult:
    """A node's answer to a broadcast: code 0 says that it passed the node's checks, not that anything was matched."""

    hash: str
    code: int = 0
    codespace: str = ""
    log: str = "[]"


def _wrapped(detail: str, registered: str) -> str:
    return f"{detail}: {registered}" if detail else registered


def sdk(code: int, detail: str = "") -> ChainRefused:
    """A refusal by the Cosmos SDK."""
    return ChainRefused("sdk", code, _wrapped(detail, _SDK[code]))


def clob(code: int, detail: str = "") -> ChainRefused:
    """A refusal by the order book module."""
    return ChainRefused("clob", code, _wrapped(detail, _CLOB[code]))


def failed_result(failure: Failure, digest: str) -> TxResult:
    """An injected refusal of a transaction. Codes of both modules are told apart as ``sdk:32`` and ``clob:32``."""
    module, _, number = (failure.code or "").rpartition(":")
    code = int(number) if number.isdecimal() else 18
    codespace = module or ("clob" if code in _CLOB and failure.code else "sdk")
    registered = _CLOB.get(code) if codespace == "clob" else _SDK.get(code)
    return TxResult(digest, code, codespace, failure.message or registered or "invalid request")


def status_of(failure: Failure) -> int:
    """HTTP status of an injected failure."""
    if failure.status is not None:
        return failure.status
    return {
        FailureKind.SERVER_ERROR: 503,
        FailureKind.UNKNOWN: 500,
        FailureKind.RATE_LIMITED: 429,
        FailureKind.BANNED: 403,
        FailureKind.MAINTENANCE: 503,
        FailureKind.REJECTED: 400,
    }[failure.kind]
