"""Who is answered, asked over the network as a browser asks."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from sdtune.watch.live_page import Look
from sdtune.watch.server import served


class StandIn:
    """A page of two parts, whose token is `right`."""

    asked = 0

    def look(self):
        header, section = "<header>a</header>", '<section aria-labelledby="now">b</section>'
        return Look.at(f"<title>t</title>{header}<main>{section}</main>")

    def stop(self, token):
        self.asked += 1
        return "stopped" if token == "right" else None


@pytest.fixture(scope="module")
def ask():
    page = StandIn()
    with served(page) as address:
        place = urlsplit(address)
        assert place.hostname == "127.0.0.1"

        def call(path, method="GET", host=place.netloc, **headers):
            connection = http.client.HTTPConnection(place.netloc, timeout=20)
            connection.putrequest(method, path, skip_host=True)
            if host is not None:
                connection.putheader("Host", host)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body, answer.headers

        call.page, call.host = page, place.netloc
        yield call


def test_the_page_is_answered_and_may_ask_nobody_else(ask):
    status, body, headers = ask("/")
    assert (status, body.startswith("<title>t</title>")) == (200, True)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'; frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert ask("/", host="localhost:1234")[0] == 200  # forwarded by ssh to another port


def test_a_browser_gets_what_it_lacks(ask):
    parts = json.loads(ask("/parts")[1])["parts"]
    assert [each["name"] for each in parts] == ["header", "now"]
    assert parts[1]["html"] == '<section aria-labelledby="now">b</section>'
    answer = json.loads(ask(f"/parts?now={parts[1]['digest']}&gone=1")[1])
    assert [each["html"] for each in answer["parts"]] == ["<header>a</header>", None]


@pytest.mark.parametrize(
    "host", ["evil.example:7870", "127.0.0.1.evil.example:7870", "127.0.0.1", "0.0.0.0:7870", None]
)
def test_a_page_under_another_name_is_not_answered(ask, host):
    for path in ("/", "/parts"):
        assert ask(path, host=host)[0] in (400, 403)
    origin = f"http://{host}"
    assert ask("/stop", "POST", host=host, Origin=origin, X_Sdtune_Token="right")[0] in (400, 403)
    assert ask.page.asked == 0


def test_a_stop_needs_its_origin_and_its_token(ask):
    own = f"http://{ask.host}"
    others = ("http://evil.example", "null", "http://127.0.0.1:8888", own.replace("http", "https"))
    for origin in others:
        assert ask("/stop", "POST", Origin=origin, X_Sdtune_Token="right")[0] == 403
    assert ask("/stop", "POST", X_Sdtune_Token="right")[0] == 403
    assert ask("/", "POST", Origin=own, X_Sdtune_Token="right")[0] == 403
    assert ask("/stop", Origin=own, X_Sdtune_Token="right")[0] == 404
    assert ask.page.asked == 0
    assert ask("/stop", "POST", Origin=own)[0] == 409
    assert ask("/stop", "POST", Origin=own, X_Sdtune_Token="right")[:2] == (200, "stopped")


@pytest.mark.parametrize(
    "path", ["/config.yaml", "/../config.yaml", "/%2e%2e/", "//etc/passwd", "/etc/passwd", "/stop"]
)
def test_no_file_is_sent(ask, path):
    assert ask(path)[0] == 404


def test_other_methods_are_refused(ask):
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
        assert ask("/", method)[0] == 501
