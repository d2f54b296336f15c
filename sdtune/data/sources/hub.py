"""A data set of the Hugging Face hub, by its name; offline, from the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from sdtune.data.problems import Problem
from sdtune.data.sources.dataset_rows import list_tables, needs_datasets
from sdtune.data.sources.source import Asked, Listing, Sign

__all__ = ["HubSource"]

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class HubSource:
    """`owner/name`, where nothing on the disk has that name. Read by `datasets`.

    Pictures are written into the cache once.
    """

    name = "hub"
    title = "a data set of the hub"

    def recognise(self, location: str) -> Sign | None:
        """See whether it could be a name on the hub; nobody is asked."""
        if _ID.fullmatch(location) and not Path(location).exists():
            return Sign("a name like owner/name", 0)
        return None

    def list(self, location: str, asked: Asked) -> Listing:
        """List the rows, after a download unless it is in the cache."""
        missing = "there is no such folder; name the one with the pictures"
        if needs_datasets(location, ""):
            return Listing(
                Path(location),
                problems=[
                    Problem(
                        location,
                        f'{missing}. For a data set of the hub: pip install "sdtune[data]".',
                    )
                ],
            )
        import datasets

        try:
            tables = datasets.load_dataset(location)
        except Exception as error:  # as many kinds as there are readers below it
            reason = " ".join(str(error).split()).rstrip(".")[:300]
            return Listing(
                Path(location),
                problems=[
                    Problem(
                        location,
                        f"{missing}. As a data set of the hub it is not in the local cache and "
                        f"cannot be downloaded ({reason}).",
                    )
                ],
            )
        return list_tables(location, tables, asked)
