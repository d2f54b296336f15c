"""The page's server: this machine's own browser is answered, and nobody else.

A page of a stranger in the same browser can send requests to this machine, and after DNS rebinding
it can read the answers; the name that it was opened under is then a stranger's. So the name is
looked at, and what stops a run must come from the page itself and hold what stands on it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sdtune.watch.live_page import LivePage

__all__ = ["served"]

_HOST = "127.0.0.1"
_NAMES = (_HOST, "localhost")
_PORTS = range(7870, 7970)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def served(page: LivePage, port: int | None = None) -> Iterator[str]:
    """Serve a page until the block ends.

    Args:
        page: The page.
        port: Where; None for the first free one from 7870.

    Yields:
        The page's address.

    Raises:
        OSError: If the port is taken.
    """
    server = _server(page, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, page: LivePage) -> None:
        self.page = page
        super().__init__((_HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that goes away before it is answered."""


def _server(page: LivePage, port: int | None) -> _Server:
    if port is not None:
        return _Server(port, page)
    for each in _PORTS:
        try:
            return _Server(each, page)
        except OSError:
            continue
    return _Server(0, page)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "sdtune"
    sys_version = ""
    timeout = 20  # seconds: nobody holds a connection for ever

    def do_GET(self) -> None:
        """Answer with the page, or with what has changed of it."""
        address, page = urlsplit(self.path), self.server.page
        if not self._is_known():
            self._refuse()
        elif address.path == "/":
            self._answer(page.look().page, "text/html")
        elif address.path == "/parts":
            self._answer(_changed(page, dict(parse_qsl(address.query))), "application/json")
        else:
            self._answer("There is nothing here.", status=HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Stop the run, if its page asks."""
        origin, token = self.headers.get("Origin"), self.headers.get("X-Sdtune-Token") or ""
        is_own = origin == f"http://{self.headers.get('Host')}" and token.isascii()
        if not self._is_known() or not is_own or self.path != "/stop":
            self._refuse()
            return
        said = self.server.page.stop(token)
        if said is None:
            said = "Nothing was stopped: this page is of a start that has ended. Load it again."
            self._answer(said, status=HTTPStatus.CONFLICT)
        else:
            self._answer(said)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: the terminal is its user's."""

    def _is_known(self) -> bool:
        """Tell whether the page was opened under this machine's own name, whatever the port.

        A port may be another where it is forwarded from another machine.
        """
        names = self.headers.get_all("Host") or []
        return len(names) == 1 and names[0].rpartition(":")[0] in _NAMES

    def _refuse(self) -> None:
        said = (
            f"sdtune watch answers to the page that it opens at {_NAMES[0]} or {_NAMES[1]} alone."
        )
        self._answer(said, status=HTTPStatus.FORBIDDEN)

    def _answer(
        self, text: str, kind: str = "text/plain", status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        body = text.encode(errors="backslashreplace")  # names of files, as in written pages
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _changed(page: LivePage, have: dict[str, str]) -> str:
    """Word what a browser that has some parts lacks of the others."""
    look = page.look()
    parts = [
        {"name": name, "digest": digest, "html": None if have.get(name) == digest else text}
        for name, (digest, text) in look.parts.items()
    ]
    return json.dumps({"title": look.title, "parts": parts})
