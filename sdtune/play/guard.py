"""Who is answered: this machine's own page, for what the page needs, and nobody else.

Gradio answers much that this page does not use: it fetches addresses for others, and records and
lists calls. A page of a stranger in the same browser can send requests to this machine, and after
DNS rebinding it can read the answers, because the browser takes it for the same origin; the name
that it was opened under is then a stranger's.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

__all__ = ["Guard"]

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_FILE = "/gradio_api/file="
_PATHS = (
    "/",
    "/config",
    "/favicon.ico",
    "/manifest.json",
    "/theme.css",
    "/gradio_api/app_id",
    "/gradio_api/cancel",
    "/gradio_api/queue/data",
    "/gradio_api/queue/join",
    "/gradio_api/reset",
    "/gradio_api/startup-events",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
)
_BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")
_METHODS = ("GET", "HEAD", "POST")

_HEADERS = [
    (
        b"content-security-policy",
        # Gradio makes functions of texts; whatever they are, no other machine is asked
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; "
        b"form-action 'self'; base-uri 'self'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class Guard:
    """ASGI middleware that refuses what is not the page's own.

    Args:
        app: What answers the rest.
        folder: The only one that files are sent from.
    """

    def __init__(self, app: _App, folder: Path) -> None:
        self._app = app
        self._folder = os.path.realpath(folder)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = "there are no web sockets" if scope["type"] != "http" else self._refusal(scope)
        if refusal is not None:
            await _refuse(scope, send, refusal)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: _Scope) -> str | None:
        """Say why a request is refused; None if it is not."""
        headers = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
        port = scope["server"][1]
        hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        named = [value for name, value in headers if name == "host"]
        if len(named) != 1 or named[0] not in hosts:
            return "it was opened under another name than 127.0.0.1 or localhost"
        origins = {f"http://{each}" for each in hosts}
        if any(name == "origin" and value not in origins for name, value in headers):
            return "another page asks"
        fetch = {name: value for name, value in headers if name.startswith("sec-fetch-")}
        site, mode = fetch.get("sec-fetch-site", "none"), fetch.get("sec-fetch-mode", "")
        is_link = mode == "navigate" and scope["method"] == "GET" and scope["path"] == "/"
        if site not in ("none", "same-origin") and not is_link:
            return "another page asks"
        return self._unknown(scope["method"], scope["path"])

    def _unknown(self, method: str, path: str) -> str | None:
        if method not in _METHODS:
            return f"nothing is asked for by {method}"
        if path.startswith(_FILE):
            there = os.path.realpath(path.removeprefix(_FILE))
            is_ours = there.startswith(self._folder + os.sep) and os.path.isfile(there)
            return None if is_ours else "there is no such file here"
        is_known = path in _PATHS or path.startswith(_BELOW)
        return None if is_known else "there is nothing here"


async def _refuse(scope: _Scope, send: _Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    body = f"sdtune play does not answer this: {reason}.".encode()
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
