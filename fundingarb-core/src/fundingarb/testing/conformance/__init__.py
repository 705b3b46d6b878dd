"""The adapter conformance suite: numbered cases that every exchange plugin passes, run against a real localnet.

``docs/conformance.md`` explains each case. With pytest a plugin needs a few lines:

    from fundingarb.testing.conformance import Capability, Subject
    from fundingarb.testing.conformance.pytest import AdapterConformance

    class TestMyExchange(AdapterConformance):
        subject = Subject("myexchange", lacks={Capability.BUNDLES: "it lists single units only"})

``python -m fundingarb.testing.conformance MODULE:SUBJECT README.md`` runs it without pytest and writes the table of
capabilities into a README.
"""

from __future__ import annotations

from fundingarb.testing.conformance.bench import Bench, Result, open_bench, run_all
from fundingarb.testing.conformance.cases import CASES
from fundingarb.testing.conformance.registry import Case
from fundingarb.testing.conformance.subject import Capability, Subject
from fundingarb.testing.conformance.words import NotConformant

__all__ = [
    "CASES",
    "Bench",
    "Capability",
    "Case",
    "NotConformant",
    "Result",
    "Subject",
    "open_bench",
    "run_all",
]
