"""Protocol buffers as far as a node's messages need them: varints, fixed 32-bit numbers, bytes, nested messages.

Written from the encoding's documentation, so that what clients build with the generated classes of their own
libraries is read by something else than those classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DecodeError", "Message", "blob", "decode", "number", "text"]

_LONGEST_VARINT = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class DecodeError(ValueError):
    """Bytes that are not the message they should be."""


@dataclass(slots=True)
class Message:
    """The fields of a message by number; of a repeated field every value, in order."""

    values: dict[int, list[int | bytes]] = field(default_factory=dict)

    def number(self, key: int) -> int:
        """The last value of a number or flag; 0 when it was left out, as the encoding does with zeros."""
        value = self.values.get(key, [0])[-1]
        if not isinstance(value, int):
            raise DecodeError(f"field {key} is not a number")
        return value

    def has(self, key: int) -> bool:
        return key in self.values

    def blob(self, key: int) -> bytes:
        """The last value of a bytes field; empty when it was left out."""
        value = self.values.get(key, [b""])[-1]
        if not isinstance(value, bytes):
            raise DecodeError(f"field {key} is not of bytes")
        return value

    def text(self, key: int) -> str:
        try:
            return self.blob(key).decode()
        except UnicodeDecodeError as error:
            raise DecodeError(f"field {key} is not UTF-8") from error

    def message(self, key: int) -> Message:
        """A nested message; an empty one when it was left out."""
        return decode(self.blob(key))

    def blobs(self, key: int) -> list[bytes]:
        """Every value of a repeated bytes or message field."""
        values = self.values.get(key, [])
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) != len(values):
            raise DecodeError(f"field {key} is not of bytes")
        return found

    def numbers(self, key: int) -> list[int]:
        """Every value of a repeated varint field, packed or not."""
        found: list[int] = []
        for value in self.values.get(key, []):
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                found.append(one)
        return found

    def only(self, *keys: int) -> Message:
        """Refuse fields that the message does not have, as a node does; the message itself."""
        for key in self.values:
            if key not in keys:
                raise DecodeError(f"unknown field {key}")
        return self


def decode(data: bytes) -> Message:
    """The fields of a message. Raises ``DecodeError``."""
    message = Message()
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        key, kind = tag >> 3, tag & 7
        if key == 0:
            raise DecodeError("field 0")
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            value, at = _take(data, at, length), at + length
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
            value, at = int.from_bytes(_take(data, at, length), "little"), at + length
        else:
            raise DecodeError(f"field {key} has wire type {kind}")
        message.values.setdefault(key, []).append(value)
    return message


def _take(data: bytes, at: int, length: int) -> bytes:
    found = data[at : at + length]
    if len(found) != length:
        raise DecodeError("cut short")
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where the next field begins."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= len(data):
            raise DecodeError("cut short")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise DecodeError("a number is too long")


# -- writing ---------------------------------------------------------------------------------------------------


def _packed(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(key: int, value: int) -> bytes:
    """A number that is not negative; nothing for 0."""
    return _packed(key << 3 | _VARINT) + _packed(value) if value else b""


def blob(key: int, value: bytes, *, keep: bool = False) -> bytes:
    """Bytes or a nested message; nothing for empty ones, unless they are to be kept (a message that is present)."""
    return _packed(key << 3 | _BYTES) + _packed(len(value)) + value if value or keep else b""


def text(key: int, value: str) -> bytes:
    return blob(key, value.encode())
