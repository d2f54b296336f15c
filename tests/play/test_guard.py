"""Who is answered, asked as a browser asks, without a server."""

from __future__ import annotations

import asyncio

import pytest

from sdtune.play.guard import Guard

HOST = "127.0.0.1:7860"


@pytest.fixture
def ask(tmp_path):
    """Return a function that sends a request: its status, headers and body."""
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "a.png").write_text("picture")
    (tmp_path / "secret").write_text("secret")
    (folder / "link.png").symlink_to(tmp_path / "secret")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})

    def call(path, method="GET", kind="http", **headers):
        named = {"host": HOST} | {name.replace("_", "-"): v for name, v in headers.items()}
        scope = {
            "type": kind,
            "method": method,
            "path": path.replace("FOLDER", str(folder)),
            "server": ("127.0.0.1", 7860),
            "headers": [(k.encode(), v.encode()) for k, v in named.items() if v is not None],
        }
        sent = []

        async def send(message):
            sent.append(message)

        asyncio.run(Guard(app, folder)(scope, None, send))
        return sent

    return call


def status(sent):
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/assets/index.js", "GET"),
        ("/gradio_api/queue/join", "POST"),
        ("/gradio_api/upload", "POST"),
        ("/gradio_api/file=FOLDER/a.png", "GET"),
    ],
)
def test_the_page_is_answered_and_told_to_ask_nobody_else(path, method, ask) -> None:
    for headers in (
        {},
        {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"},
        {"host": "localhost:7860", "origin": "http://localhost:7860"},
    ):
        sent = ask(path, method, **headers)
        assert status(sent) == 200
        policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
        assert policy.startswith("default-src 'self' data: blob:")
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:7860"},  # after DNS rebinding
        {"host": "127.0.0.1.evil.example:7860"},
        {"host": "127.0.0.1:7861"},
        {"host": "127.0.0.1"},
        {"host": None},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8888"},  # another server on this machine
        {"origin": "null"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"},
    ],
    ids=str,
)
def test_another_page_is_not_answered(headers, ask) -> None:
    for path, method in (("/gradio_api/queue/join", "POST"), ("/", "GET"), ("/config", "GET")):
        sent = ask(path, method, **headers)
        assert status(sent) == 403
        assert sent[1]["body"].startswith(b"sdtune play does not answer this: ")


def test_a_link_from_elsewhere_opens_the_page_alone(ask) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert status(ask("/", **link)) == 200
    assert status(ask("/", "POST", **link)) == 403
    assert status(ask("/gradio_api/file=FOLDER/a.png", **link)) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=FOLDER/../secret",
        "/gradio_api/file=FOLDER/link.png",
        "/gradio_api/file=FOLDER",
        "/gradio_api/file=http://evil.example/a.png",  # Gradio would fetch it
        "/gradio_api/file=https://evil.example/a.png",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=https://evil.example",
        "/gradio_api/info",
        "/gradio_api/run/predict",
        "/gradio_api/call/draw",
        "/gradio_api/vibe-code",
        "/monitoring",
        "/openapi.json",
        "/docs",
    ],
)
def test_what_the_page_does_not_need_is_not_there(path, ask) -> None:
    for method in ("GET", "POST", "HEAD"):
        assert status(ask(path, method)) == 403


def test_other_methods_and_web_sockets_are_refused(ask) -> None:
    assert status(ask("/", "DELETE")) == 403
    [closed] = ask("/", kind="websocket")
    assert closed["type"] == "websocket.close"
