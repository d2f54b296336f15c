"""The parser of a recipe: Lightning's, which `fit`, `check` and `compare` ask alike."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

__all__ = ["Missing", "RecipeParser", "lenient"]

Missing = list[tuple[type | None, str]]
"""The class (None for the recipe itself) and the name of each argument that has to be given."""

_MISSING: ContextVar[Missing | None] = ContextVar("missing", default=None)
_REQUIRED = re.compile(r"the following arguments are required: (.*)")


class RecipeParser(LightningArgumentParser):
    """Lightning's parser, whose dumped recipe holds what a repetition needs and no more.

    jsonargparse makes one of these for each class of a recipe, too.

    Attributes:
        left_out: Keys that `dump` leaves out: `run` and `resume`, which belong to one call, and the
            seeds that follow the recipe's own, so that one override of `seed` moves all of them.
    """

    def __init__(self, *args: Any, allow_abbrev: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=allow_abbrev, **kwargs)
        self.left_out: Sequence[str] = ()
        self._class: type | None = None

    def add_class_arguments(
        self, theclass: type, nested_key: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Add a class, see `jsonargparse.ArgumentParser.add_class_arguments`."""
        if nested_key is None:
            self._class = theclass
        added: list[str] = super().add_class_arguments(theclass, nested_key, **kwargs)
        return added

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Check a recipe; inside `lenient`, arguments that are missing are noted and no error."""
        missing = _MISSING.get()
        try:
            super().validate(*args, **kwargs)
        except TypeError as error:
            # it comes last: all values are right
            names = None if missing is None else _REQUIRED.match(str(error))
            if missing is None or names is None:
                raise
            missing += [(self._class, name) for name in names[1].split(", ")]

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """Serialize a recipe, see `jsonargparse.ArgumentParser.dump`."""
        namespace = namespace.clone()
        if kwargs.get("skip_link_targets", True):  # False asks for all that the classes receive
            for key in self.left_out:
                namespace.pop(key, None)
        for key, value in namespace.items():
            if isinstance(value, str) and isinstance(value, Enum):
                namespace[key] = str(value.value)  # Lightning's Timer has such a default
        # what is dumped was parsed, and is right
        text: str = super().dump(namespace, *args, **{**kwargs, "skip_validation": True})
        return text


@contextmanager
def lenient() -> Iterator[Missing]:
    """Let every RecipeParser note what is missing, for a while.

    Yields:
        What was missing; it grows while this lasts.
    """
    missing: Missing = []
    token = _MISSING.set(missing)
    try:
        yield missing
    finally:
        _MISSING.reset(token)
