"""What can be configured, with defaults and limits. Fractions are fractions (0.0001 is one basis point)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fundingarb.config.leverage import DEFAULT, leverage_for
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.health import MarginRules
from fundingarb.domain.opportunity import PRESETS, EntryRules
from fundingarb.folders import USUAL_FOLDER

NETWORKS = ("localnet", "testnet", "mainnet")

SYMBOL = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,10}")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SQL_URL = re.compile(r"(sqlite|postgresql|postgres|postgresql\+psycopg|sqlite\+pysqlite)://.*", re.DOTALL)

SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("SOURCES", default=())
"""Where the configuration that is being loaded comes from besides overrides, first wins."""


def problem(text: str, *key: str) -> PydanticCustomError:
    """A refusal; ``key`` leads from the value that is being validated to the one at fault."""
    return PydanticCustomError("config", "{text}", {"text": text, "key": list(key)})


def _symbol(value: str) -> str:
    symbol = value.upper()
    if SYMBOL.fullmatch(symbol):
        return symbol
    for settle in ("USDT", "USDC", "USD"):
        plain = re.sub(r"[^A-Z0-9]", "", symbol)
        if plain.endswith(settle) and len(plain) > len(settle):
            raise problem(f"is not a symbol; did you mean {plain[: -len(settle)]}-{settle}?")
    raise problem("is not a symbol; write it like BTC-USDT")


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise problem("is not a name; use lower-case letters, digits, - and _")
    return value


def _words(value: Any) -> Any:
    """A list may be written as one line with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _section(value: Any) -> Any:
    return {} if value is None else value


def _by_symbol(value: Any) -> Any:
    """One value stands for ``{default: value}``; symbols are upper case."""
    if not isinstance(value, Mapping):
        return {DEFAULT: value}
    table: dict[str, Any] = {}
    for key, item in value.items():
        name = str(key)
        if name.lower() == DEFAULT:
            table[DEFAULT] = item
        elif SYMBOL.fullmatch(name.upper()):
            table[name.upper()] = item
        else:
            raise problem("is neither a symbol (such as BTC-USDT) nor `default`; correct the name", name)
    return table


