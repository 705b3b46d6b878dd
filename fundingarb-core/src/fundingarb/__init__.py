"""Funding-rate arbitrage across exchanges, as a plugin host.

The names in ``__all__`` are the public Python API. Each is imported when it is first used (PEP 562), so that
``import fundingarb`` and ``fundingarb --help`` stay cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fundingarb.component import Component as Component
    from fundingarb.hookspecs import hookimpl as hookimpl
    from fundingarb.plugins import Plugins as Plugins
    from fundingarb.plugins import load_plugins as load_plugins
    from fundingarb.settings import PluginSettings as PluginSettings

    __version__: str

_WHERE = {
    "Component": "fundingarb.component",
    "PluginSettings": "fundingarb.settings",
    "Plugins": "fundingarb.plugins",
    "hookimpl": "fundingarb.hookspecs",
    "load_plugins": "fundingarb.plugins",
}
"""Public name -> module that defines it."""

__all__ = ["Component", "PluginSettings", "Plugins", "__version__", "hookimpl", "load_plugins"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib_metadata import version

        return version("fundingarb-core")
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'fundingarb' has no attribute {name!r}") from None
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
