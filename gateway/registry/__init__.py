"""What the gateway remembers: variants, deployments, evaluations and every change of an incumbent.

SQLite with a write-ahead log and one thread that touches it; nothing else in the gateway imports sqlite3.
"""

from gateway.registry.lock import StateLock
from gateway.registry.registry import Check, Registry

__all__ = ["Check", "Registry", "StateLock"]
