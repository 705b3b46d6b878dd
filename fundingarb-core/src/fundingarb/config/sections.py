"""The sections of the configuration: what can be set in each, with defaults and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from fundingarb.config.kinds import (
    DatabaseUrl,
    Days,
    LeverageTable,
    Name,
    Names,
    Ratio,
    RawSection,
    Spread,
    Symbols,
    ToleranceTable,
    UserPath,
    problem,
)
from fundingarb.config.leverage import DEFAULT
from fundingarb.domain.opportunity import PRESETS
from fundingarb.folders import USUAL_FOLDER


class Section(BaseModel):
    """A section: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatabaseSection(Section):
    """Where the bot keeps what it did."""

    url: DatabaseUrl = Field(
        default=f"sqlite:///{USUAL_FOLDER}/fundingarb.db",
        description="sqlite:///FILE (relative to where the program starts, ~ is your home) or postgresql://USER@HOST/NAME",
    )
    password_in_vault: bool = Field(
        default=False,
        description="whether the vault's secret database-password goes with the URL; every command that needs the "
        "database asks for the master password then, kill too (~/.pgpass does without)",
    )


class AccountSection(Section):
    """One named set of credentials."""

    exchange: Name = Field(description="name of the exchange, as `fundingarb plugins` lists it")
    network: Literal["localnet", "testnet", "mainnet"] | None = Field(
        default=None, description="the same for all accounts; null is the configuration's `network`"
    )
    testnet: bool | None = Field(default=None, description="true means `network: testnet`")
    accept_unknown_rights: bool = Field(
        default=False,
        description="true: where the exchange does not tell what the key may do, you have seen to it that it may trade "
        "and not withdraw; without that such a key is refused with real money",
    )


class TradingSection(Section):
    """What is traded, when a hedge is opened and when it is closed."""

    symbols: Symbols = Field(
        default=("BTC-USDT", "ETH-USDT", "SOL-USDT"), description="linear perpetuals to trade"
    )
    min_spread_base: Spread = Field(
        default=Decimal("0.0001"), description="smallest 8-hour spread for a hedge of no size at all"
    )
    min_spread_per_10k: Spread = Field(
        default=Decimal("0.00001"), description="and this much more for every 10,000 USD of size"
    )
    horizon_hours: Annotated[Decimal, Field(gt=0, le=8760)] = Field(
        default=Decimal(72), description="funding expected within this time has to pay for the hedge"
    )
    min_net_usd: Annotated[Decimal, Field(ge=-(10**9), le=10**9)] = Field(
        default=Decimal(1),
        description="least expected profit over the horizon: funding - fees - slippage - basis",
    )
    max_slippage: Ratio = Field(
        default=Decimal("0.001"), description="order book depth counts up to this fraction from the touch"
    )
    basis_convergence: Annotated[Decimal, Field(ge=0, le=1)] = Field(
        default=Decimal(1),
        description="part of an adverse price difference between the exchanges that is charged",
    )
    max_index_deviation: Ratio = Field(
        default=Decimal("0.01"),
        description="index prices further apart than this are not the same instrument",
    )
    max_position_per_pair_usd: Annotated[Decimal, Field(gt=0, le=10**12)] = Field(
        default=Decimal(50000), description="largest notional per symbol"
    )
    target_size_usd: Annotated[Decimal, Field(gt=0, le=10**12)] | None = Field(
        default=None, description="wanted notional of a hedge; null takes as much as the limits allow"
    )
    margin_use: Ratio = Field(
        default=Decimal("0.8"), description="part of an account's free margin a hedge may take"
    )
    fee_reserve: Annotated[Decimal, Field(ge=0, le=Decimal("0.1"))] = Field(
        default=Decimal("0.002"),
        description="part of a leg's notional that has to be free besides its margin, for fees and slippage",
    )
    entry_buffer_minutes: Annotated[Decimal, Field(ge=15, le=30)] = Field(
        default=Decimal(20), description="hedges are opened from this long before the settlement (15 to 30)"
    )
    entry_cutoff_minutes: Annotated[Decimal, Field(ge=0, le=30)] | None = Field(
        default=None,
        description="until this long before it; null is 15, or 5 less than entry_buffer_minutes where that is less",
    )
    order_fill_timeout_seconds: Annotated[Decimal, Field(gt=0, le=3600)] = Field(
        default=Decimal(30), description="an entry that is not filled by then is given up"
    )
    settlement_guard_seconds: Annotated[Decimal, Field(ge=0, le=3600)] = Field(
        default=Decimal(60),
        description="nothing is opened or closed for its spread this close to a settlement",
    )
    funding_alarm_minutes: Annotated[Decimal, Field(ge=1, le=1440)] = Field(
        default=Decimal(15), description="a settlement that is not in the ledger by then is an alert"
    )
    funding_tolerance: Ratio = Field(
        default=Decimal("0.05"),
        description="a funding payment further from what was expected than this fraction is an alert",
    )
    reprice_cap: Ratio = Field(
        default=Decimal("0.002"),
        description="an entry follows the mid price until it has moved this fraction against it",
    )
    order_slippage_cap: Ratio = Field(
        default=Decimal("0.002"),
        description="a marketable order accepts prices up to this fraction beyond the best one (reductions widen it)",
    )
    post_only_first_leg: bool = Field(
        default=False, description="the first leg's orders may only make, never take"
    )
    negative_spread_tolerance: ToleranceTable = Field(
        default={DEFAULT: PRESETS["moderate"]},
        description="a hedge is closed when its 8-hour spread falls below: a number, or conservative (0), "
        "moderate (-0.0001), aggressive (-0.0005); per symbol where wanted",
    )
    cooldown_minutes: Annotated[Decimal, Field(ge=0, le=10080)] = Field(
        default=Decimal(60), description="no new hedge of a symbol for this long after a liquidation"
    )
    failed_entry_cooldown_minutes: Annotated[Decimal, Field(ge=0, le=1440)] = Field(
        default=Decimal(5),
        description="nor for this long after an entry whose first leg had to be unwound",
    )
    delisting_close_hours: Annotated[Decimal, Field(ge=0, le=720)] = Field(
        default=Decimal(24), description="open hedges are closed this long before an instrument is delisted"
    )
    forecast_half_life_hours: Annotated[Decimal, Field(gt=0, le=8760)] = Field(
        default=Decimal(8),
        description="today's rate is expected to come half-way to its usual level in this time",
    )
    leverage: LeverageTable = Field(
        default={DEFAULT: 5}, description="leverage, per symbol where wanted; see also the section `leverage`"
    )

    @model_validator(mode="after")
    def _window(self) -> TradingSection:
        if self.entry_cutoff >= self.entry_buffer_minutes:
            raise problem(
                f"must be less than entry_buffer_minutes ({self.entry_buffer_minutes}); lower it",
                "entry_cutoff_minutes",
            )
        return self

    @property
    def entry_cutoff(self) -> Decimal:
        """Minutes before the settlement at which the entry window closes."""
        if self.entry_cutoff_minutes is not None:
            return self.entry_cutoff_minutes
        return min(Decimal(15), self.entry_buffer_minutes - 5)


