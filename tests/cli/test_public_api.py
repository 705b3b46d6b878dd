"""`import fundingarb`: every public name is there, and none is paid for before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fundingarb


@pytest.mark.parametrize("name", fundingarb.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(fundingarb, name) is not None


def test_all_is_complete_and_sorted_and_what_dir_shows() -> None:
    assert len(set(fundingarb.__all__)) == len(fundingarb.__all__)
    assert dir(fundingarb) == sorted(fundingarb.__all__)
    assert set(fundingarb._WHERE) == set(fundingarb.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(fundingarb.__all__) - {"__version__"}))
def test_a_public_name_is_exported_by_the_module_that_defines_it(name: str) -> None:
    module = sys.modules[fundingarb._WHERE[name]] if getattr(fundingarb, name) else None
    assert module is not None
    assert name in getattr(module, "__all__", vars(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_it'"):
        _ = fundingarb.nothing_like_it


def test_the_import_alone_loads_nothing() -> None:
    probe = "import sys, fundingarb; print(*sorted(m for m in sys.modules if m.startswith('fundingarb')))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["fundingarb"]
