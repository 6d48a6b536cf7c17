"""From what a person names as a model to the Variant that serves: no MLX, only files and their headers.

Fetching a repository stands apart in `gateway.models.fetch`, because it starts a process.
"""

from gateway.models.digest import DigestCache, OnProgress
from gateway.models.directory import read_model_directory
from gateway.models.engine_options import with_options
from gateway.models.source import HubRepository, resolve_source, variant_name

__all__ = [
    "DigestCache",
    "HubRepository",
    "OnProgress",
    "read_model_directory",
    "resolve_source",
    "variant_name",
    "with_options",
]
