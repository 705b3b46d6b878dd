"""Help for exchange adapters: REST through ccxt, websocket streams, exact parsing, symbol mapping."""
