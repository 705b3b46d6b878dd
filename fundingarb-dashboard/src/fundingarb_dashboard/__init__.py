"""The dashboard of fundingarb. The entry point is ``fundingarb_dashboard.plugin``."""
