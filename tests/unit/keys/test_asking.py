"""What the command line says of answers that are not a gateway's."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from gateway.errors import StartError
from gateway.keys_cli import keys_command


@contextmanager
def answering(status: int, body: bytes = b"") -> Generator[str]:
    """Answer every request so, at the address that is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_DELETE(self) -> None:
            self.send_response(status)
            self.send_header("location", "https://elsewhere.example")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE  # noqa: N815 - the server's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's name
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [301, 302, 307, 404, 502])
def test_what_is_not_done_is_never_said_to_be(status: int) -> None:
    with answering(status) as url:
        done = CliRunner().invoke(keys_command, ["revoke", "app", "--gateway", url])
    assert isinstance(done.exception, StartError)
    assert f"HTTP status {status} without an explanation" in done.exception.message
    assert "is revoked" not in done.output


def test_an_answer_of_something_else_is_said_to_be_one() -> None:
    with answering(200, b"<html>") as url:
        done = CliRunner().invoke(keys_command, ["list", "--gateway", url])
    assert isinstance(done.exception, StartError)
    assert "cannot be read" in done.exception.message


@pytest.mark.parametrize("key", ["geh\u00fcim", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_not_called_a_missing_gateway(key: str) -> None:
    with answering(200, b"[]") as url:
        environ = {"GATEWAY_API_KEY": key}
        done = CliRunner().invoke(keys_command, ["list", "--gateway", url], env=environ)
    assert isinstance(done.exception, StartError)
    assert "GATEWAY_API_KEY" in done.exception.message
    assert key not in done.exception.message
