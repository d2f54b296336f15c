from sdtune.data.problems import DataError


def test_every_problem_is_in_the_message():
    error = DataError(["a.png: is bad; mend it.", "b.png: is worse; mend it."])
    assert isinstance(error, ValueError)
    assert error.problems == ["a.png: is bad; mend it.", "b.png: is worse; mend it."]
    assert str(error) == (
        "Found 2 problems in the data:\n  - a.png: is bad; mend it.\n  - b.png: is worse; mend it."
    )
    assert str(DataError(["a"])).startswith("Found 1 problem in")
