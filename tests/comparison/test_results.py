from dataclasses import replace

import pytest
from torch.utils.tensorboard import SummaryWriter

from sdtune.comparison.execution import Outcome
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.results import check_comparable, read_result
from tests.comparison.runs import make_evaluation, make_result

SCORES = [1.0, 2.0, 3.0, 4.0]


def changed(result, **changes):
    return replace(result, evaluation=replace(result.evaluation, **changes))


def told(result):
    """With what older records do not say."""
    protocol = replace(result.evaluation.protocol, style_pictures=8, clip_skip=1)
    pictures = replace(result.evaluation.training_pictures, held_out=["a.png"])
    return changed(result, protocol=protocol, training_pictures=pictures)


def test_a_finished_run_is_read(tmp_path):
    plan = PlannedRun("word", "r", {}, (), "0123", tmp_path, "<erica>")
    evaluation = make_evaluation(SCORES)
    evaluation.save(plan.folder / "evaluation.json")
    with SummaryWriter(str(plan.folder)) as writer:
        for step, loss in enumerate([0.5, 0.25]):
            writer.add_scalar("train/loss", loss, step)
    recipe = "model: {class_path: sdtune.Word, init_args: {rank: 2, min_snr_gamma: 5.0}}"
    (plan.folder / "config.yaml").write_text(recipe, encoding="utf-8")
    record = Outcome("word", "finished", "", "sdtune fit", 60.0, str(plan.folder))
    result = read_result(plan, "A word", record)
    assert (result.evaluation, result.label, result.subject) == (evaluation, "A word", "<erica>")
    assert list(result.loss.values) == [0.5, 0.25]
    assert result.loss_settings == {"model.class_path": "Word", "model.min_snr_gamma": 5.0}
    assert (result.base.label, result.last.label) == ("base", "step_000002")


def test_a_failed_run_has_no_scores(tmp_path):
    plan = PlannedRun("word", "r", {}, (), "0123", tmp_path)
    record = Outcome("word", "failed", "Why.", "sdtune fit", 60.0, str(plan.folder))
    result = read_result(plan, "A word", record)
    assert result.evaluation is result.last is result.loss is None


def test_prompts_may_differ_in_the_subject_alone():
    word, lora = make_result("word", SCORES, subject="<erica>"), make_result("lora", SCORES)
    check_comparable([word, make_result("broken"), lora])
    with pytest.raises(
        ValueError, match=r"`word` and `lora` to be scored in the same way, .*prompt"
    ):
        check_comparable([replace(word, subject=None), lora])


@pytest.mark.parametrize(
    ("part", "change", "name"),
    [
        ("protocol", {"clip": "other"}, r"`clip` \('nano' and 'other'\)"),
        ("protocol", {"seeds": [0, 2]}, r"`seeds` \(\[0, 1\] and \[0, 2\]\)"),
        ("protocol", {"num_inference_steps": 3}, r"`num_inference_steps` \(2 and 3\)"),
        ("protocol", {"style_pictures": 24}, r"`style_pictures` \(8 and 24\)"),
        ("protocol", {"clip_skip": 2}, r"`clip_skip` \(1 and 2\)"),
        ("training_pictures", {"held_out": ["b.png"]}, "`held-out pictures`"),
        ("training_pictures", {"sha256": "other"}, "`training pictures`"),
        ("base", {"fingerprint": "other"}, "`base`"),
    ],
)
def test_other_protocols_are_refused(part, change, name):
    first, second = told(make_result("a", SCORES)), told(make_result("b", SCORES))
    second = changed(second, **{part: replace(getattr(second.evaluation, part), **change)})
    with pytest.raises(ValueError, match=f"but they differ in {name}") as caught:
        check_comparable([first, second])
    assert "\n" not in str(caught.value)


def test_what_changes_no_picture_of_the_base_or_is_not_told_is_no_difference():
    first, second = told(make_result("a", SCORES)), make_result("b", SCORES)
    check_comparable([first, second])  # of an older version
    no_style = replace(first.evaluation.protocol, style_pictures=0)
    check_comparable([first, changed(first, protocol=no_style)])
    other = make_result("c", SCORES, base_scores=SCORES)
    chunks = [
        changed(each, protocol=replace(each.evaluation.protocol, max_prompt_chunks=number))
        for number, each in (
            (1, first),
            (3, first),
            (3, other),
        )
    ]
    check_comparable(chunks[:2])
    with pytest.raises(ValueError, match=r"in `max_prompt_chunks` \(1 and 3\)"):
        check_comparable(chunks[::2])
