"""The classes of a parsed recipe, built one by one, so that all problems are found at once."""

from argparse import ArgumentError
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI, _InstantiatorFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sdtune.callbacks.periodic import is_trial
from sdtune.commands.errors import on_one_line
from sdtune.commands.recipe import CLASS_KEYS
from sdtune.commands.recipe_classes import is_chosen, is_whole
from sdtune.commands.trainer_options import interval_problems

__all__ = [
    "Built",
    "attempt",
    "build_classes",
    "problems_of",
    "problems_together",
    "refused_option",
]

_T = TypeVar("_T")
_REFUSALS = (
    ArgumentError,
    ImportError,
    MisconfigurationException,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@runtime_checkable
class ListsProblems(Protocol):
    """What can check itself without training, as a data module checks its folder."""

    def problems(self) -> list[str]:
        """List what is wrong, one sentence each."""
        ...


@runtime_checkable
class SaysWhatItFound(Protocol):
    """What can say what it took its folders for, as a data module does."""

    def found(self) -> list[str]:
        """Say what was found, one line each."""
        ...


@runtime_checkable
class SurveysPictures(Protocol):
    """What can look over its pictures, as a data module does."""

    def survey(self, resolution: int | None = None) -> Any:
        """Give the figures for a model's resolution; None if neither knows one."""
        ...

    def survey_notes(self, survey: Any) -> list[str]:
        """Say what the figures come to, one line each."""
        ...


@runtime_checkable
class SaysWhatIsCut(Protocol):
    """What can say which captions it does not read to their end, as a technique does."""

    def notes_with(self, data: object) -> list[str]:
        """Say what is cut, one line each; loads no weights."""
        ...


@runtime_checkable
class ComparesWithData(Protocol):
    """What can tell without training whether it fits some data, as a technique does."""

    def problems_with(self, data: object) -> list[str]:
        """List what is wrong, one sentence each."""
        ...


@runtime_checkable
class NamesSubjects(Protocol):
    """What agrees with data on the words for its subjects, as a technique does."""

    def name_subjects(self, data: object) -> None:
        """Tell the data, and be told; loads no weights."""
        ...


@runtime_checkable
class ComparesWithTrainer(Protocol):
    """What can tell without training whether a Trainer's options fit, as callbacks do."""

    def problems_with_trainer(self, trainer: Trainer) -> list[str]:
        """List what is wrong, one sentence each."""
        ...


@runtime_checkable
class SaysWhatDiffers(Protocol):
    """What can say what it does differently with a Trainer's options, as a technique does."""

    def notes_with_trainer(self, trainer: Trainer) -> list[str]:
        """Say what differs, one sentence each."""
        ...


@runtime_checkable
class ClassComparesWithTrainer(Protocol):
    """What can tell, whatever its arguments are, whether a Trainer's options fit."""

    def any_problems_with_trainer(self, trainer: Trainer) -> list[str]:
        """List what is wrong, one sentence each; a class method."""
        ...


@dataclass
class Built:
    """What became of a recipe's classes.

    Attributes:
        config: The recipe with objects in the place of the classes that could be built.
        problems: What the others, or the objects, say; one sentence each.
        broken: The keys `model`, `data` and `trainer` of which something could not be built.
    """

    config: Namespace
    problems: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


class _Maker:
    """Makes objects for jsonargparse, whose own message hides why a class could not be built."""

    def __init__(self, make: Callable[..., Any], errors: list[Exception]) -> None:
        self._make = make
        self._errors = errors

    def __call__(
        self,
        class_type: type,
        *args: Any,
        applied_instantiation_links: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        if isinstance(self._make, _InstantiatorFn):
            kwargs["applied_instantiation_links"] = applied_instantiation_links
        try:
            return self._make(class_type, *args, **kwargs)
        except _REFUSALS as error:
            self._errors.append(error)
            raise


def build_classes(
    cli: LightningCLI, config: Namespace, broken: Collection[str] = frozenset()
) -> Built:
    """Build the classes of a recipe, and ask them for their problems.

    Args:
        cli: What parsed the recipe; its modules remember their arguments as it does them.
        config: The recipe.
        broken: Keys whose classes are not built; of the Trainer's, those that lack an argument.

    Returns:
        The objects and the problems.
    """
    built = Built(config.clone(with_meta=False), broken=set(broken))
    errors: list[Exception] = []
    makers: list[tuple[type, Callable[..., Any]]] = [
        (LightningModule, _InstantiatorFn(cli, "model")),
        (LightningDataModule, _InstantiatorFn(cli, "data")),
        (object, _make),
    ]
    for kind, make in makers:  # the first that fits is taken
        cli.parser.add_instantiator(_Maker(make, errors), kind)

    def build(key: str, part: Any) -> Any:
        alone = Namespace()
        alone[key] = part
        errors.clear()
        hidden: list[str] = []
        made = attempt(lambda: cli.parser.instantiate(alone)[key], hidden)
        if made is None:
            built.problems += problems_of(errors[0]) if errors else hidden
            built.broken.add(key.split(".")[0])
        for each in made if isinstance(made, list) else [made]:
            if isinstance(each, ListsProblems):
                built.problems += _problems_alone(each)
        return made

    for name, part in _parts_of_trainer(built.config, lacking="trainer" in broken).items():
        key = f"trainer.{name}"
        if isinstance(part, list):
            made = [build(key, [each]) if is_chosen(each) else [each] for each in part]
            built.config[key] = [each for some in made for each in some or []]
        else:
            built.config[key] = build(key, part)
            if built.config[key] is None:
                del built.config[key]  # the Trainer is asked with its own default
    for key in CLASS_KEYS:
        built.config[key] = build(key, config[key]) if key not in broken else None
    return built


def _parts_of_trainer(config: Namespace, lacking: bool) -> dict[str, Any]:
    """List the Trainer's options that name classes, and take out classes that lack arguments.

    Args:
        config: The recipe; an option that is taken out is gone from it.
        lacking: Whether something was refused, so that arguments may be lacking.

    Returns:
        Values by name.
    """
    parts: dict[str, Any] = {}
    options = config.get("trainer") or Namespace()
    for name, part in list(options.items(branches=True, nested=False)):
        several = part if isinstance(part, list) else [part]
        if not any(map(is_chosen, several)):
            continue
        whole = [each for each in several if not (lacking and is_chosen(each)) or is_whole(each)]
        if isinstance(part, list):
            parts[name] = whole
        elif whole:
            parts[name] = part
        else:
            del options[name]
    return parts


def problems_together(
    model: object,
    data: object,
    trainer: Trainer | None,
    is_sound: bool,
    model_class: type | None = None,
) -> list[str]:
    """List what is wrong between a recipe's objects, each of which is right by itself.

    Args:
        model: The model, or None if it could not be built.
        data: The data module, likewise.
        trainer: The Trainer, likewise.
        is_sound: Whether nothing is wrong so far, so that the data can be read.
        model_class: The model's class, if it is known.

    Returns:
        One sentence each.
    """
    problems: list[str] = []
    if isinstance(model, NamesSubjects):
        attempt(lambda: model.name_subjects(data), problems)
    if isinstance(model, ComparesWithData) and data is not None:
        problems += attempt(lambda: model.problems_with(data), problems) or []
    if trainer is None:
        return problems
    if isinstance(data, ListsProblems) and isinstance(data, LightningDataModule) and is_sound:
        problems += attempt(lambda: interval_problems(trainer, data), problems) or []
    if model is None and isinstance(model_class, ClassComparesWithTrainer):
        problems += model_class.any_problems_with_trainer(trainer)
    callbacks: Iterable[object] = trainer.callbacks  # type: ignore[attr-defined]
    if data is not None and is_sound and not is_trial(trainer):
        for comparing in (each for each in callbacks if isinstance(each, ComparesWithData)):
            problems += attempt(partial(comparing.problems_with, data), problems) or []
    for each in (model, data, *callbacks):
        if isinstance(each, ComparesWithTrainer):
            problems += attempt(lambda: each.problems_with_trainer(trainer), problems) or []  # noqa: B023
    return problems


def refused_option(
    options: Namespace, problems: Sequence[str], make: Callable[[], Trainer]
) -> str | None:
    """Find the option that a Trainer cannot be built with: without it, something else is said.

    Args:
        options: The options.
        problems: What is said.
        make: Builds the Trainer of these options.

    Returns:
        Its name; None if no option alone is at fault.
    """
    for name, _ in list(options.items(branches=True, nested=False)):
        said: list[str] = []
        value = options.pop(name)
        attempt(make, said)
        options[name] = value  # it now stands last, which tells nothing
        if said != list(problems):
            return name
    return None


def _problems_alone(each: ListsProblems) -> list[str]:
    """Ask an object for its problems; what has none need not look for them again."""
    problems: list[str] = []
    problems += attempt(each.problems, problems) or []
    if not problems:
        getattr(each, "take_as_checked", list)()
    return problems


def attempt(make: Callable[[], _T], problems: list[str]) -> _T | None:
    """Do what may be refused.

    Args:
        make: What to do.
        problems: Gets what is wrong, if it is refused.

    Returns:
        What was made, or None.
    """
    try:
        return make()
    except _REFUSALS as error:
        problems += problems_of(error)
        return None


def problems_of(error: Exception) -> list[str]:
    """List what an error says.

    Args:
        error: An error, perhaps one of several problems.

    Returns:
        One sentence each.
    """
    return list(getattr(error, "problems", [on_one_line(error)]))


def _make(class_type: type, *args: Any, **kwargs: Any) -> Any:
    return class_type(*args, **kwargs)
