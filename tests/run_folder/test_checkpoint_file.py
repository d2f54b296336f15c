import os
import pickle

import pytest
import torch

from sdtune.run_folder.checkpoint_file import content_problem

WHOLE = {
    "epoch": 0,
    "global_step": 2,
    "loops": {"fit_loop": {"state_dict": {}}},
    "lr_schedulers": [],
    "optimizer_states": [],
    "pytorch-lightning_version": "2.6.0",
    "state_dict": {"weight": torch.ones(1000)},
}


class Payload:
    def __reduce__(self):
        return os.mkdir, ("has_run",)


def test_a_whole_one_has_no_problem(tmp_path):
    torch.save(WHOLE, tmp_path / "last.ckpt")
    assert content_problem(tmp_path / "last.ckpt") is None


def test_every_damage_is_one_sentence_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(WHOLE, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    damaged = {
        "empty": (b"", "it is damaged (EOFError); take an earlier one"),
        "cut off": (content[: len(content) // 2], "it is damaged"),
        "no zip": (b"PK\x03\x04" + b"\0" * 100, "it is damaged"),
        "text": (b"hello", "it is damaged"),
        "code": (pickle.dumps(Payload()), "could run code and is not read"),
    }
    for name, (written, reason) in damaged.items():
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(written)
        problem = content_problem(path)
        assert problem.startswith(f"Expected {path} to be a checkpoint to go on from, but")
        assert reason in problem
        assert "weights_only" not in problem
        assert "\n" not in problem
    assert not (tmp_path / "has_run").exists()
    assert "there is no such file" in content_problem(tmp_path / "gone")


@pytest.mark.parametrize("key", WHOLE)
def test_what_is_missing_is_named(tmp_path, key):
    torch.save({name: each for name, each in WHOLE.items() if name != key}, tmp_path / "a.ckpt")
    assert f"it holds no `{key}`: it has the weights" in content_problem(tmp_path / "a.ckpt")
    for loops in ({}, {"fit_loop": {}}, []):
        torch.save({**WHOLE, "loops": loops}, tmp_path / "a.ckpt")
        assert "does not say how far the training was" in content_problem(tmp_path / "a.ckpt")
    torch.save([1, 2], tmp_path / "a.ckpt")
    assert "it holds no state of a training" in content_problem(tmp_path / "a.ckpt")
