"""What can be configured, with defaults and limits. Fractions are fractions (0.0001 is one basis point)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fundingarb.config.kinds import (
    MAY_BE_EMPTY,
    NETWORKS,
    LeverageTable,
    Name,
    RawSections,
    UserPath,
    problem,
)
from fundingarb.config.leverage import DEFAULT, leverage_for
from fundingarb.config.sections import (
    AccountSection,
    BackupSection,
    DatabaseSection,
    LoggingSection,
    MarginSection,
    PluginsSection,
    SimulationSection,
    StrategySection,
    TradingSection,
)
from fundingarb.domain.decide import ExecutionPolicy
from fundingarb.domain.health import MarginRules
from fundingarb.domain.opportunity import PRESETS, EntryRules
from fundingarb.folders import USUAL_FOLDER

SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("SOURCES", default=())
"""Where the configuration that is being loaded comes from besides overrides, first wins."""


@dataclass(frozen=True)
class Origin:
    """The file a configuration came from. ``read`` is what it would be with another text in that file.

    ``network`` is what the file itself says, whatever environment and command line do; None when it says nothing.
    """

    path: Path
    read: Callable[[str], Config]
    network: str | None = None


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
    accounts: Annotated[dict[Name, AccountSection], MAY_BE_EMPTY] = Field(
        default={}, description="what is traded on: name of the credentials -> exchange"
    )
    exchanges: RawSections = Field(
        default={}, description="settings of exchange plugins, by the exchange's name"
    )
    trading: TradingSection = TradingSection()
    leverage: Annotated[dict[Name, LeverageTable], MAY_BE_EMPTY] = Field(
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

    def rights_accepted(self) -> frozenset[str]:
        """The accounts whose owner answers for keys of which the exchange does not tell the rights."""
        return frozenset(name for name, section in self.accounts.items() if section.accept_unknown_rights)

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


def network_of(data: Mapping[str, Any]) -> str | None:
    """The network that the sections ``data`` say by themselves; None when they say none, or contradict each other."""
    try:
        found = _with_network({str(key).lower(): item for key, item in data.items()}).get("network")
    except PydanticCustomError:
        return None
    return None if found is None else str(found)


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
