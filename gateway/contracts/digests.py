"""Content addresses: one canonical form, one hash, and the short form that people read."""

import hashlib
import re

import msgspec

DIGEST_LENGTH = 64
SHORT_DIGEST_LENGTH = 12
_REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)@(?P<digest>[0-9a-f]{8,64})")

_canonical = msgspec.json.Encoder(order="deterministic")


def digest_of(value: object) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of a value's canonical JSON: keys sorted, no white space."""
    return hashlib.sha256(_canonical.encode(value)).hexdigest()


def short(digest: str) -> str:
    """Return the 12 leading digits, which is how a digest is shown in references, headers and reports."""
    return digest[:SHORT_DIGEST_LENGTH]


def parse_reference(reference: str) -> tuple[str, str] | None:
    """Split `name@digest` (8 to 64 digits) into its parts, or return None where it has another form."""
    match = _REFERENCE.fullmatch(reference)
    return (match["name"], match["digest"]) if match else None
