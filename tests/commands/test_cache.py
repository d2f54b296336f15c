from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from sdtune._imports import RAY_AVAILABLE
from sdtune.cli import main
from sdtune.files.atomic_file import temporary_sibling
from sdtune.files.feature_store import FeatureStore
from tests.picture_folders import make_picture_folder

_DIGEST = "ab" * 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two shards of features and a picture of a class."""
    root = tmp_path / "cache"
    monkeypatch.setenv("SDTUNE_CACHE", str(root))
    for first in (0, 2):
        store = FeatureStore(root / "features")
        for number in (first, first + 1):
            store.put(bytes([number] * 32), {"moments": torch.zeros(100)})
        store.flush()
    for name in (f"class_pictures/{_DIGEST}/000000.png", f"latents/ab/{_DIGEST}.safetensors"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"x" * 1_500)
    return root


def test_info_says_what_takes_how_much_room(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["cache", "info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{root}: ")
    rows = {line.split()[0]: line.split()[1:5] for line in lines[1:-1]}
    assert list(rows) == ["features", "class_pictures", "latents"]
    assert rows["features"][2:] == ["2", "files"]
    assert rows["latents"] == ["1.5", "KB", "1", "file"]
    assert lines[-1] == "features are limited to 100.0 GB (SDTUNE_CACHE_LIMIT)"


def test_clear_deletes_what_is_computed_again(root: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["cache", "clear"]) == 0
    assert "KB deleted from" in capsys.readouterr().out
    assert [path.name for path in root.iterdir()] == ["class_pictures"]
    assert main(["cache", "clear", "--what", "class_pictures"]) == 0
    assert list(root.iterdir()) == []


def test_clear_leaves_and_names_what_is_somebody_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    mine = [tmp_path / name / "mine.txt" for name in ("features", "problems", "scores/deep")]
    mine.append(tmp_path / "features" / "mine.safetensors")
    own = [tmp_path / f"features/{'ab' * 16}.safetensors"]
    own.append(tmp_path / f"scores/{_DIGEST}.safetensors")
    own.append(temporary_sibling(own[1]))  # which a process that was killed has left
    for path in (*mine, *own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    assert main(["cache", "clear", "--folder", str(tmp_path), "--limit", "0"]) == 0
    assert [path.exists() for path in (*mine, *own)] == [True] * 4 + [False, True, True]
    assert main(["cache", "clear", "--folder", str(tmp_path)]) == 0
    assert [path.exists() for path in (*mine, *own)] == [True] * 4 + [False] * 3
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[1:-1]) == sorted(f"{path} is none of sdtune's, and stays" for path in mine)
    assert lines[-1] == f"20 B deleted from {tmp_path}"


def test_clear_keeps_what_was_used_last(root: Path) -> None:
    old, new = sorted((root / "features").iterdir(), key=lambda path: path.name)
    os.utime(old, (1, time.time() - 60))
    size = new.stat().st_size
    assert main(["cache", "clear", f"--limit={size + 10}"]) == 0
    assert list((root / "features").iterdir()) == [new]
    assert (root / "latents").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected sdtune cache info, sdtune cache clear or"),
        (["clean"], "did you mean `clear`?"),
        (["clear", "--what", "all"], "Expected `--what` to be of features, manifests"),
        (["clear", "--limit", "much"], "Expected `--limit` to be a size such as 50GB"),
        (
            ["clear", "--limit", "1GB", "--what", "latents"],
            "Expected `--limit` without",
        ),
        (["fill"], "Expected `recipe` to be given"),
        (["fill", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_wrong_call_is_told(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["cache", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert (root / "latents").exists()


@pytest.fixture
def call(micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A recipe with its options, for five pictures."""
    monkeypatch.chdir(tmp_path)
    folder = make_picture_folder(tmp_path / "pictures", 5)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""
model: {{class_path: sdtune.LoRAStyleModule, init_args: {{base: {micro_sd}, rank: 2}}}}
data:
  class_path: sdtune.StyleDataModule
  init_args: {{folder: nowhere, resolution: 64, batch_size: 2, cache_dir: {tmp_path / "cache"}}}
trainer:
  {{accelerator: cpu, max_steps: 1, enable_progress_bar: false, logger: false}}
"""
    )
    return [str(recipe), f"--data.folder={folder}", "--data.caption_dropout", "0.5"]


def _count_encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from sdtune.models.stable_diffusion import StableDiffusion

    seen: list[str] = []
    for name in ("encode_images", "encode_prompts"):
        encode = getattr(StableDiffusion, name)

        def counted(self, *arguments, _encode=encode, _name=name):
            seen.append(_name)
            return _encode(self, *arguments)

        monkeypatch.setattr(StableDiffusion, name, counted)
    return seen


@pytest.mark.slow
def test_what_is_filled_is_not_encoded_by_the_run(
    call: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    seen = _count_encoded(monkeypatch)
    assert main(["cache", "fill", *call]) == 0
    assert "features: 11 entries" in capsys.readouterr().out  # 5 pictures, 5 captions, none
    assert len(seen) == 11
    assert not (tmp_path / "runs").exists()
    shards = sorted((tmp_path / "cache" / "features").iterdir())
    assert main(["cache", "fill", *call]) == 0
    assert len(seen) == 11
    assert main(["fit", "--config", *call]) == 0  # which checks its adapter by some prompts
    assert seen.count("encode_images") == 5
    assert sorted((tmp_path / "cache" / "features").iterdir()) == shards


@pytest.mark.slow
@pytest.mark.skipif(not RAY_AVAILABLE, reason='needs pip install "sdtune[ray]"')
def test_two_machines_fill_one_store(
    call: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, include_dashboard=False)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        assert main(["cache", "fill", *call, "--workers", "2"]) == 0
    finally:
        cluster.shutdown()
    out = capsys.readouterr().out
    assert "2 of 2 shares are encoded" in out
    assert "features: 11 entries" in out
    seen = _count_encoded(monkeypatch)
    assert main(["cache", "fill", *call]) == 0
    assert seen == []
