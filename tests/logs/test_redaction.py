"""Secrets are hidden in every form in which they could be written down."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest

from fundingarb import redaction
from fundingarb.domain.events import Alert, Severity
from fundingarb.engine.outbox import without_secrets
from fundingarb.errors import ConfigError, ExchangeError
from fundingarb.ports import Secret
from fundingarb.redaction import hide, redacted
from fundingarb.simulation.virtual import START

CANARY = 'Canary/9+z=&"quoted" \\é~Q'
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+canary+canary+canary+0123456789\n-----END PRIVATE KEY-----\n"


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_forms", ())


def disguises(value: str) -> dict[str, str]:
    raw = value.encode()
    return {
        "raw": value,
        "json": json.dumps({"key": value}),
        "json as it is": json.dumps({"key": value}, ensure_ascii=False),
        "repr": repr(value),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "url": quote(value),
        "url without a slash": quote(value, safe=""),
        "form": urlencode({"apiKey": value}),
        "plus": quote_plus(value),
        "lower": re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
        "base64": base64.b64encode(raw).decode(),
        "base64 for addresses": base64.urlsafe_b64encode(raw).decode(),
        "basic authentication": base64.b64encode(b"user:" + raw).decode(),
        "one more before": base64.b64encode(b"users:" + raw + b":end").decode(),
        "two more before": base64.b64encode(b"a-user:" + raw + b"-").decode(),
    }


@pytest.mark.parametrize("form", disguises(CANARY))
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    text = disguises(CANARY)[form]
    hide(CANARY)
    shown = redacted(f"before {text} after")
    assert "***" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert len(shown) < len("before *** after") + 20 < len(f"before {text} after"), (
        "no more than what is around it"
    )


def test_the_lines_of_a_private_key_are_secrets_too() -> None:
    Secret(PEM)
    assert redacted(PEM) == "***"
    assert redacted(PEM.splitlines()[1]) == "***"
    assert "canary" not in redacted(json.dumps(PEM))
    assert "BEGIN" in redacted("a key starts with -----BEGIN PRIVATE KEY-----")


def test_short_words_are_not_blotted_out() -> None:
    for value in ("", "0", "BTC", "     "):
        hide(value)
    assert redacted("BTC 0") == "BTC 0"


def test_making_a_secret_is_enough_for_errors_and_alerts() -> None:
    Secret("s3cr3t-of-binance")
    assert str(ExchangeError("binance GET /x?key=s3cr3t-of-binance", code="1")) == "binance GET /x?key=***"
    assert str(ConfigError("s3cr3t-of-binance")) == "***"
    alert = Alert(Severity.INFO, "Title", ("one", "two s3cr3t-of-binance"), START)
    assert without_secrets(alert).lines == ("one", "two ***")
    assert without_secrets(clean := Alert(Severity.INFO, "Title", ("one",), START)) is clean
