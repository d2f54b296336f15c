"""`python -m sdtune.nano`: what its commands tell a script and a reader."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jsonargparse import auto_cli

from sdtune.nano.making import commands


@pytest.mark.parametrize(("steps", "status"), [(9, 1), (10, 0), (11, 0)])
def test_is_finished_from_the_recipes_last_step_on(tmp_path: Path, steps: int, status: int) -> None:
    torch.save({"global_step": steps}, tmp_path / "last.ckpt")
    (tmp_path / "config.yaml").write_text("trainer:\n  max_steps: 10\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        commands.is_finished(tmp_path / "last.ckpt", tmp_path / "config.yaml")
    assert stop.value.code == status


def test_arguments_come_from_the_command_line(tmp_path: Path) -> None:
    torch.save({"global_step": 3}, tmp_path / "last.ckpt")
    (tmp_path / "config.yaml").write_text("trainer: {max_steps: 3}", encoding="utf-8")
    arguments = ["is_finished", str(tmp_path / "last.ckpt"), str(tmp_path / "config.yaml")]
    with pytest.raises(SystemExit) as stop:
        auto_cli([commands.card, commands.is_finished], args=arguments)
    assert stop.value.code == 0
