"""OKX for fundingarb. The entry point is ``fundingarb_okx.plugin``."""
