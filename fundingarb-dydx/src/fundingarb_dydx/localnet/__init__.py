"""An offline dYdX v4: the indexer's REST and websocket, and a node's RPC, REST and gRPC.

Written from the public documentation of the indexer and the chain, not from the adapter beside it. ``dialect`` puts it
together; ``market``, ``accounts`` and ``stream`` are the indexer, ``gateway`` and ``rpc`` the node's interfaces,
``checks`` and ``node`` the node itself, ``chain`` its blocks and accounts; ``orders`` and ``positions`` are what the
indexer keeps; ``protobuf``, ``transactions`` and ``keys`` read and verify what is broadcast.

How the chain works here:

- A block every simulated second, never faster than twenty a real second: the window of twenty blocks in which a
  short-term order must arrive is at least a real second long at any speed.
- A node checks a transaction when it is broadcast (encoding, signer, sequence or timestamp nonce, signature over
  SignDoc, last block, market, steps, windows) and answers with a code. What was taken is carried out by the next block.
- A short-term order is told of as BEST_EFFORT_OPENED at once and matched by the next block. It ends with its last
  block; one that ended without any fill is not to be found any more. Its transaction needs no sequence.
- An immediate order leaves the nodes' memory as soon as it is taken: REST does not know it until a block has filled
  it. What the node cannot match for it is called cancelled (BEST_EFFORT_CANCELED) before the block, which may bring it
  otherwise.
- A cancellation of a short-term order is told at once and works with the next block; fills before it stand.
- A long-term order shows as OPEN from the block that includes it, and is matched in it. An order that fails in the
  block is not refused to anyone: it ends in the indexer, or never appears there.
- The stream tells with a block what is on the chain: all fills of an order in one message, with order and position.
- Twenty long-term orders and cancels of an address in a hundred blocks, two in one; open ones by equity tier.

What differs from dYdX, on purpose:

- One subaccount (number 0) has collateral. Conditional and TWAP orders, transfers, authenticators and builder fees
  are not offered; transactions with them are refused.
- The oracle price is the truth's mark price. Margin fractions do not grow with open interest.
- Open orders reserve margin, though ``freeCollateral`` does not show it.
- The limit of an order that never rests is kept within a tenth of the oracle price, for the margin only.
- Block and gas limits, validators and rewards do not exist.
"""
