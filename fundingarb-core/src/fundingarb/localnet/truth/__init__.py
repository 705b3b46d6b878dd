"""What happened on the offline exchanges: accounts, matching, positions, margin, funding, liquidation.

Synchronous, deterministic and free of any wire format. ``exchange.Exchange`` is the whole of it for one exchange.
"""
