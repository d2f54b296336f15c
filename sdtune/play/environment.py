"""What Gradio reads from the environment: nothing of the user's, and a folder that is deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["closed_environment"]

_OF_GRADIO = "GRADIO_"
_PROXIES = ("NO_PROXY", "no_proxy")
_HERE = "127.0.0.1,localhost"


@contextmanager
def closed_environment(folder: Path) -> Iterator[None]:
    """Let Gradio, which is imported inside, ask no other machine and write to one folder.

    Its variables would share the page, list folders to send files from, or record calls. A proxy
    would be told of requests to this machine.

    Args:
        folder: Where uploads and pictures go.
    """
    before = dict(os.environ)
    for name in [each for each in os.environ if each.startswith(_OF_GRADIO)]:
        del os.environ[name]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    for name in _PROXIES:
        os.environ[name] = ",".join(filter(None, [before.get(name), _HERE]))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
