"""`sdtune evaluate`: score any adapter, or all checkpoints of a run, against its base."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError, on_one_line
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.evaluation.evaluation_call import EvaluationCall
from sdtune.files.printable_text import show
from sdtune.run_folder.layout import BASE_LABEL, RECORD
from sdtune.run_folder.record import Evaluation

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Score adapters and print a table.

    Args:
        arguments: The command line after `sdtune evaluate`.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call, the adapter or the pictures are wrong; it lists every problem.
    """
    call = EvaluationCall(**read_call(EvaluationCall, "sdtune evaluate", arguments, _problems))
    # only now: it brings torch along
    from sdtune.evaluation.adapter_evaluation import AdapterEvaluation

    quiet_misleading_messages()
    try:
        evaluation = AdapterEvaluation(call)
        record = evaluation.evaluate()
    except (ImportError, OSError, ValueError) as error:
        raise CallError(getattr(error, "problems", [on_one_line(error)])) from error
    show(*_table(record).split("\n"))
    show("", f"record and pictures: {evaluation.output / RECORD}")
    return 0


def _problems(adapter: str | None = None, **others: object) -> Iterator[str]:
    if adapter is not None and not Path(adapter).exists():
        yield (
            f"Expected an adapter or a run folder at {adapter}, but there is nothing: name one "
            "such as runs/style_lora/version_0."
        )


def _table(record: Evaluation) -> str:
    """Word the figures with their intervals and verdicts, a block for each checkpoint."""
    from sdtune.report.figures import metric_rows  # only now: it brings torch along

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
