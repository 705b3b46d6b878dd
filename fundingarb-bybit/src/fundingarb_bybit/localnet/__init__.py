"""An offline Bybit: v5 REST and websocket protocol of USDT linear perpetuals in a unified trading account.

Written from Bybit's public documentation, not from the adapter beside it. ``dialect`` puts it together; ``market``,
``trade``, ``account``, ``positions`` and ``ledger`` answer REST (``trade`` also the order websocket); ``render`` writes
orders, executions, positions and the wallet for REST and streams alike; ``journal`` derives from fills what Bybit shows
beside them; ``codes`` maps refusals and injected faults to return codes.

What differs from Bybit, on purpose:

- Linear USDT contracts only. Other categories answer with empty lists and take no orders.
- No conditional orders; take profit and stop loss are kept and shown, and trigger nothing.
- One position mode per account, whatever symbol or coin ``switch-mode`` names.
- A price limit is one fraction around the mark, not the pair of ratios around mark and index.
- Open interest has no history, candles have no month.
- Rate limits are fixed windows of a second (an account) and of five (an address), without a lasting ban.

Where the documentation leaves it open: a funding execution carries the side of the position; its ``execFee`` is
positive when paid, while the transaction log's ``funding`` is documented as positive when received; the execution
stream sends funding, too.
"""