def _preset(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    if name in PRESETS:
        return PRESETS[name]
    try:
        return Decimal(name)
    except InvalidOperation:
        raise problem(f"is neither a number nor one of {', '.join(PRESETS)}; write one of them") from None


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise problem("is empty; name at least one symbol, such as BTC-USDT")
    for index, value in enumerate(values):
        if value in values[:index]:
            raise problem(f"has {value} twice; remove one")
    return values


def _path(value: Path) -> Path:
    if not str(value).isprintable():
        raise problem("is not a file name; remove the control characters")
    try:
        return value.expanduser()
    except RuntimeError:
        raise problem("is in the home folder of nobody; correct what follows the ~") from None


def _database(value: str) -> str:
    if not SQL_URL.fullmatch(value) or not value.isprintable():
        raise problem("is not a database URL; write sqlite:///FILE or postgresql://USER@HOST/NAME")
    return value


Symbol = Annotated[str, AfterValidator(_symbol)]
Name = Annotated[str, AfterValidator(_name)]
Usd = Annotated[Decimal, Field(ge=0, le=Decimal(10) ** 12)]
Spread = Annotated[Decimal, Field(ge=0, le=Decimal("0.1"))]
Ratio = Annotated[Decimal, Field(gt=0, le=1)]
Tolerance = Annotated[Decimal, BeforeValidator(_preset), Field(ge=Decimal("-0.1"), le=Decimal("0.1"))]
LeverageTable = Annotated[dict[str, Annotated[int, Field(ge=1, le=125)]], BeforeValidator(_by_symbol)]
Days = Annotated[int, Field(ge=1, le=36500)]
UserPath = Annotated[Path, AfterValidator(_path)]
RawSection = Annotated[dict[str, Any], BeforeValidator(_section)]
RawSections = Annotated[dict[Name, RawSection], BeforeValidator(_section)]


class Section(BaseModel):
    """A section: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatabaseSection(Section):
    """Where the bot keeps what it did."""

    url: Annotated[str, AfterValidator(_database)] = Field(
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


class TradingSection(Section):
    """What is traded, when a hedge is opened and when it is closed."""

    symbols: Annotated[tuple[Symbol, ...], BeforeValidator(_words), AfterValidator(_unique)] = Field(
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
    negative_spread_tolerance: Annotated[dict[str, Tolerance], BeforeValidator(_by_symbol)] = Field(
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

    allow: Annotated[tuple[str, ...], BeforeValidator(_words)] | None = Field(
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


@dataclass(frozen=True)
class Origin:
    """The file a configuration came from. ``read`` is what it would be with another text in that file."""

    path: Path
    read: Callable[[str], Config]


class Config(BaseSettings):
    """The whole configuration. ``load_config`` makes it, of a file or of Python values."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: Literal["localnet", "testnet", "mainnet"] = Field(
        default="localnet", description="localnet (offline exchanges), testnet (the exchanges' own), mainnet"
    )
    ready_file: UserPath | None = Field(
        default=None, description="what `fundingarb localnet --ready-file` wrote: endpoints, keys and clock"
    )
    vault: UserPath | None = Field(
        default=None,
        description=f"the credentials vault; null is {USUAL_FOLDER}/credentials.vault, which localnet does without",
    )
    database: DatabaseSection = DatabaseSection()
    accounts: Annotated[dict[Name, AccountSection], BeforeValidator(_section)] = Field(
        default={}, description="what is traded on: name of the credentials -> exchange"
    )
    exchanges: RawSections = Field(
        default={}, description="settings of exchange plugins, by the exchange's name"
    )
    trading: TradingSection = TradingSection()
    leverage: Annotated[dict[Name, LeverageTable], BeforeValidator(_section)] = Field(
        default={}, description="leverage by account or exchange, which wins over trading.leverage"
    )
    margin: MarginSection = MarginSection()
    strategy: StrategySection = StrategySection()
    simulation: SimulationSection = SimulationSection()
    risk: RawSections = Field(default={}, description="settings of risk rules, by the rule's name")
    alerts: RawSections = Field(default={}, description="alert sinks to use besides the log, with settings")
    services: RawSections = Field(default={}, description="settings of services; `dashboard` may stand alone")
    plugins: PluginsSection = PluginsSection()
    logging: LoggingSection = LoggingSection()
    backup: BackupSection = BackupSection()

    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin | None:
        """The file it came from; None when it was made of Python values."""
        return self._origin

    def came_from(self, origin: Origin | None) -> Config:
        """This configuration, which remembers its file."""
        self._origin = origin
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Overrides first, then what ``load_config`` found. The process environment is read only where it says so."""
        return (init_settings, *SOURCES.get())

    @model_validator(mode="before")
    @classmethod
    def _aliases(cls, values: Any) -> Any:
        """An empty section is none, ``dashboard`` is ``services.dashboard``, ``testnet: true`` is a network."""
        if not isinstance(values, dict):
            return values
        values = {key: item for key, item in values.items() if item is not None}
        if "dashboard" in values:
            services = values.get("services") or {}
            if not isinstance(services, dict) or "dashboard" in services:
                raise problem("is there twice, here and in services; remove one", "dashboard")
            values["services"] = {**services, "dashboard": values.pop("dashboard")}
        return _with_network(values)

    @model_validator(mode="after")
    def _no_password_with_real_keys(self) -> Config:
        if self.network != "localnet" and hide_password(self.database.url) != self.database.url:
            raise problem(
                "holds a password; remove it, set database.password_in_vault: true and keep it in the vault: "
                "fundingarb vault add secret database-password (or in ~/.pgpass)",
                "database",
                "url",
            )
        return self

    def entry_rules(self) -> EntryRules:
        """The gates a candidate has to pass."""
        trading = self.trading
        return EntryRules(
            min_spread_base=trading.min_spread_base,
            min_spread_per_10k=trading.min_spread_per_10k,
            horizon=_time(hours=trading.horizon_hours),
            min_net_usd=trading.min_net_usd,
            max_slippage=trading.max_slippage,
            max_position_per_pair_usd=trading.max_position_per_pair_usd,
            target_size_usd=trading.target_size_usd,
            margin_use=trading.margin_use,
            fee_reserve=trading.fee_reserve,
            buffer=_time(minutes=trading.entry_buffer_minutes),
            cutoff=_time(minutes=trading.entry_cutoff),
            basis_convergence=trading.basis_convergence,
            post_only=trading.post_only_first_leg,
            max_index_deviation=trading.max_index_deviation,
        )

    def execution_policy(self) -> ExecutionPolicy:
        """How orders are worked."""
        trading = self.trading
        return ExecutionPolicy(
            slippage=trading.order_slippage_cap,
            reprice_cap=trading.reprice_cap,
            post_only=trading.post_only_first_leg,
        )

    def margin_rules(self) -> MarginRules:
        """When something is done about the margin of open hedges."""
        margin = self.margin
        return MarginRules(
            margin.warn_distance, margin.act_distance, margin.restore_distance, margin.adl_rank
        )

    def tolerance_for(self, symbol: str | None) -> Decimal:
        """The lowest 8-hour spread that a new hedge of ``symbol`` tolerates (None: of any symbol not named)."""
        table = self.trading.negative_spread_tolerance
        return table.get(symbol or DEFAULT, table.get(DEFAULT, PRESETS["moderate"]))

    def leverage_for(self, account: str, exchange: str, symbol: str) -> int:
        """Leverage of ``symbol`` on an account: account.symbol > account > exchange.symbol > exchange > trading."""
        return leverage_for(account, exchange, symbol, self.leverage, self.trading.leverage)

    def document(self) -> dict[str, Any]:
        """The configuration as JSON can carry it, for configuration revisions. Without the database's password."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        plain["database"]["url"] = hide_password(self.database.url)
        return plain


