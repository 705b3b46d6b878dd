"""The program's logs: trades, errors and (when wanted) everything, as JSON lines in a file a day, without secrets."""
