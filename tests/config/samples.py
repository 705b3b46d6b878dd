"""A configuration file that says something in every section."""

from __future__ import annotations

FULL = """\
# a bot on two exchanges
network: localnet
ready_file: /run/fundingarb/ready.json
database:
  url: "sqlite:///fundingarb.db"

accounts:
  binance: {exchange: binance}
  binance-alt:
    exchange: binance
  bybit:
    exchange: bybit
    testnet: false

exchanges:
  binance: {recv_window: 5000}
  bybit:

trading:
  symbols:
    - "BTC-USDT"
    - ETH-USDT
    - sol-usdt

  min_spread_base: 0.0001  # 0.01%
  min_spread_per_10k: 1e-5
  entry_buffer_minutes: 20
  entry_cutoff_minutes: 12.5
  order_fill_timeout_seconds: 45
  max_position_per_pair_usd: 50_000
  target_size_usd: 25000
  min_net_usd: -2.50
  horizon_hours: 48
  post_only_first_leg: true
  negative_spread_tolerance: {default: conservative, ETH-USDT: -0.0003, SOL-USDT: aggressive}
  leverage:
    default: 5
    BTC-USDT: 3
    ETH-USDT: 5

leverage:
  binance: {default: 4, BTC-USDT: 2}
  bybit: 6

strategy:
  name: funding_spread
risk:
  margin: {enabled: false}
alerts:
  telegram: {chat_id: 42, token_file: ~/.fundingarb/token}
dashboard:
  port: 8080
plugins:
  allow: [fundingarb-binance, fundingarb-bybit]
logging: {level: DEBUG, file: ~/bot.log}
"""
