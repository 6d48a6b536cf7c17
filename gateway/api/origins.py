"""From which page a browser sends a request, as the headers say that no page can forge."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

from gateway.errors import Forbidden
from gateway.settings import is_loopback

Connection = ASGIConnection[Any, Any, Any, Any]


def refuse_web_pages(connection: Connection, allowed: Collection[str]) -> None:
    """Raise Forbidden for what a page in this machine's browser sends, unless the page is among the allowed.

    Without keys, whoever reaches loopback may do everything, and a browser reaches it for any page: with the page's own
    name in `Host` where that name was made to resolve to loopback (DNS rebinding), else with the page in `Origin`.
    """
    host = connection.headers.get("host", "")
    if not _names_loopback(f"//{host}"):
        raise Forbidden(
            f"Without API keys the gateway answers on loopback names only, and the Host header is {host!r}: ask "
            "127.0.0.1 or localhost, or configure keys."
        )
    origin = connection.headers.get("origin")
    if origin is not None and origin not in allowed and not _names_loopback(origin):
        raise Forbidden(
            f"Without API keys the gateway takes no requests from the web page {origin!r}: configure keys, or name "
            "it in server.cors_origins."
        )


def demand_own_page(connection: Connection) -> None:
    """Raise Forbidden unless a page of this gateway sent the request: another port of this host is another page.

    Browsers say it in `Sec-Fetch-Site` where they trust the connection (https, loopback), else in `Origin`.
    """
    site = connection.headers.get("sec-fetch-site")
    own = site == "same-origin" if site is not None else _is_own_origin(connection)
    if not own:
        raise Forbidden("The console takes this from its own pages only: open it in the browser and do it there.")


def refuse_embedding(connection: Connection) -> None:
    """Raise Forbidden where a foreign page asks for a page of the console other than by a link to it."""
    if connection.headers.get("sec-fetch-site") not in {"cross-site", "same-site"}:
        return
    if (connection.headers.get("sec-fetch-mode"), connection.headers.get("sec-fetch-dest")) != ("navigate", "document"):
        raise Forbidden("The console is not for other pages to read or to show: open it in a tab of its own.")


def _is_own_origin(connection: Connection) -> bool:
    origin = connection.headers.get("origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc == connection.headers.get("host")


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