def hide_password(url: str) -> str:
    """``url`` with *** for a password in it."""
    shown = re.sub(r"(?<=://)([^/@:]*):[^@]*@", r"\1:***@", url)
    return re.sub(r"([?&](?:password|sslpassword)=)[^&]*", r"\1***", shown)


def _time(*, hours: Decimal = Decimal(0), minutes: Decimal = Decimal(0)) -> timedelta:
    return timedelta(seconds=float(hours * 3600 + minutes * 60))


def _with_network(values: dict[str, Any]) -> dict[str, Any]:
    """``testnet`` of accounts and exchanges agrees with ``network``, and sets it where it is not given."""
    flags: dict[tuple[str, str], bool] = {}
    for kind in ("accounts", "exchanges"):
        sections = values.get(kind)
        if not isinstance(sections, dict):
            continue
        for name, section in sections.items():
            flag = section.get("testnet") if isinstance(section, dict) else None
            if flag is not None:
                if str(flag).lower() not in ("true", "false"):
                    raise problem("is neither true nor false; write one of them", kind, str(name), "testnet")
                flags[kind, str(name)] = str(flag).lower() == "true"
        if kind == "exchanges":
            values[kind] = {
                name: {key: item for key, item in section.items() if key != "testnet"}
                if isinstance(section, dict)
                else section
                for name, section in sections.items()
            }
    if any(flags.values()):
        values.setdefault("network", "testnet")
    accounts = values.get("accounts")
    for name, section in accounts.items() if isinstance(accounts, dict) else ():
        wanted = section.get("network") if isinstance(section, dict) else None
        if wanted in NETWORKS and values.setdefault("network", wanted) != wanted:
            raise problem(
                f"contradicts network {values['network']}: all accounts of a bot are on one network; change one",
                "accounts",
                str(name),
                "network",
            )
    for (kind, name), flag in flags.items():
        network = values.get("network", "localnet")
        if flag is not (network == "testnet") and (flag or network == "testnet"):
            raise problem(
                f"contradicts network {network}: all accounts are on one network; remove testnet or change network",
                kind,
                name,
                "testnet",
            )
    return values
