"""`sdtune evaluate`: score any adapter, or all checkpoints of a run, against its base."""

import json
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser

from sdtune.commands.errors import CallError
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.evaluation.adapter_evaluation import AdapterEvaluation
from sdtune.report.figures import metric_rows
from sdtune.run_folder.layout import BASE_LABEL, RECORD
from sdtune.run_folder.record import Evaluation

__all__ = ["main"]

_LISTS = ("--prompt", "--class_prompt", "--seeds")


def main(arguments: Sequence[str]) -> int:
    """Score adapters and print a table.

    Args:
        arguments: The command line after `sdtune evaluate`.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call, the adapter or the pictures are wrong; it lists every problem.
    """
    quiet_misleading_messages()
    parser = ArgumentParser(
        prog="sdtune evaluate",
        description="Score an adapter, or all checkpoints of a run, against its base.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument("adapter", nargs="?", help="a run, or an adapter's file or folder")
    parser.add_class_arguments(AdapterEvaluation, skip={"adapter"})
    try:
        given = parser.parse_args(_with_json_lists(arguments)).as_dict()
        evaluation = AdapterEvaluation(**given)
        record = evaluation.evaluate()
    except (ArgumentError, ImportError, OSError, ValueError) as error:
        raise CallError(getattr(error, "problems", [" ".join(str(error).split())])) from error
    print(_table(record))
    print(f"\nrecord and pictures: {evaluation.output / RECORD}")
    return 0


def _with_json_lists(arguments: Sequence[str]) -> list[str]:
    """Let lists be given as people do: `--seeds 0 1`, `--prompt "a cat" --prompt "a dog"`."""
    words: list[str] = []
    lists: dict[str, list[str]] = {}
    current = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--"):
            current = name if name in _LISTS else None
            if current is not None:
                lists.setdefault(current, []).extend([value] if equals else [])
                continue
        if current is None:
            words.append(argument)
        else:
            lists[current].append(argument)
    for name, values in lists.items():
        if len(values) == 1 and values[0].startswith("["):
            words.append(f"{name}={values[0]}")  # JSON already
        else:
            bare = f"[{', '.join(values)}]" if name == "--seeds" else json.dumps(values)
            words.append(f"{name}={bare}")
    return words


def _table(record: Evaluation) -> str:
    """Word the figures with their intervals and verdicts, a block for each checkpoint."""
    lines = []
    for checkpoint in record.checkpoints:
        where = "" if checkpoint.label == BASE_LABEL else f", against {record.base.source}"
        lines += ["", f"{checkpoint.label}{where}"]
        for row in metric_rows(record, record.untuned, checkpoint):
            value, between = row.tuned
            change, changed = row.difference
            last = f"{change:>9} ({changed}): {row.verdict}" if row.verdict else row.direction
            lines.append(f"  {row.title:15}{value:>9} {f'({between})':20} {last}")
    if record.best is not None:
        lines += ["", f"best: {record.best.label or 'none'}. {record.best.reason}"]
        lines.append(record.best.rule)
    lines.append("Intervals: 95 %, over prompts and seeds.")
    return "\n".join(lines[1:])
