"""What the machine lacks is skipped with the line that installs it, or fails where everything must be there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from tests.needs import REQUIRE_ALL, need


def test_what_is_there_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    need(present="yes", component="air", install="breathe")


def test_what_is_missing_is_skipped_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs air; install it with: breathe"):
        need(present=None, component="air", install="breathe")


def test_what_is_missing_fails_where_everything_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match="needs air; install it with: breathe"):
        need(present=None, component="air", install="breathe")


def test_the_postgresql_of_the_tests_answers(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        row = connection.execute(
            "SELECT current_database(), count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
        assert row.fetchone() == (urlsplit(postgres_url).path.lstrip("/"), 0)
