"""Whole numbers as JSON has them: 7.0 is one, "7" and true are not."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

__all__ = ["Whole"]

LARGEST = 2**31 - 1


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(ge=0, le=LARGEST, strict=True), BeforeValidator(_whole)]
"""From 0 on."""
