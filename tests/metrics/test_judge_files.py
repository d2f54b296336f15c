from pathlib import Path

from sdtune.metrics.judge_files import digest_of_judge, nano_judge


def _judge(folder: Path, weights: bytes = b"numbers") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_judge_is_known_by_its_files(tmp_path: Path) -> None:
    first = digest_of_judge(_judge(tmp_path / "a"))
    assert first is not None
    assert digest_of_judge(_judge(tmp_path / "b")) == first
    assert digest_of_judge(_judge(tmp_path / "c", b"others")) != first
    (tmp_path / "b" / "preprocessor_config.json").write_text('{"size": 8}')
    assert digest_of_judge(tmp_path / "b") != first
    assert digest_of_judge("nano") == digest_of_judge(nano_judge())


def test_one_without_files_here_is_not_known(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert digest_of_judge("nobody/clip") is None
    assert digest_of_judge("not/an/id") is None
    (tmp_path / "empty").mkdir()
    assert digest_of_judge(tmp_path / "empty") is None
