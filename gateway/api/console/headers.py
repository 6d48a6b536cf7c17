"""What every answer of the console tells the browser to refuse."""

from collections.abc import Mapping

SECURITY_HEADERS: Mapping[str, str] = {
    # Styles in attributes are how Observable Plot draws; scripts come from files of ours alone.
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: under that a form's Origin is `null`, which is how its own pages are known over plain http.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
