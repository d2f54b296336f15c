import shutil
from dataclasses import replace

import pytest
import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.evaluation.adapter_evaluation import AdapterEvaluation
from sdtune.evaluation.best import BestRule
from sdtune.evaluation.evaluation_call import EvaluationCall
from sdtune.evaluation.training_set import TrainingSet
from sdtune.models import load
from sdtune.run_folder.record import Choice, Evaluation
from tests.comparison.runs import make_evaluation


@pytest.fixture
def ask(micro_sd, judge_folders, training, tmp_path, monkeypatch):
    """The arguments of an evaluation as small as it can be."""
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return {
        "base": str(micro_sd),
        "pictures": str(training.folder),
        "prompt": ["a cat", "a dog"],
        "seeds": [0],
        "num_inference_steps": 1,
        "guidance_scale": 1.0,
        "clip": str(judge_folders[0]),
        "goal": "subject",
    }


def evaluation_of(*given, **asked):
    return AdapterEvaluation(EvaluationCall(*given, **asked))


def save_as_diffusers(adapter, folder):
    return AdapterSet(adapter).save(folder)


def save_as_kohya(adapter, folder):
    path = folder / KohyaFormat.file_name
    KohyaFormat().write(adapter, path, {})
    return path


@pytest.fixture
def run(micro_sd, tmp_path):
    """A run folder with two checkpoints, the second in kohya's layout."""
    model = load(micro_sd)
    add_lora(model, rank=1, alpha=1.0, target_modules=["to_q", "to_out.0"])
    folder = tmp_path / "run"
    for step in (2, 4):
        with torch.no_grad():
            for parameter in lora_parameters(model):
                parameter += 0.2
        save = save_as_diffusers if step == 2 else save_as_kohya
        save(LoRAAdapter.from_model(model), folder / "adapter" / f"step_{step:06d}")
    return folder


@pytest.mark.slow
def test_all_checkpoints_of_a_run_and_then_more_of_its_prompts(ask, run, tmp_path):
    first = evaluation_of(str(run), output=str(run), **ask).evaluate()
    assert [(each.label, each.step) for each in first.checkpoints] == [
        ("base", 0),
        ("step_000002", 2),
        ("step_000004", 4),
    ]
    scores = [each.figures["clip_i"].value for each in first.checkpoints]
    assert len(set(scores)) == 3  # both layouts were read, and both changed the pictures
    assert first.best is not None
    again = evaluation_of(str(run))  # base, pictures and prompts are the run's own
    assert again.base == ask["base"]
    assert again.output == run
    repeated = again.evaluate()
    assert repeated.checkpoints == first.checkpoints == Evaluation.load(run).checkpoints
    with pytest.raises(ValueError, match="size and judges, for only then"):
        evaluation_of(str(run), height=32).evaluate()
    # each setting that is given takes the place of the run's own, and no other
    for name, value in {"seeds": [5], "num_inference_steps": 3, "guidance_scale": 1.0}.items():
        other = evaluation_of(str(run), output="elsewhere", **{name: value}).protocol
        assert other == replace(first.protocol, **{name: value})
    wide = evaluation_of(str(run), height=32, output=str(tmp_path / "wide")).evaluate()
    assert wide.size == (first.size[0], 32)
    assert wide.protocol.prompts == first.protocol.prompts
    changed = evaluation_of(str(run), output=str(run), **(ask | {"seeds": [1]}))
    with pytest.raises(ValueError, match="can it be added to, but it is not"):
        changed.evaluate()
    # how the run was judged and how it ended stay, and so do scores of what is no more there
    choice, cost = Choice("subject", 0.7, 1.0), replace(first.cost, run_seconds=100.0)
    replace(first, finished=False, choice=choice, cost=cost).save(run / "evaluation.json")
    shutil.rmtree(run / "adapter" / "step_000002")
    later = evaluation_of(str(run)).evaluate()
    assert (later.finished, later.choice, later.cost) == (False, choice, cost)
    gone = replace(first.checkpoints[1], adapter=None)
    assert later.checkpoints == [first.checkpoints[0], gone, first.checkpoints[2]]
    assert "at most 100%" in later.best.rule


def test_what_a_run_was_judged_by_is_asked_again(ask, run):
    record = make_evaluation([1.0, 2.0, 3.0, 4.0])
    record = replace(
        record,
        protocol=replace(record.protocol, style_pictures=8, clip_skip=2, max_prompt_chunks=3),
        training_pictures=replace(
            record.training_pictures, folder=ask["pictures"], held_out=["0.png"]
        ),
        base=replace(record.base, source=ask["base"]),
        choice=Choice("style", 0.7, 1.0),
    )
    record.save(run / "evaluation.json")
    again = evaluation_of(str(run))
    assert again.rule == BestRule("style", 0.7, 1.0)
    assert (again.style_pictures, again.clip_skip, again.max_prompt_chunks) == (8, 2, 3)
    training = TrainingSet.from_folder(**again.reading)
    assert [each.name for each in training.held_out] == ["0.png"]
    assert training.describe().held_out == ["0.png"]
    assert training.describe().count == 5
    assert evaluation_of(str(run), goal="clip_i").rule == BestRule("clip_i", 0.7, 1.0)
    one = evaluation_of(str(next((run / "adapter").iterdir())), output=str(run))
    assert (one.rule, one.reading, one.run) == (again.rule, again.reading, record.run)
    given = evaluation_of(str(run), style_pictures=4, clip_skip=1, output="elsewhere")
    assert (given.protocol.style_pictures, given.protocol.clip_skip) == (4, 1)


