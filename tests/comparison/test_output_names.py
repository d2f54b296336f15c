import pytest

from sdtune.comparison.output_names import figure_name, name_problem, run_name


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


def test_spaces_alone_need_no_hash():
    assert run_name("style rank 4") == "style_rank_4"
