import pytest

from sdtune.data.made_captions import (
    CAPTIONS,
    MadeCaption,
    read_descriptions,
    read_made_captions,
    recorded_captions,
    write_descriptions,
    write_made_captions,
)
from sdtune.files.json_file import JsonFileError

MADE = [MadeCaption("a.png", "ab" * 32, "a {subject} on grass", "clip")]


def test_captions_of_a_run_are_read_back(tmp_path):
    assert read_made_captions(tmp_path) == []
    write_made_captions(tmp_path, MADE)
    assert read_made_captions(tmp_path) == MADE
    before = (tmp_path / CAPTIONS).stat().st_mtime_ns
    write_made_captions(tmp_path, MADE)
    assert (tmp_path / CAPTIONS).stat().st_mtime_ns == before


def test_a_run_without_any_has_no_file(tmp_path):
    write_made_captions(tmp_path, [])
    assert not (tmp_path / CAPTIONS).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1, "captions": [{"picture": 3}]}'])
def test_a_damaged_file_is_an_error_for_other_captions_would_be_another_run(tmp_path, text):
    (tmp_path / CAPTIONS).write_text(text)
    with pytest.raises(JsonFileError, match=CAPTIONS):
        read_made_captions(tmp_path)


def test_a_field_that_no_data_has_is_told_with_the_file_and_left_out_of_a_header(tmp_path):
    write_made_captions(tmp_path, [*MADE, MadeCaption("b.png", "cd" * 32, "a {dog}", "clip")])
    with pytest.raises(JsonFileError) as caught:
        read_made_captions(tmp_path)
    assert caught.value.problems == [
        f"{tmp_path / CAPTIONS}: Expected `captions[1].caption` to use the fields `{{subject_1}}`, "
        "`{class_1}`, `{subject}`, `{class}`, but got `{dog}`."
    ]
    assert recorded_captions('{"ab": "a {dog}", "cd": "a  {class}", "ef": 3}') == {
        "cd": "a {class}"
    }


def test_descriptions_are_kept_by_captioner_and_subject(tmp_path):
    write_descriptions(tmp_path, "clip", "a robot", {"ab": "on grass"})
    assert read_descriptions(tmp_path, "clip", "a robot") == {"ab": "on grass"}
    assert read_descriptions(tmp_path, "blip", "a robot") == {}
    assert read_descriptions(tmp_path, "clip", "a dog") == {}
    [file] = (tmp_path / "captions").glob("*.json")
    file.write_text("damaged")
    assert read_descriptions(tmp_path, "clip", "a robot") == {}
