import pytest

from sdtune.cli import main
from sdtune.evaluation.adapter_evaluation import AdapterEvaluation
from tests.run_folder.test_record import make_record


def test_lists_are_given_as_people_do_and_the_table_says_how_sure_it_is(
    monkeypatch, capsys, micro_sd
):
    asked = []
    monkeypatch.setattr(
        AdapterEvaluation, "evaluate", lambda self: asked.append(self) or make_record()
    )
    code = main(
        [
            "evaluate", f"--base={micro_sd}", "--pictures", "photos", "--prompt", "a cat",
            "--prompt=a dog, asleep", "--seeds", "0", "3", "--num_inference_steps", "2",
        ]
    )  # fmt: skip
    assert code == 0
    [evaluation] = asked
    assert evaluation.protocol.prompts == ["a cat", "a dog, asleep"]
    assert evaluation.protocol.seeds == [0, 3]
    assert evaluation.protocol.num_inference_steps == 2
    output = capsys.readouterr().out
    assert "step_000200, against nano" in output
    assert "28.0 (27.0 to 29.5)" in output
    assert "+0.4 (\N{MINUS SIGN}0.2 to 1.0): no difference seen" in output
    assert "best: step_000200. the reason" in output
    assert "runs/evaluate/base/evaluation.json" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "a cat"], "`pictures` to be the folder of the training pictures"),
        (["--guidance_scale", "strong"], "guidance_scale"),
        (["--promt", "a cat"], "promt"),
        (["--device", "banana"], "Expected `device` to be `cpu` or another that torch finds here"),
        (["--prompts", "none.txt"], "a prompt in each line, but got `none.txt`, which is no file"),
        (["runs/no/such_run"], "Expected an adapter or a run folder at runs/no/such_run, but"),
        (["--pictures", "none", "--prompt", "a cat"], "none: there is no such folder"),
    ],
)
def test_a_wrong_call_is_refused(capsys, arguments, message, micro_sd):
    assert main(["evaluate", f"--base={micro_sd}", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_help_names_the_arguments(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "--style_pictures" in shown
    assert "an adapter's file" in shown
