"""What `sdtune compare` can be told."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

__all__ = ["CompareCall"]


@dataclass(frozen=True)
class CompareCall:
    """Train by several recipes on one budget, score them in the same way, and write one table.

    Each run is a process of `sdtune fit`. A finished run is not repeated, one that was stopped goes
    on. A comparison's file gives several settings of a recipe, one evaluation for all, tables and
    figures.

      sdtune compare recipes/textual_inversion.yaml recipes/pivotal_tuning.yaml --budget_steps 400
      sdtune compare recipes/paper/style.yaml --publish results/
      sdtune compare style_lora --sweep "model.learning_rate=1e-3,2e-3;model.rank=4,16"

    --model.KEY, --data.KEY, --trainer.KEY, --seed and --trust are those of `sdtune fit`, for all
    runs.

    Args:
        recipes: Recipes, or one comparison's file.
        sweep: Keys and their values, `model.rank=4,16;seed=1,2`: each recipe is run with every
            value of each key and every value of the others.
        budget_steps: Optimizer steps of each run.
        budget_minutes: Minutes that each run may train; a recipe's own max_steps may end it
            earlier.
        output: Folder of runs and results; by default runs/compare, or runs/<the file's name>.
        workers: `ray:N` for N runs at a time over the machines of a Ray cluster; `1` for in turn.
        asha: A metric, such as `style_score`, by which Ray Tune's ASHA ends runs early: at
            evaluations 1, 3, 9 ... a run goes on if its figure is in the best third so far.
        publish: Folder that gets README.md, figures and comparison.json too: a new one, or one that
            holds a comparison's.
    """

    recipes: list[str]
    _: KW_ONLY
    sweep: str | None = None
    budget_steps: int | None = None
    budget_minutes: float | None = None
    output: str | None = None
    workers: str = "1"
    asha: str | None = None
    publish: Path | None = None
