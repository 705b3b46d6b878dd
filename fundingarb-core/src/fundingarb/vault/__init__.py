"""The credentials vault: keys of accounts and other secrets in one encrypted file, opened with the master password.

``seal`` is the cryptography, ``files`` the file, ``vault`` what is in it, ``approval`` the way from simulation to live.
"""

from __future__ import annotations

from fundingarb.vault.password import check_strength, password_from_fd
from fundingarb.vault.seal import DEFAULT_COSTS, LEAST_COSTS, MOST_COSTS, Costs, VaultError
from fundingarb.vault.vault import FILE_NAME, LiveApproval, StoredAccount, Vault

__all__ = [
    "DEFAULT_COSTS",
    "FILE_NAME",
    "LEAST_COSTS",
    "MOST_COSTS",
    "Costs",
    "LiveApproval",
    "StoredAccount",
    "Vault",
    "VaultError",
    "check_strength",
    "password_from_fd",
]
