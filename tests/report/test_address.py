from pathlib import Path

import pytest

from sdtune.report.address import address_from


@pytest.mark.parametrize(
    ("file", "address"),
    [
        ("runs/lr#1/a.html", "./lr%231/a.html"),
        ("runs/p%20q?/a.html", "./p%2520q%3F/a.html"),
        ("runs/javascript:alert(1)/a.html", "./javascript%3Aalert%281%29/a.html"),
        ("other/a.html", "./../other/a.html"),
    ],
)
def test_an_address_leads_to_the_file_and_nowhere_else(file, address):
    assert address_from(Path("runs/report.html"), Path(file)) == address