class MarginSection(Section):
    """What is done about open hedges that come near liquidation. Distances are fractions of price."""

    warn_distance: Annotated[Decimal, Field(ge=0, le=1)] = Field(
        default=Decimal("0.06"), description="nearer than this to liquidation is an alert"
    )
    act_distance: Annotated[Decimal, Field(ge=0, le=1)] = Field(
        default=Decimal("0.04"), description="nearer than this, both legs are reduced"
    )
    restore_distance: Annotated[Decimal, Field(gt=0, le=1)] = Field(
        default=Decimal("0.08"), description="until it is so far away again"
    )
    adl_rank: Annotated[int, Field(ge=1, le=5)] = Field(
        default=4,
        description="an alert from this place (1 last, 5 first) in the queue for auto-deleveraging",
    )

    @model_validator(mode="after")
    def _levels(self) -> MarginSection:
        if self.act_distance > self.warn_distance:
            raise problem(f"must not exceed warn_distance ({self.warn_distance}); lower it", "act_distance")
        if self.restore_distance <= self.act_distance:
            raise problem(
                f"must be more than act_distance ({self.act_distance}); raise it", "restore_distance"
            )
        return self


class SimulationSection(Section):
    """What a simulation has to show before its configuration goes live."""

    min_hours: Annotated[Decimal, Field(gt=0, le=8760)] = Field(
        default=Decimal(24), description="hours on testnet with the very same configuration"
    )


class StrategySection(Section):
    """What proposes hedges and exits."""

    name: str = Field(default="funding_spread", description="as `fundingarb plugins` lists it")
    settings: RawSection = Field(default={}, description="the strategy's own settings")


class PluginsSection(Section):
    """Which plugins may load."""

    allow: Names | None = Field(
        default=None, description="distributions whose plugins may load; null allows every installed one"
    )


class LoggingSection(Section):
    """What is logged, and where to."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least severity")
    file: UserPath | None = Field(default=None, description="a file; null logs to the terminal")
    folder: UserPath | None = Field(
        default=None,
        description="folder of the trade, error and debug logs; null is `logs` beside the SQLite database",
    )
    debug: bool = Field(default=False, description="everything goes to the debug log as well")
    trade_days: Days = Field(default=365, description="how long trade logs are kept")
    error_days: Days = Field(default=90, description="how long error logs are kept")
    debug_days: Days = Field(default=7, description="how long debug logs are kept")


class BackupSection(Section):
    """Copies of the database that are made daily while `fundingarb run` runs."""

    enabled: bool = Field(default=True, description="false makes none")
    folder: UserPath | None = Field(
        default=None, description="where to; null is `backups` beside the SQLite database"
    )
    keep: Annotated[int, Field(ge=1, le=10000)] = Field(default=14, description="how many are kept")
