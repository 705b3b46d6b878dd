"""Who may broadcast: encodings, keys, signatures over SignDoc, sequences, nonces and replays."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tests.exchanges.dydx.localnet.venue import BUY, IOC, Dydx, message, packed

from fundingarb_dydx.localnet.keys import address_of, new_credentials, private_key_of, public_key_of
from fundingarb_dydx.localnet.protobuf import DecodeError, decode

pytestmark = pytest.mark.anyio


async def refusal(dydx: Dydx, data: bytes) -> tuple[str, int]:
    result = await dydx.broadcast(data)
    assert result["log"] != "[]"
    return result["codespace"], result["code"]


async def short(dydx: Dydx, client_id: int = 1) -> bytes:
    """A short-term order."""
    return dydx.main.place(client_id, BUY, 10_000_000, 90_000_000, block=await dydx.height() + 5, tif=IOC)


def long(dydx: Dydx, client_id: int) -> bytes:
    return dydx.main.place(client_id, BUY, 10_000_000, 90_000_000, time=dydx.now + 600)


async def test_what_is_signed_counts(dydx: Dydx) -> None:
    order, signer = await short(dydx), dydx.main
    assert await refusal(dydx, signer.sign(order, chain="dydx-mainnet-1")) == ("sdk", 4)
    assert await refusal(dydx, signer.sign(order, number=signer.number + 1)) == ("sdk", 4)
    data = bytearray(signer.sign(order))
    data[-1] ^= 1
    assert await refusal(dydx, bytes(data)) == ("sdk", 4)
    assert (await dydx.broadcast(signer.sign(order)))["code"] == 0


async def test_only_the_owner_signs(dydx: Dydx) -> None:
    mine, other = dydx.main, dydx.signers["other"]
    # the other's key under my order, and my order with the other's key named in it
    assert await refusal(dydx, other.sign(await short(dydx))) == ("sdk", 8)
    stranger = mine.place(1, BUY, 10_000_000, 90_000_000, block=await dydx.height() + 5)
    unknown = stranger.replace(mine.address.encode(), b"dydx1" + b"q" * (len(mine.address) - 5))
    assert await refusal(dydx, mine.sign(unknown)) == ("sdk", 9)


async def test_nonsense_is_a_parse_error(dydx: Dydx) -> None:
    assert await refusal(dydx, b"nonsense") == ("sdk", 2)
    transfer = packed("/dydxprotocol.sending.MsgCreateTransfer", message(f1=b"x"))
    assert await refusal(dydx, dydx.main.sign(transfer)) == ("sdk", 2)
    two = dydx.main.sign(await short(dydx, 1), await short(dydx, 2))
    assert await refusal(dydx, two) == ("sdk", 18)
    answer = await dydx.get("/broadcast_tx_sync", tx="0xzz", answer=500)
    assert answer["error"]["code"] == -32602


async def test_the_same_transaction_twice(dydx: Dydx) -> None:
    data = dydx.main.sign(await short(dydx))
    assert (await dydx.broadcast(data))["code"] == 0
    answer = await dydx.get("/broadcast_tx_sync", tx="0x" + data.hex(), answer=500)
    assert answer["error"]["data"] == "tx already exists in cache"


async def test_a_short_term_order_needs_no_sequence_and_is_not_taken_twice(dydx: Dydx) -> None:
    order = await short(dydx)
    assert (await dydx.broadcast(dydx.main.sign(order, sequence=77)))["code"] == 0
    assert dydx.sequence() == 0
    assert await refusal(dydx, dydx.main.sign(order, sequence=78)) == ("clob", 30)


async def test_sequences(dydx: Dydx) -> None:
    signer = dydx.main
    assert await refusal(dydx, signer.sign(long(dydx, 1), sequence=1)) == ("sdk", 32)
    assert (await dydx.broadcast(signer.sign(long(dydx, 1), sequence=0)))["code"] == 0
    assert await refusal(dydx, signer.sign(long(dydx, 2), sequence=0)) == ("sdk", 32)
    answer = await dydx.get(f"/cosmos/auth/v1beta1/account_info/{signer.address}")
    assert answer["info"]["sequence"] == "1"
    # what the order book refuses uses up no sequence
    assert await refusal(dydx, signer.sign(long(dydx, 1), sequence=1)) == ("clob", 3005)
    assert (await dydx.broadcast(signer.sign(long(dydx, 2), sequence=1)))["code"] == 0


async def test_time_stamps_as_sequences(dydx: Dydx) -> None:
    signer, now = dydx.main, round(dydx.clock.now() * 1000)
    assert await refusal(dydx, signer.sign(long(dydx, 1), sequence=now - 31_000)) == ("sdk", 32)
    assert await refusal(dydx, signer.sign(long(dydx, 1), sequence=now + 31_000)) == ("sdk", 32)
    assert (await dydx.broadcast(signer.sign(long(dydx, 1), sequence=now - 5)))["code"] == 0
    # each once, in any order
    assert await refusal(dydx, signer.sign(long(dydx, 2), sequence=now - 5)) == ("sdk", 32)
    assert (await dydx.broadcast(signer.sign(long(dydx, 2), sequence=now - 9)))["code"] == 0
    assert dydx.sequence() == 0


async def test_the_last_block_of_a_transaction(dydx: Dydx) -> None:
    signer, height = dydx.main, await dydx.height()
    assert await refusal(dydx, signer.sign(long(dydx, 1), last=height - 1)) == ("sdk", 30)
    # taken, though no block is left that may have it: nothing comes of it, and it used a sequence up
    assert (await dydx.broadcast(signer.sign(long(dydx, 1), last=height)))["code"] == 0
    assert (await dydx.broadcast(signer.sign(long(dydx, 2), sequence=1, last=height + 1)))["code"] == 0
    dydx.block()
    assert [row["clientId"] for row in await dydx.orders()] == ["2"]
    cancel = signer.cancel(2, time=dydx.now + 700)
    assert (await dydx.broadcast(signer.sign(cancel, sequence=2, last=height + 1)))["code"] == 0
    dydx.block()
    assert [row["status"] for row in await dydx.orders()] == ["OPEN"]
    assert (await dydx.broadcast(signer.sign(cancel, sequence=3, last=height + 9)))["code"] == 0
    dydx.block()
    assert [row["status"] for row in await dydx.orders()] == ["CANCELED"]


async def test_rates_of_long_term_orders(dydx: Dydx) -> None:
    signer, now = dydx.main, round(dydx.clock.now() * 1000)
    for number in (1, 2):
        assert (await dydx.broadcast(signer.sign(long(dydx, number), sequence=now + number)))["code"] == 0
    assert await refusal(dydx, signer.sign(long(dydx, 3), sequence=now + 3)) == ("clob", 5001)
    dydx.block()
    assert (await dydx.broadcast(signer.sign(long(dydx, 3), sequence=now + 3)))["code"] == 0


async def test_windows_and_steps(dydx: Dydx) -> None:
    height = await dydx.height()
    codes: list[tuple[int, dict[str, Any]]] = [
        (10, {"block": height}),
        (11, {"block": height + 22}),
        (3003, {"time": dydx.now - 1}),
        (3004, {"time": dydx.now + 96 * 86_400}),
        (3002, {"time": dydx.now + 60, "tif": IOC}),
        (3000, {"block": height + 5, "flags": 7}),
        (9002, {"time": dydx.now + 60, "flags": 32}),
        (9003, {"block": height + 5, "reduce_only": True}),
        (48, {"block": height + 5, "tif": 3}),
        (2001, {"block": height + 5, "tif": IOC, "reduce_only": True}),
        (8, {"block": height + 5, "pair": 77}),
    ]
    for number, (code, fields) in enumerate(codes):
        await dydx.order(number, BUY, "0.001", "900", expect=code, **fields)
    await dydx.order(50, BUY, "0.00015", "900", expect=4)
    await dydx.order(51, BUY, "0.001", "900.5", expect=6)
    await dydx.order(52, 3, "0.001", "900", expect=3)
    await dydx.order(53, BUY, "0.001", "900", block=height + 21)


async def test_a_cancelled_number_is_not_placed_again(dydx: Dydx) -> None:
    height = await dydx.height()
    cancel = dydx.main.sign(dydx.main.cancel(4, block=height + 8))
    assert (await dydx.broadcast(cancel))["code"] == 0
    await dydx.order(4, BUY, "0.001", "900", block=height + 8, expect=7)
    again = dydx.main.sign(dydx.main.cancel(4, block=height + 8), sequence=3)
    assert await refusal(dydx, again) == ("clob", 9)
    await dydx.order(4, BUY, "0.001", "900", block=height + 9)


def test_keys_are_those_of_the_words() -> None:
    """Known values of BIP-39, BIP-32 and bech32, and a key that the derivation gives back."""
    words = "abandon " * 11 + "about"
    private = private_key_of(words)
    assert f"{private:064x}" == "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104"
    assert address_of(public_key_of(private)) == "dydx19rl4cm2hmr8afy4kldpxz3fka4jguq0a4erelz"
    credentials = new_credentials(Random(5))
    again = private_key_of(credentials.extra["mnemonic"])
    assert f"{again:064x}" == credentials.api_secret
    assert address_of(public_key_of(again)) == credentials.api_key
    assert credentials.api_key.startswith("dydx1")


@pytest.mark.parametrize("data", [b"\x08", b"\x0a\x05ab", b"\x0b", b"\x00\x01", b"\x08" + b"\xff" * 11])
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)
