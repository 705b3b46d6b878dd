"""Deterministic simulation: the real engine and store on virtual time, against the localnet's truth in process.

``monitor`` watches the truth for broken invariants and is of use wherever there is a truth to watch. ``runner`` makes
one seed into one run: market, faults (``schedule``), crashes, verdict.
"""
