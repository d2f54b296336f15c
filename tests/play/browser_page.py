"""What the page in the browser asked for and complained about."""

from __future__ import annotations

from typing import Any

__all__ = ["Watched"]


_HARMLESS = "Method not implemented."
"""What Gradio's client says when it closes the stream of an upload's progress."""


class Watched:
    """A page, and all that it asked for and complained about.

    Args:
        page: Playwright's.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda each: self.requests.append(each.url))
        page.on("pageerror", lambda each: self.complaints.append(str(each)))
        page.on("dialog", lambda each: self.complaints.append(f"dialog {each.message}"))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and message.text != _HARMLESS:
            self.complaints.append(message.text)
