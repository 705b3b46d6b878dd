"""An offline Bybit: v5 REST and websocket protocol of USDT linear perpetuals in a unified trading account.

Written from Bybit's public documentation, not from the adapter beside it.
"""
