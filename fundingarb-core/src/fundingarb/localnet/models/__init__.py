"""What the markets of the offline exchanges do: prices, liquidity and funding as functions of time."""
