"""The configuration: schema, YAML file, environment, overrides."""

from __future__ import annotations

from fundingarb.config.example import example_config
from fundingarb.config.leverage import leverage_for
from fundingarb.config.loader import load_config, load_essentials, parse_config
from fundingarb.config.schema import Config

__all__ = ["Config", "example_config", "leverage_for", "load_config", "load_essentials", "parse_config"]
