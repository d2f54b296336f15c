"""A source that sdtune does not have, as somebody outside the package writes one: a text file."""

from pathlib import Path

from sdtune.data.sources import Asked, Listed, Listing, Sign

__all__ = ["ToyList"]


class ToyList:
    """`pictures.list`: a picture and what it shows in each line, with a tab between."""

    name = "toy_list"
    title = "a list of pictures"

    def recognise(self, location: str) -> Sign | None:
        return Sign("a name that ends in .list", 2) if location.endswith(".list") else None

    def list(self, location: str, asked: Asked) -> Listing:
        path = Path(location)
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        pictures = [Listed(path.parent / name, name, [caption]) for name, caption in rows]
        return Listing(path.parent, pictures, summary="tabs")
