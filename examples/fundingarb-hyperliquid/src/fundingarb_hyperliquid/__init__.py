"""Hyperliquid perpetuals for fundingarb, as a stranger would write it."""
