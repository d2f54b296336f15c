from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sdtune._prompt_fields import PromptFields, Subject
from sdtune.comparison.agreement import protocol_problems
from sdtune.comparison.planning import plan_run
from sdtune.comparison.settings import Comparison, Variant

RECIPE = {
    "trainer": {
        "max_epochs": 3,
        "callbacks": [
            {"class_path": "sdtune.Progress"},
            {
                "class_path": "sdtune.EvaluationCallback",
                "init_args": {"prompts": ["a cat", "a dog"], "seeds": [3]},
            },
        ],
    },
    "model": {"class_path": "sdtune.Toy", "init_args": {"rank": 4}},
}


def plan(name="word", recipe=RECIPE, words=(), **changes):
    runs = {
        "word": Variant("word.yaml", subject="<erica>", overrides={"model.rank": 8}),
        "lora": Variant("lora.yaml", subject="erica cat"),
    }
    settings = {"title": "Toys", "runs": runs, "output": "out", **changes}
    return plan_run(Comparison(**settings), name, recipe, words)


def evaluation(planned):
    return planned.changes["trainer"]["callbacks"][1]["init_args"]


def test_a_run_is_started_by_its_recipe_the_changes_and_its_overrides():
    planned = plan(overrides={"data.flip": True}, words=["--seed=1"])
    assert planned.command() == [
        "sdtune",
        "fit",
        f"--config=out/starts/word_{planned.digest}/_recipe.yaml",
        f"--config=out/starts/word_{planned.digest}/word.yaml",
        "--data.flip=true",
        "--model.rank=8",
        "--seed=1",
        f"--run={planned.digest}",
    ]
    assert planned.folder == Path("out/word", planned.digest)
    assert planned.command(resume=True)[-1] == f"--resume={planned.folder}"


def test_changes_are_a_recipe_of_their_own(tmp_path):
    planned = replace(plan(output=str(tmp_path)), text="# as it was\nmodel: null\n")
    planned.write_recipes()
    assert planned.recipe_path.read_text(encoding="utf-8") == planned.text
    changes = yaml.safe_load(planned.changes_path.read_text(encoding="utf-8"))
    assert changes["trainer"]["default_root_dir"] == str(tmp_path)
    assert changes["trainer"]["callbacks"][0] == {"class_path": "sdtune.Progress"}


def test_the_evaluation_is_the_comparisons_where_it_says_something():
    planned = plan(evaluation={"prompts": ["a {subject} in snow"]})
    assert evaluation(planned) == {"prompts": ["a <erica> in snow"], "seeds": [3]}
    assert RECIPE["trainer"]["callbacks"][1]["init_args"]["prompts"] == ["a cat", "a dog"]


def test_a_recipe_without_evaluation_gets_one():
    bare = {"trainer": {"callbacks": "sdtune.Progress"}}
    planned = plan(recipe=bare, evaluation={"prompts": ["a {subject}"]})
    assert evaluation(planned) == {"prompts": ["a <erica>"]}


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"budget_steps": 20}, ("--trainer.max_steps=20", "--trainer.max_epochs=-1")),
        ({"budget_minutes": 1.5}, ("--trainer.max_time=00:00:01:30",)),
        ({"budget_minutes": 60 * 25}, ("--trainer.max_time=01:01:00:00",)),
    ],
)
def test_the_budget_comes_last(budget, words):
    assert plan(words=["--trainer.max_steps=5"], **budget).words[2:] == words


