"""A command's call, read by the signature of the function or class behind it.

What stands before `*` in the signature is given by its place, the rest by `--name value`. Lists
are given as people do: `--seeds 0 1`, `--prompt "a cat" --prompt "a dog"`, or as JSON. A switch
needs no value: `--json` is `--json true`.
"""

import typing
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, cleandoc, isclass, signature
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from sdtune.commands.annotations import annotation_words
from sdtune.commands.errors import CallError, nearest

__all__ = ["read_call"]

_BOOLEANS = ("true", "false")
_SHORT = {
    "o": "output",
    "h": "help",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
}


class _Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
    """Keeps the lines of a description, which holds examples."""


def read_call(
    component: Callable[..., Any],
    prog: str,
    arguments: Sequence[str],
    check: Callable[..., Iterable[str]] | None = None,
) -> dict[str, Any]:
    """Read a call.

    Args:
        component: The function or class, with a docstring in Google style.
        prog: The command, such as `sdtune report`.
        arguments: The words after it.
        check: Takes what is given, as the component does, and says what is wrong with it.

    Returns:
        The arguments that are given, by name.

    Raises:
        CallError: With everything that is wrong.
        SystemExit: If help was asked for, after it is shown.
    """
    if {"-h", "--help"} & set(arguments):
        _show_help(component, prog)
        raise SystemExit(0)
    parameters = _parameters(component)
    hints = typing.get_type_hints(component.__init__ if isclass(component) else component)
    problems: list[str] = []
    texts = _texts(prog, parameters, hints, arguments, problems)
    given: dict[str, Any] = {}
    for name, values in texts.items():
        try:
            given[name] = _value(hints[name], values)
        except ArgumentError:
            got = " ".join(values)
            shown = name if _is_placed(parameters[name]) else f"--{name}"
            words = annotation_words(_without_none(hints[name]))
            problems.append(f"Expected `{shown}` to be {words}, but got `{got}`.")
    missing = [
        f"`{name if _is_placed(parameter) else f'--{name}'}`"
        for name, parameter in parameters.items()
        if name not in texts and parameter.default is Parameter.empty
    ]
    if missing:
        needed = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        usage = _usage(prog, parameters, hints)
        problems.append(f"Expected {needed} to be given: {usage}; `{prog} --help` says more.")
    if check is not None:
        problems += check(**given)
    if problems:
        raise CallError(problems)
    return given


def _texts(
    prog: str,
    parameters: typing.Mapping[str, Parameter],
    hints: dict[str, Any],
    arguments: Sequence[str],
    problems: list[str],
) -> dict[str, list[str]]:
    """Sort the words by the parameters that they are for."""
    texts: dict[str, list[str]] = {}
    places = [name for name, each in parameters.items() if _is_placed(each)]
    known = [name for name in parameters if name not in places]
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not _is_option(word):
            name = next((p for p in places if p not in texts or _is_list(hints[p])), None)
            if name is None:
                problems.append(f"Expected {_usage(prog, parameters, hints)}, but got `{word}`.")
            else:
                texts.setdefault(name, []).append(word)
            continue
        written, equals, value = word.partition("=")
        name = written.lstrip("-").replace("-", "_")
        name = name if name in known else _SHORT.get(name, name)
        values = [value] if equals else []
        many = name in known and _is_list(hints[name])
        is_switch = name in known and hints[name] is bool
        while not equals and words and not _is_option(words[0]) and (many or not values):
            if is_switch and words[0].lower() not in _BOOLEANS:
                break
            values.append(words.pop(0))
        if is_switch and not values:
            values.append("true")
        if name not in known:
            near = nearest(f"--{name}", [f"--{each}" for each in known])
            near = near if len(near) > 1 else f"; `{prog} --help` lists them."
            problems.append(f"Expected a known option, but got `{written}`{near}")
            continue
        if not values:
            problems.append(f"Expected `{written}` to be given a value, but it has none.")
        texts[name] = [*(texts.get(name, []) if many else []), *values]
    return texts


def _value(hint: Any, texts: Sequence[str]) -> Any:
    """Read the words of one parameter by its type."""
    if not texts:
        return None
    if _is_list(hint) and not (len(texts) == 1 and texts[0].startswith("[")):
        inner = get_args(_without_none(hint))[0]
        return [_value(inner, [text]) for text in texts]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=hint)
    return parser.parse_args([f"--it={texts[-1]}"]).it


def _show_help(component: Callable[..., Any], prog: str) -> None:
    parameters = _parameters(component)
    hints = typing.get_type_hints(component.__init__ if isclass(component) else component)
    text, _, below = cleandoc(component.__doc__ or "").partition("\nArgs:\n")
    places = [name for name, each in parameters.items() if _is_placed(each)]
    options = ArgumentParser(
        prog=prog,
        usage=_usage(prog, parameters, hints),
        description=text.strip(),
        formatter_class=_Formatter,
    )
    for name in places:
        needed = parameters[name].default is Parameter.empty
        nargs = ("+" if _is_list(hints[name]) else None) if needed else "?"
        options.add_argument(name, metavar=_metavar(name), nargs=nargs, help=_help_of(name, below))
    if isclass(component):
        options.add_class_arguments(component, skip=set(places))
    else:
        options.add_function_arguments(component, skip=set(places))
    options.print_help()


def _help_of(name: str, section: str) -> str:
    """Take a parameter's text out of the section `Args` of a docstring."""
    lines = iter(section.splitlines())
    found = next((line for line in lines if line.strip().startswith(f"{name}: ")), "")
    words = [found.partition(": ")[2]]
    for line in lines:
        if not line.startswith(" " * 8):
            break
        words.append(line.strip())
    return " ".join(words)


def _usage(prog: str, parameters: typing.Mapping[str, Parameter], hints: dict[str, Any]) -> str:
    words = [prog]
    for name, each in parameters.items():
        shown = _metavar(name) if _is_placed(each) else f"--{name} {name.upper()}"
        if _is_placed(each) and _is_list(hints[name]):
            shown += f" [{shown} ...]"
        if each.default is Parameter.empty:
            words.append(shown)
        elif _is_placed(each):
            words.append(f"[{shown}]")
    return " ".join([*words, "[--option value ...]"])


def _parameters(component: Callable[..., Any]) -> dict[str, Parameter]:
    """List the parameters of a component that have a name on the command line."""
    every = signature(component).parameters.items()
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {name: each for name, each in every if each.kind in kinds}


def _metavar(name: str) -> str:
    return name.upper().removesuffix("S")


def _is_placed(parameter: Parameter) -> bool:
    return parameter.kind is Parameter.POSITIONAL_OR_KEYWORD


def _is_option(word: str) -> bool:
    return word.startswith("-") and not word.lstrip("-")[:1].isdigit() and word != "-"


def _is_list(hint: Any) -> bool:
    return get_origin(_without_none(hint)) in (list, Sequence)


def _without_none(hint: Any) -> Any:
    kinds = [each for each in get_args(hint) if each is not type(None)]
    is_optional = type(None) in get_args(hint)
    return kinds[0] if is_optional and len(kinds) == 1 else hint
