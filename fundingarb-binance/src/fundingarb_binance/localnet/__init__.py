"""Binance USD-M futures offline: the exchange's own REST paths, signatures, error codes and streams on loopback.

Written from Binance's public documentation and the official clients' expectations, independently of the adapter.
``dialect.BinanceLocalnet`` is the whole of it.
"""
