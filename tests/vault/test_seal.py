"""The sealed bytes: every change of them is noticed, and costs out of bounds are refused before anything is derived."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from fundingarb.errors import ConfigError, WrongPassword
from fundingarb.vault import LEAST_COSTS, MOST_COSTS, Costs, VaultError
from fundingarb.vault.seal import HEADER, MAGIC, Lock, unseal

PASSWORD = "correct horse battery"
CONTENT = b"content that nobody else reads"


@pytest.fixture(scope="module")
def lock() -> Lock:
    return Lock.new(PASSWORD, LEAST_COSTS)


@pytest.fixture(scope="module")
def blob(lock: Lock) -> bytes:
    return lock.seal(CONTENT)


def refusal(blob: bytes, password: str = PASSWORD) -> ConfigError:
    with pytest.raises((VaultError, WrongPassword)) as caught:
        unseal(password, blob, "credentials.vault")
    said = str(caught.value)
    assert said.startswith("credentials.vault")
    assert said.isprintable()
    assert PASSWORD not in said
    assert CONTENT.decode() not in said
    return caught.value


def test_what_was_sealed_is_found_again(blob: bytes) -> None:
    _, content = unseal(PASSWORD, blob, "credentials.vault")
    assert content == CONTENT
    assert CONTENT not in blob
    assert PASSWORD.encode() not in blob


def test_accents_are_the_same_however_they_are_typed() -> None:
    sealed = Lock.new("pässword with umlaut", LEAST_COSTS).seal(CONTENT)
    assert unseal("pa\u0308ssword with umlaut", sealed, "x")[1] == CONTENT


@pytest.mark.parametrize("password", ["", "correct horse batterz", PASSWORD + " ", "\udcff"])
def test_another_password_does_not_open_it(blob: bytes, password: str) -> None:
    assert isinstance(refusal(blob, password), WrongPassword)


def test_each_byte_flipped_once_is_noticed(blob: bytes) -> None:
    for position in range(len(blob)):
        refusal(blob[:position] + bytes([blob[position] ^ 0xFF]) + blob[position + 1 :])


def test_every_truncation_is_noticed_and_what_is_appended(blob: bytes) -> None:
    for length in range(len(blob)):
        refusal(blob[:length])
    refusal(blob + b"\0")


def with_costs(blob: bytes, memory: int, passes: int, lanes: int) -> bytes:
    return blob[:10] + struct.pack(">III", memory, passes, lanes) + blob[22:]


@pytest.mark.parametrize(
    "costs",
    [
        (LEAST_COSTS.memory - 1, 2, 1), (8, 1, 1), (0, 2, 1), (LEAST_COSTS.memory, 1, 1), (LEAST_COSTS.memory, 2, 0),
        (MOST_COSTS.memory + 1, 2, 1), (2**32 - 1, 2**32 - 1, 2**32 - 1), (MOST_COSTS.memory, 11, 8),
        (LEAST_COSTS.memory, 2, 9), (LEAST_COSTS.memory, 2**32 - 1, 1),
    ],
)  # fmt: skip
def test_costs_out_of_bounds_are_refused_at_once(blob: bytes, costs: tuple[int, int, int]) -> None:
    began = time.process_time()  # whatever else the machine does
    error = refusal(with_costs(blob, *costs))
    assert time.process_time() - began < 0.1
    assert "out of bounds" in str(error)
    assert not isinstance(error, WrongPassword)


def test_other_costs_within_bounds_are_another_key(blob: bytes) -> None:
    """A downgrade that stays within the bounds is noticed too: the costs are part of what is authenticated."""
    assert isinstance(refusal(with_costs(blob, LEAST_COSTS.memory + 1024, 2, 1)), WrongPassword)


def test_nothing_is_sealed_with_costs_out_of_bounds() -> None:
    with pytest.raises(VaultError, match="out of bounds"):
        Lock.new(PASSWORD, Costs(8, 1, 1))


def test_the_header_is_authenticated_with_the_content(lock: Lock) -> None:
    """Content under the same lock cannot be put under another header."""
    one, other = lock.seal(b"one"), lock.seal(b"two")
    assert one[: HEADER.size] != other[: HEADER.size]
    assert one.startswith(MAGIC)
    refusal(one[: HEADER.size] + other[HEADER.size :])


def test_every_write_has_its_own_nonces(lock: Lock) -> None:
    sealed = [lock.seal(CONTENT) for _ in range(50)]
    assert len({HEADER.unpack(one[: HEADER.size])[7:9] for one in sealed}) == 50
    assert len({one[HEADER.size :] for one in sealed}) == 50


@pytest.mark.parametrize("text", [b"", b"\0", b"network: testnet\n", MAGIC, b"x" * 5000])
def test_another_file_is_no_vault(text: bytes, tmp_path: Path) -> None:
    assert "is not a vault" in str(refusal(text))
