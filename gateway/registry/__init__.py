"""What the gateway remembers: variants, deployments, evaluations, keys and every change of an incumbent.

SQLite with a write-ahead log and one thread that touches it; nothing else in the gateway imports sqlite3.
"""

from gateway.registry.keys import IssuedKey, key_not_found
from gateway.registry.lock import StateLock
from gateway.registry.reading import RegistryReading, lock_holder, read_registry
from gateway.registry.registry import Check, Registry

__all__ = [
    "Check",
    "IssuedKey",
    "Registry",
    "RegistryReading",
    "StateLock",
    "key_not_found",
    "lock_holder",
    "read_registry",
]
