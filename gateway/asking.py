"""Ask a running gateway from the command line: its address, its key, and what is said when it does not answer."""

import os
from typing import Any, Literal, TypeVar

import click
import httpx
import msgspec

from gateway.contracts.chat import ErrorBody
from gateway.errors import StartError

T = TypeVar("T")

_TIMEOUT_S = 10.0

gateway_option = click.option(
    "--gateway",
    "url",
    envvar="GATEWAY_URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The gateway's address; its key is read from GATEWAY_API_KEY.",
)


def ask(url: str, path: str, *, method: Literal["GET", "POST", "DELETE"] = "GET", body: object = None) -> bytes:
    """Return the body of the answer. Raises StartError, one sentence with the remedy."""
    if not url.startswith(("http://", "https://")):
        raise StartError(f"The gateway's address {url!r} must start with http:// or https://.")
    key = os.environ.get("GATEWAY_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise StartError("GATEWAY_API_KEY holds what no header can carry; set it to the key alone.")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    content: dict[str, Any] = {}
    if body is not None:
        headers["content-type"] = "application/json"
        content["content"] = msgspec.json.encode(body)
    try:
        response = httpx.request(
            method,
            f"{url.rstrip('/')}{path}",
            headers=headers,
            timeout=_TIMEOUT_S,
            trust_env=False,  # a proxy named there has no business here
            verify=url.startswith("https://"),  # else it takes longer to load the certificates than to be answered
            **content,
        )
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise StartError(
            f"No gateway answers at {url}; start one with `gateway serve`, or name another with --gateway."
        ) from error
    if not response.is_success:
        raise StartError(f"{url} refuses: {_message(response)}")
    return response.content


def decoded(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StartError(f"{url} gave an answer that cannot be read; is it this version's gateway?") from error


def _message(response: httpx.Response) -> str:
    try:
        return msgspec.json.decode(response.content, type=ErrorBody).error.message
    except msgspec.DecodeError:
        return f"HTTP status {response.status_code} without an explanation; is it this version's gateway?"
