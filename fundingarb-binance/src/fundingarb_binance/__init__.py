"""Binance for fundingarb. The entry point is ``fundingarb_binance.plugin``."""
