"""An offline OKX: v5 REST and websocket protocol of USDT-margined perpetual swaps in a futures-mode account.

Written from OKX's public documentation, not from the adapter beside it. ``dialect`` puts it together; ``market``,
``tape``, ``trade``, ``orders``, ``account`` and ``bills`` answer REST (``trade`` also the orders of the private
websocket); ``render`` and ``holdings`` write orders, fills, positions and the balance for REST and streams alike;
``journal`` derives from fills what OKX shows beside them; ``codes`` maps refusals and injected faults to codes.

Sizes are contracts everywhere, as on OKX: the truth counts what the exchange's order field counts, and
``Instrument.contract_size`` is ``ctVal`` times ``ctMult``.

What differs from OKX, on purpose:

- Linear USDT swaps only. Other instrument types answer with empty lists and take no orders.
- A contract has one margin mode and one leverage at a time: an order whose ``tdMode`` differs switches the mode while
  the contract has neither position nor order, and is refused (51010) otherwise.
- The margin of isolated positions stays part of the cash balance, and their funding changes it.
- No algo orders, no attached take profit or stop loss, no amendments that need a new id.
- A price limit is one fraction around the mark, not OKX's band around index and premium.
- Rate limits are fixed windows of OKX's lengths.

Where the documentation leaves it open: what arrives after its ``expTime`` fails with 50036 in the row of each order, as
others saw it happen; 51149 is left to an injected unknown outcome; every order announces itself as ``live`` before its
fills.
"""
