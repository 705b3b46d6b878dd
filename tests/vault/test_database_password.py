"""The database's password: in the vault, never in a configuration that real keys go with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fundingarb.config import Config, load_config
from fundingarb.errors import ConfigError
from fundingarb.ports import Secret
from fundingarb.store import remember_password
from fundingarb.store.database import parse_url
from fundingarb.unlocking import take_database_password
from fundingarb.vault import LEAST_COSTS, Vault

PASSWORD = "correct horse battery"
URL = "postgresql://me@127.0.0.1/books"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    remember_password(None)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.create(tmp_path / "private" / "credentials.vault", PASSWORD, LEAST_COSTS)


def config(url: str, network: str = "testnet", in_vault: bool = True) -> Config:
    settings = {"database.url": url, "database.password_in_vault": in_vault, "network": network}
    return load_config(None, settings, {})


def test_the_vault_has_it(vault: Vault) -> None:
    with pytest.raises(ConfigError, match="fundingarb vault add secret database-password"):
        take_database_password(config(URL), lambda: vault)
    vault.put_secret("database-password", Secret("of-the-database"))
    take_database_password(config(URL), lambda: vault)
    found = parse_url(URL)
    assert found.url.password == "of-the-database"
    assert "of-the-database" not in str(found)
    assert parse_url("postgresql://me:other@host/books").url.password == "other"
    assert parse_url("sqlite:///x.db").url.password is None


def test_nobody_is_asked_for_it_otherwise(vault: Vault) -> None:
    def never() -> Vault:
        raise AssertionError

    take_database_password(config(URL, in_vault=False), never)
    assert parse_url(URL).url.password is None


@pytest.mark.parametrize("network", ["testnet", "mainnet"])
@pytest.mark.parametrize(
    "url", ["postgresql://me:of-the-database@host/books", f"{URL}?password=of-the-database"]
)
def test_it_is_refused_in_the_configuration(network: str, url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url: holds a password; remove it") as caught:
        config(url, network)
    assert "of-the-database" not in str(caught.value)
    assert config(url, "localnet").network == "localnet"
