"""Bybit for fundingarb. The entry point is ``fundingarb_bybit.plugin``."""