def test_the_digest_is_of_all_that_decides_the_result():
    first = plan()
    assert plan(output="elsewhere", title="Other").digest == first.digest
    others = [
        plan(budget_steps=2),
        plan(recipe={**RECIPE, "seed": 3}),
        plan(words=["--trainer.callbacks.x=1"]),
        plan(evaluation={"seeds": [4]}),
        plan("lora"),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 6


def test_a_part_of_an_override_is_of_the_digest_and_a_class_alone_is_a_model(tmp_path):
    part = tmp_path / "m.yaml"
    words = [f"--model={part}"]
    digests = set()
    for rank in (4, 8):
        part.write_text(f"{{class_path: sdtune.Toy, init_args: {{rank: {rank}}}}}")
        planned = plan(words=words)
        assert planned.words[-1].startswith('--model={"class_path": "sdtune.Toy", "init_args"')
        digests.add(planned.digest)
    assert len(digests) == 2
    assert plan(recipe={**RECIPE, "model": "sdtune.Toy"}).clip_skip == 1


def test_another_version_starts_anew(monkeypatch):
    first = plan()
    monkeypatch.setattr("sdtune.__version__", "9")
    assert plan().digest != first.digest


def test_one_protocol_may_name_each_runs_own_subject():
    shared = {"evaluation": {"prompts": ["a {subject}", "a {subject} in snow"]}}
    assert protocol_problems([plan("word", **shared), plan("lora", **shared)]) == []


def _named(planned, tuned, noun):
    return planned.with_fields(PromptFields.of_subjects([Subject(noun, name=tuned)]))


def _of_field(name, **more):
    arguments = {"prompts": ["a {subject}", "{subject} in snow"], **more}
    trainer = {"callbacks": [{"class_path": "EvaluationCallback", "init_args": arguments}]}
    return plan(name, {"trainer": trainer}, runs={"word": Variant("w"), "lora": Variant("l")})


def test_fields_are_filled_with_each_runs_words_which_may_differ():
    word = _named(_of_field("word"), "<robot>", "robot")
    lora = _named(_of_field("lora"), "qqq droid", "droid")
    assert (word.subject, lora.subject) == ("<robot>", "qqq droid")
    assert word.digest == _of_field("word").digest
    assert protocol_problems([word, lora]) == []
    spelled = {"prompts": ["a qqq droid", "qqq droid in snow"]}
    assert protocol_problems([word, _named(_of_field("lora", **spelled), "qqq droid", "d")]) == []


def test_what_is_drawn_of_the_class_must_be_the_same_in_words():
    classes = {"class_prompts": ["a {class}"]}
    word = _named(_of_field("word", **classes), "<robot>", "robot")
    assert protocol_problems([word, _named(_of_field("lora", **classes), "r", "robot")]) == []
    [problem] = protocol_problems([word, _named(_of_field("lora", **classes), "d", "droid")])
    assert "but `class_prompts` of" in problem


def _styled(name, words=(), **arguments):
    arguments = {"prompts": ["a hat", "a car"], **arguments}
    trainer = {"callbacks": [{"class_path": "EvaluationCallback", "init_args": arguments}]}
    recipe = {"trainer": trainer, "model": {"init_args": {"clip_skip": 2}}}
    return plan(name, recipe, words, runs={"word": Variant("w"), "lora": Variant("l")})


def test_one_judge_of_style_needs_one_number_of_pictures():
    eight, subject = _styled("word", style_pictures=8), _styled("lora", goal="subject")
    assert protocol_problems([eight, _styled("lora", style_pictures=8)]) == []
    assert protocol_problems([eight, subject]) == []  # which measures no style
    for other in (_styled("lora", style_pictures=24), _styled("lora")):
        [problem] = protocol_problems([eight, other])
        assert "but `style_pictures` of sdtune.EvaluationCallback differ" in problem


@pytest.mark.parametrize("word", [["--model.clip_skip=1"], ["--model.init_args.clip_skip", "1"]])
def test_bases_that_draw_other_pictures_are_named_before_anything_starts(word):
    assert protocol_problems([_styled("word"), _styled("lora", ["--model.clip_skip=2"])]) == []
    [problem] = protocol_problems([_styled("word"), _styled("lora", word)])
    assert "but `model.clip_skip` is 1 and 2, with which their bases" in problem


def test_different_protocols_are_named_before_anything_starts():
    other = {"trainer": {"callbacks": [{"class_path": "sdtune.EvaluationCallback"}]}}
    [problem] = protocol_problems([plan("word"), plan("lora", recipe=other)])
    assert problem.startswith(
        "Expected `lora` to be evaluated as `word` is, but `prompts`, `seeds`"
    )
