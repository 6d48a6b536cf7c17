"""The port: is it free, does a gateway of ours answer there, is that one ready, and what else would hold it?"""

import socket
from collections.abc import Iterator
from importlib.metadata import version

import httpx
import msgspec
import psutil

from gateway.doctor.finding import Finding, failure, not_checked, ok, warning
from gateway.settings import ServerSettings

_TIMEOUT_S = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses that may be bound, told apart here
_ALIVE = b'{"status":"alive"}'
"""What `/health` says."""


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that runs at the configured address."""

    url: str
    version: str
    """Empty where it does not say."""
    ready: bool
    detail: str


class _Readiness(msgspec.Struct, frozen=True):
    ready: bool
    detail: str


class _Info(msgspec.Struct, frozen=True):
    version: str


class _Description(msgspec.Struct, frozen=True):
    """Of `/openapi.json`, what is read."""

    info: _Info


def url_of(server: ServerSettings) -> str:
    """Return where this machine reaches the gateway that is bound so."""
    host = _EVERYWHERE.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


async def find_gateway(server: ServerSettings) -> Answering | None:
    """Return the gateway that answers there; None where nobody does, or something else."""
    url = url_of(server)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            if (await client.get("/health")).content != _ALIVE:
                return None
            said = msgspec.json.decode((await client.get("/ready")).content, type=_Readiness)
            description = await client.get("/openapi.json")
    except (httpx.HTTPError, msgspec.DecodeError):
        return None
    return Answering(url=url, version=_version(description.content), ready=said.ready, detail=said.detail)


def examine_port(server: ServerSettings, running: Answering | None, *, holder: int | None) -> Iterator[Finding]:
    """Yield who has the port and how the gateway is that has it; `holder` uses this state directory."""
    yield _port(server, running, holder)
    yield from _running(running)


def _port(server: ServerSettings, running: Answering | None, holder: int | None) -> Finding:
    where = f"{server.host}:{server.port}"
    if running is not None and holder is None:
        seen = f"{where} is a gateway's that uses another state directory"
        return failure("port", seen, "name its own with --state-dir, or choose another address with --host and --port")
    if running is not None:
        return ok("port", f"{where} is this gateway's")
    if server.port == 0:
        return ok("port", "a free one is taken at the start")
    problem = _bind_problem(server)
    if problem is None:
        return ok("port", f"{where} is free")
    listener = _listener(server.port)
    seen = (
        f"{where} is taken{f' by {listener}' if listener else ''}"
        if listener or "in use" in problem
        else f"{where}: {problem}"
    )
    return failure("port", seen, "stop what uses it, or choose another address with --host and --port")


def _running(running: Answering | None) -> Iterator[Finding]:
    if running is None:
        yield not_checked("running gateway", "none answers at this address")
        return
    if running.ready:
        yield ok("running gateway", f"{running.url}: {running.detail}")
    else:
        remedy = "`gateway status` says which engine; its log says why"
        yield warning("running gateway", f"{running.url} is not ready: {running.detail}", remedy)
    installed = version("gateway-canary")
    if not running.version:
        yield not_checked("version", "it does not say which one runs")
    elif running.version == installed:
        yield ok("version", installed)
    else:
        seen = f"{running.version} runs, and {installed} is installed"
        yield warning("version", seen, "restart it to run what is installed: it drains first")


def _version(description: bytes) -> str:
    try:
        return msgspec.json.decode(description, type=_Description).info.version
    except msgspec.DecodeError:
        return ""


def _bind_problem(server: ServerSettings) -> str | None:
    """Return what the system says against it; the address is taken for no more than that."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the gateway binds: connections that an earlier one has left do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _listener(port: int) -> str:
    """Return name and id of the process that listens there, where the system tells this user."""
    try:
        listening = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid
        ]
        return f"{psutil.Process(listening[0]).name()} (pid {listening[0]})" if listening else ""
    except psutil.Error:
        return ""