def test_another_runs_folder_is_no_output(ask, run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").touch()
    with pytest.raises(ValueError, match="is that of another run: name a folder such as"):
        evaluation_of(str(run), output=str(tmp_path / "other"), **ask)


def test_the_record_names_the_adapters_that_lie_below_it(ask, run, tmp_path):
    below = evaluation_of("run", output=str(run), **ask)
    assert dict(below._kept()) == {
        "step_000002": "adapter/step_000002",
        "step_000004": "adapter/step_000004",
    }
    assert dict(evaluation_of(str(run), output="elsewhere", **ask)._kept()) == {}


def test_the_base_alone(ask, tmp_path):
    evaluation = evaluation_of(**ask)
    record = evaluation.evaluate()
    assert [each.label for each in record.checkpoints] == ["base"]
    assert record.best is None
    assert (tmp_path / "runs" / "evaluate" / "base" / "evaluation.json").is_file()


def test_an_adapter_of_another_architecture_is_one_sentence(ask, micro_sd, tmp_path):
    model = load(micro_sd)
    add_lora(model, rank=1, alpha=1.0, target_modules=["to_q"])
    adapter = LoRAAdapter.from_model(model)
    downs = {key: each for key, each in adapter.weights["unet"].items() if "lora_A" in key}
    adapter.weights["unet"].update({key: torch.zeros(len(each), 3) for key, each in downs.items()})
    for save in (save_as_diffusers, save_as_kohya):
        path = save(adapter, tmp_path / "other")
        with pytest.raises(ValueError, match=r"to fit the architecture of .*micro_sd, but"):
            evaluation_of(str(path), **ask).evaluate()


def test_the_base_reads_what_each_of_several_words_was_started_from(ask, micro_sd, tmp_path):
    model = load(micro_sd)
    started = {"<erica>": "c", "<rex>": "d"}
    for word, initializer in started.items():
        add_token_embedding(model, word, initializer)
    add_lora(model, rank=1, alpha=1.0, target_modules=["to_q"])
    words = [TokenEmbeddingAdapter.from_model(model, each) for each in started]
    # the header of a run of several words names them all, as a text
    metadata = {"sdtune.initializer_tokens": str(list(started.values()))}
    path = AdapterSet(*words, LoRAAdapter.from_model(model)).save(tmp_path / "two", metadata)
    for adapter in (path, path.parent):
        assert evaluation_of(str(adapter), **ask)._words() == started


def test_pictures_are_read_as_a_recipe_reads_them(ask, tmp_path):
    several = {str(tmp_path / name): 2 for name in "ab"}
    call = {"pictures": several, "source": "kohya", "caption_column": "blurb"}
    how = evaluation_of(**(ask | call)).reading
    assert how == {"folder": several, "source": "kohya", "caption_column": "blurb"}
    assert evaluation_of(**ask).reading == {"folder": ask["pictures"]}
    with pytest.raises(ValueError, match="Expected `source` to be one of"):
        evaluation_of(**(ask | {"source": "kohia"}))


def test_all_that_is_wrong_with_a_call_is_said(ask, tmp_path):
    with pytest.raises(ValueError, match="`prompts` to be a list") as caught:
        evaluation_of(base="no such base", clip_skip=0)
    for message in ("`base` to be `nano`", "`pictures` to be the folder", "`clip_skip` to be"):
        assert message in str(caught.value)
    with pytest.raises(FileNotFoundError, match="Expected an adapter at nowhere"):
        evaluation_of("nowhere", **ask)
    lines = tmp_path / "prompts.txt"
    lines.write_text("a cat\n\n a dog \n")
    evaluation = evaluation_of(**(ask | {"prompt": ["a hat"], "prompts": str(lines)}))
    assert evaluation.protocol.prompts == ["a hat", "a cat", "a dog"]


def test_prompts_have_the_chunks_that_the_adapter_was_trained_with(ask, micro_sd, tmp_path):
    model = load(micro_sd)
    add_lora(model, rank=1, alpha=1.0, target_modules=["to_q"])
    adapter = AdapterSet(LoRAAdapter.from_model(model))
    for chunks in ("3", None):
        numbers = {} if chunks is None else {"max_prompt_chunks": chunks, "clip_skip": "2"}
        adapter.save(tmp_path / "adapter", {f"sdtune.{name}": n for name, n in numbers.items()})
        evaluation = evaluation_of(str(tmp_path / "adapter"), **ask)
        assert evaluation.max_prompt_chunks == int(chunks or 1)
        assert evaluation.clip_skip == (1 if chunks is None else 2)
    given = evaluation_of(str(tmp_path / "adapter"), max_prompt_chunks=2, **ask)
    assert given._load().max_prompt_chunks == 2
    assert evaluation_of(**ask).max_prompt_chunks == 1
