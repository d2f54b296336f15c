import pytest

from sdtune.comparison.output_names import distinct_names, figure_name, name_problem, run_name


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "readme.MD", "report.html", "comparison.json", "starts", "tune"),
        figure_name(1),
    ],
)
def test_what_a_comparison_writes_itself_is_no_runs_name(name):
    problem = name_problem(name)
    assert problem.startswith("Expected no key of `runs` to be what a comparison writes itself")
    assert f"but got `{name}`: call the run otherwise" in problem


@pytest.mark.parametrize("name", ["a", "rank_4", "réglage", "p", "README", "start", "figure_1"])
def test_other_folders_names_are_runs_names(name):
    if name != "réglage":
        assert run_name(name) == name
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "words",
    ["petit réglage", "été", "1e+5", "_a", "", "base", "starts", "日本", "x" * 300, "a b/c"],
)
def test_any_words_have_a_name_of_their_own(words):
    name = run_name(words)
    assert name_problem(name) is None
    assert name.isascii()
    assert len(name) < 100
    assert name == run_name(words) != run_name(f"{words}!")


def test_words_that_one_name_would_fit_have_two():
    words = ["a_k ink style", "a_k ink_style", "réglage", "b c"]
    names = distinct_names(words)
    assert names[1:] == ["a_k_ink_style", "réglage", "b_c"]
    assert names[0] == distinct_names(words[:1] + words[2:] + words[1:2])[0]
    assert names[0].startswith("a_k_ink_style_")
    assert name_problem(names[0]) is None
    assert distinct_names(["a_k ink style"]) == ["a_k_ink_style"]  # as outputs have it
    assert len(set(distinct_names(["a b c d", "a_b c d", "a b_c d", "a b c_d", "a_b_c_d"]))) == 5


def test_spaces_alone_need_no_hash():
    assert run_name("style rank 4") == "style_rank_4"
