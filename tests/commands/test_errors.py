from sdtune.commands.errors import CallError, nearest

KNOWN = ["model.rank", "model.learning_rate", "trainer.max_steps"]


def test_nearest_finds_a_misspelt_name():
    assert nearest("model.rnak", KNOWN) == "; did you mean `model.rank`?"
    assert nearest("modle.rank", KNOWN) == "; did you mean `model.rank`?"


def test_nearest_passes_over_case():
    assert nearest("MIT", ["mpl-2.0", "mit", "gpl"]) == "; did you mean `mit`?"
    assert nearest("lorastylemodule", ["LoRAStyleModule"]) == "; did you mean `LoRAStyleModule`?"
    assert nearest("model.RANK", KNOWN) == "; did you mean `model.rank`?"


def test_nearest_finds_a_name_without_its_prefix():
    assert nearest("max_steps", KNOWN) == "; did you mean `trainer.max_steps`?"


def test_what_all_names_begin_with_makes_none_of_them_near():
    assert nearest("model.every_n_step", ["model.refresh_rate", "model.rank"]) == "."
    assert nearest("model.rnak", ["model.rank", "model.alpha"]) == "; did you mean `model.rank`?"


def test_nearest_ends_the_sentence_when_nothing_is_near():
    assert nearest("quux", KNOWN) == "."


def test_call_error_holds_every_problem():
    error = CallError(["one.", "two."])
    assert error.problems == ["one.", "two."]
    assert str(error) == "one.\ntwo."
