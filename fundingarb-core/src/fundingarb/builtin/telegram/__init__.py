"""Alerts to Telegram, and commands from there."""
