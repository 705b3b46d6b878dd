"""dYdX v4 for fundingarb. The entry point is ``fundingarb_dydx.plugin``."""
