"""What clients ask of Binance's other hosts on their way: spot time, wallet and key permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fundingarb_binance.localnet.context import Call, Context
from fundingarb_binance.localnet.gateway import Endpoint
from fundingarb_binance.localnet.numbers import money

__all__ = ["Wallet"]


class Wallet:
    """Handlers under /sapi and /api."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def endpoints(self) -> list[Endpoint]:
        def public(path: str, work: Callable[[Call], Any], operation: str) -> Endpoint:
            return Endpoint("GET", path, work, operation)

        def signed(path: str, work: Callable[[Call], Any], operation: str) -> Endpoint:
            return Endpoint("GET", path, work, operation, 1, 0, "signed")

        return [
            public("/api/v3/ping", lambda call: {}, "time.read"),
            public("/api/v3/time", self.time, "time.read"),
            public("/sapi/v1/system/status", lambda call: {"status": 0, "msg": "normal"}, "time.read"),
            Endpoint("GET", "/sapi/v1/margin/allPairs", lambda call: [], "instruments.read", 1, 0, "key"),
            signed("/sapi/v1/capital/config/getall", self.currencies, "instruments.read"),
            signed("/sapi/v1/account/apiRestrictions", self.permissions, "keys.read"),
        ]

    def time(self, call: Call) -> dict[str, Any]:
        return {"serverTime": self.context.venue.server_ms()}

    def currencies(self, call: Call) -> list[dict[str, Any]]:
        asset = self.context.truth.rules.settle
        return [
            {
                "coin": asset,
                "depositAllEnable": False,
                "withdrawAllEnable": False,
                "name": asset,
                "free": money(self.context.truth.state(call.account).available),
                "locked": "0",
                "freeze": "0",
                "withdrawing": "0",
                "ipoing": "0",
                "ipoable": "0",
                "storage": "0",
                "isLegalMoney": False,
                "trading": True,
                "networkList": [],
            }
        ]

    def permissions(self, call: Call) -> dict[str, Any]:
        """A key that may trade futures and nothing else, unless the account's credentials say otherwise."""
        extra = self.context.truth.credentials(call.account).extra
        wallet = extra.get("wallet_permissions", "")
        return {
            "ipRestrict": extra.get("ip_restricted") != "false",
            "createTime": 1_698_645_219_000,
            "enableReading": True,
            "enableWithdrawals": "Withdraw" in wallet,
            "enableInternalTransfer": "Transfer" in wallet,
            "enableMargin": False,
            "enableFutures": extra.get("read_only") != "true",
            "permitsUniversalTransfer": "Transfer" in wallet,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": False,
            "enablePortfolioMarginTrading": False,
        }
