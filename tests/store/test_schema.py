"""Schemas: created, compared, upgraded, refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from tests.conftest import RunCli
from tests.store.samples import NOW, StillClock, go_back, intent

from fundingarb.errors import SchemaError, StoreError
from fundingarb.ports import Batch
from fundingarb.store import open_store, revision_of, schema, tables, upgrade
from fundingarb.store.database import make_engine, parse_url

pytestmark = pytest.mark.anyio


def on(url: str, work: Any) -> Any:
    database = parse_url(url)
    engine = make_engine(database)
    connection = engine.connect()
    try:
        return work(connection)
    finally:
        connection.close()
        engine.dispose()


def test_migrations_lead_to_the_tables_the_program_uses(url: str) -> None:
    assert upgrade(url) == (None, schema.REVISIONS[-1])

    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.metadata))

    assert on(url, differences) == []


def test_the_comparison_would_notice(url: str) -> None:
    upgrade(url)

    def change(connection: Connection) -> list[Any]:
        connection.execute(text("ALTER TABLE leases ADD COLUMN more INTEGER"))
        connection.execute(text("DROP INDEX uq_positions_live_pair"))
        return list(compare_metadata(MigrationContext.configure(connection), tables.metadata))

    assert {change[0] for change in on(url, change)} == {"remove_column", "add_index"}


def test_the_specification_s_columns_are_there(url: str) -> None:
    upgrade(url)
    wanted = {
        "positions": "id pair long_exchange short_exchange long_entry_price short_entry_price size_usd leverage_long "
        "leverage_short entry_timestamp entry_funding_spread status close_timestamp realized_pnl funding_collected",
        "trades": "id position_id exchange side action order_type price size fee timestamp order_id status",
        "funding_events": "id position_id exchange pair funding_rate payment_usd timestamp",
    }
    for table, columns in wanted.items():
        found = on(
            url, lambda connection, table=table: [c["name"] for c in inspect(connection).get_columns(table)]
        )
        assert found[: len(columns.split())] == columns.split()


def test_money_and_times_have_the_types_that_keep_them(url: str) -> None:
    upgrade(url)

    def kinds(connection: Connection) -> dict[str, str]:
        columns = inspect(connection).get_columns("trades")
        return {column["name"]: str(column["type"].compile(connection.dialect)) for column in columns}

    found = on(url, kinds)
    if url.startswith("sqlite"):
        assert found["price"].startswith("VARCHAR")  # a NUMERIC column would make binary floats of digits
        assert found["timestamp"].startswith("VARCHAR")
    else:
        assert found["price"] == "NUMERIC(38, 18)"
        assert found["timestamp"] == "TIMESTAMP WITH TIME ZONE"
        assert found["id"] == "UUID"


def test_revisions_known_are_the_revisions_there_are() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    scripts = ScriptDirectory.from_config(config)
    found = list(scripts.walk_revisions())
    assert tuple(script.revision for script in reversed(found)) == schema.REVISIONS


async def test_an_empty_database_is_created(url: str) -> None:
    assert revision_of(url) is None
    async with open_store(url, StillClock()):
        pass
    assert revision_of(url) == schema.REVISIONS[-1]
    assert upgrade(url) == (schema.REVISIONS[-1], schema.REVISIONS[-1])


async def test_a_newer_schema_is_refused(url: str) -> None:
    upgrade(url)
    on(url, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    for migrate in (True, False):
        with pytest.raises(SchemaError, match="has schema 9999, which this version does not know"):
            async with open_store(url, StillClock(), migrate=migrate):
                pytest.fail("opened")
    with pytest.raises(SchemaError, match="9999"):
        upgrade(url)


async def test_an_older_schema_is_refused_or_upgraded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(url)
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9998"))
    with pytest.raises(SchemaError, match="run fundingarb db upgrade"):
        async with open_store(url, StillClock()):
            pytest.fail("opened")

    ran = []

    def pretend(connection: Connection, database: object) -> None:
        ran.append(database)
        connection.execute(text("UPDATE alembic_version SET version_num = '9998'"))

    monkeypatch.setattr(schema, "_migrate", pretend)
    async with open_store(url, StillClock(), migrate=True):
        pass
    assert len(ran) == 1
    assert revision_of(url) == "9998"


def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    on(url, lambda connection: connection.execute(text("CREATE TABLE trades (mine INTEGER)")))
    with pytest.raises(StoreError, match="already exists") as caught:
        upgrade(url)
    assert "\n" not in str(caught.value)
    assert on(url, lambda connection: inspect(connection).get_table_names()) == ["trades"]
    assert revision_of(url) is None


def test_every_migration_has_a_way_back(url: str) -> None:
    upgrade(url)

    for revision in reversed(("base", *schema.REVISIONS[:-1])):
        go_back(url, revision)
        assert revision_of(url) == (None if revision == "base" else revision)
    assert on(url, lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]
    upgrade(url)
    assert revision_of(url) == schema.REVISIONS[-1]


async def test_hedges_of_before_get_their_numbers_in_the_order_in_which_they_were_made(url: str) -> None:
    made = [
        intent(1, "A-USDT", created_at=NOW),
        intent(2, "B-USDT", created_at=NOW - timedelta(hours=2)),
        intent(3, "C-USDT", created_at=NOW - timedelta(hours=1)),
    ]
    async with open_store(url, StillClock()) as store:
        await store.commit(Batch(intents=tuple(made)))

    go_back(url, "0007")
    upgrade(url)
    async with open_store(url, StillClock()) as store:
        found = {hedge.symbol: hedge.number for hedge in await store.hedges()}
    assert found == {"B-USDT": 1, "C-USDT": 2, "A-USDT": 3}


def test_upgrade_and_current_on_the_command_line(url: str, run_cli: RunCli, tmp_path: Path) -> None:
    newest = schema.REVISIONS[-1]
    config = tmp_path / "config.yaml"
    config.write_text(f"database:\n  url: {url}\n")
    first = run_cli("db", "current", "--url", url)
    assert (first.returncode, first.stderr) == (0, "")
    assert f"no schema yet, this version needs {newest}; run fundingarb db upgrade" in first.stdout
    created = run_cli("db", "upgrade", "--config", str(config))
    assert (created.returncode, created.stderr) == (0, "")
    assert created.stdout.endswith(f"created with schema {newest}\n")
    assert run_cli("db", "upgrade", "--url", url).stdout.endswith(f"schema {newest}, nothing to do\n")
    by_environment = run_cli("db", "current", env={"FUNDINGARB__DATABASE__URL": url})
    assert by_environment.stdout.endswith(f"schema {newest}, this version needs {newest}\n")
    assert "correct-horse" not in first.stdout + created.stdout + by_environment.stdout


def test_a_failure_on_the_command_line_is_one_line(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is not a database, it is a text of some length\n" * 50)
    for url, problem in {
        f"sqlite:///{tmp_path}/notes.txt": "file is not a database; choose another file",
        f"sqlite:///{tmp_path}/notes.txt/a.db": "cannot be opened",
        "postgresql://bot:s3cret-word@127.0.0.1:1/x": "refused",
        "mysql://bot:s3cret-word@localhost/x": "not supported",
        "nonsense": "cannot be read",
    }.items():
        done = run_cli("db", "upgrade", "--url", url)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert problem in done.stderr
        assert "s3cret" not in done.stderr
    assert (tmp_path / "notes.txt").read_text().startswith("this is not a database")
