"""Offline exchanges on loopback that speak the real wire protocols.

``truth`` owns what happened, independent of any wire format; ``models`` says what the markets do; a ``dialect`` (in
each exchange's package) says it in its exchange's words; ``server`` puts it on sockets. Nothing here uses the bot's
domain, engine or adapters.
"""
