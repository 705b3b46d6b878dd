"""The imperative shell: feeds, the trading loop, the executor, the request gate, the bus, the supervisor."""
