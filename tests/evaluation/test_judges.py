import torch

from sdtune.evaluation import judges as module
from sdtune.evaluation.judges import judge_problems, load_judges


def test_what_is_not_given_is_left_out_and_the_log_says_why(judge_folders, caplog):
    caplog.set_level("INFO", logger=module.__name__)
    before = torch.get_rng_state()
    judges = load_judges(str(judge_folders[0]), None, num_seeds=1)
    assert (judges.dino, judges.lpips) == (None, None)
    assert "DINO is not measured" in caplog.text
    assert "Diversity is not measured: it needs two seeds" in caplog.text
    assert torch.equal(torch.get_rng_state(), before)


def test_diversity_is_left_out_without_its_extra_or_weights(judge_folders, caplog, monkeypatch):
    def fail():
        raise ValueError("AlexNet is not here.")

    caplog.set_level("INFO", logger=module.__name__)
    monkeypatch.setattr(module, "load_lpips", fail)
    for available, message in ((False, 'pip install "sdtune[lpips]"'), (True, "AlexNet is not")):
        monkeypatch.setattr(module, "TORCHVISION_AVAILABLE", available)
        assert load_judges(str(judge_folders[0]), None, num_seeds=2).lpips is None
        assert message in caplog.text


def test_networks_are_on_the_device_only_while_they_judge(judges, monkeypatch):
    moves = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: moves.append(device))
    with judges.on("cuda"):
        assert moves == ["cuda", "cuda"]
    assert moves == ["cuda", "cuda", "cpu", "cpu"]


def test_problems_are_found_without_loading(judge_folders):
    clip, dino = map(str, judge_folders)
    assert judge_problems(clip, dino) == []
    assert ["to be a CLIP" in each for each in judge_problems(dino, None)] == [True]
    assert len(judge_problems("somebody/clip", "somebody/dino")) == 2
