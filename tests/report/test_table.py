import pytest

from sdtune.report.table import Table


def test_a_row_of_another_length_is_refused():
    Table("t", ["a", "b"], [["1", "2"]])
    with pytest.raises(ValueError, match="row 1 of the table 't' to have 2 cells"):
        Table("t", ["a", "b"], [["1", "2"], ["3"]])
