"""The OKX section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OkxSettings(BaseModel):
    """Nothing can be set yet: the adapter is not part of this release."""

    model_config = ConfigDict(extra="forbid", frozen=True)
