import json
from dataclasses import asdict, replace

import pytest

from sdtune.run_folder.training_record import RECORD_KEY, TrainingRecord, differences, read_record

RECORD = TrainingRecord(
    version=1,
    recipe={
        "model": {"class_path": "sdtune.LoRAStyleModule", "init_args": {"rank": 4, "base": "nano"}},
        "trainer": {"max_steps": 3},
    },
    places=["data.folder"],
    packages={"torch": "2.8.0", "numpy": "2.0.0"},
    machine={"device": "cpu", "instructions": "AVX2"},
    threads=2,
    processes=1,
    base={"unet": "aa"},
    pictures="p",
    files=["one:said", "two:said"],
)


def test_a_header_gives_it_back():
    assert read_record(RECORD.header(), "a.safetensors") == RECORD
    assert differences(RECORD, RECORD) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "to be a mapping"),
        ("{", "Expected JSON, but it is not"),
        (" " * 1_000_001, "1000000 characters at most"),
        (json.dumps({**asdict(RECORD), "version": 2}), "Expected version 1 of `sdtune.training`"),
        (json.dumps({**asdict(RECORD), "threads": "2"}), "`threads` to be an integer, but got '2'"),
    ],
)
def test_what_is_none_is_one_sentence_that_names_the_file(text, said):
    with pytest.raises(ValueError, match=r"a\.safetensors") as caught:
        read_record({RECORD_KEY: text}, "a.safetensors")
    assert said in str(caught.value)


def test_a_file_without_one_says_so():
    with pytest.raises(ValueError, match="to hold a record of its training, but it has none"):
        read_record({"ss_network_dim": "4"}, "a.safetensors")


def test_each_difference_is_a_line():
    recipe = json.loads(json.dumps(RECORD.recipe))
    recipe["model"]["init_args"]["rank"] = 8
    now = replace(
        RECORD,
        recipe=recipe,
        packages={"torch": "2.9.0", "peft": "0.17"},
        machine={"device": "cpu", "instructions": "AVX512"},
        threads=1,
        base={"unet": "bb"},
        pictures="q",
        files=["two:said", "three:said"],
        changes=["not looked at"],
    )
    assert differences(replace(RECORD, changes=["from step 2 on model.seed 1 → 2"]), now) == [
        "it was changed on its way: from step 2 on model.seed 1 → 2",
        "recipe: model.rank was `4`, is `8`",
        "package: numpy was `2.0.0`, is none",
        "package: peft was none, is `0.17`",
        "package: torch was `2.8.0`, is `2.9.0`",
        "machine: instructions was `AVX2`, is `AVX512`",
        "base: unet was `aa`, is `bb`",
        "run: threads was `2`, is `1`",
        "data: 1 file is missing, by sha256: one…",
        "data: 1 file is new, by sha256: three…",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["one:said", "two:other"], "data: captions or repeats of 1 picture differ"),
        (["two:said", "one:said"], "data: pictures are in another order"),
        ([], "data: other pictures or captions"),
    ],
)
def test_captions_order_and_what_is_not_listed(files, said):
    assert differences(RECORD, replace(RECORD, pictures="q", files=files)) == [said]


def test_what_a_terminal_would_obey_is_escaped():
    record = replace(RECORD, packages={"torch": "\x1b[2J"})
    (line,) = [each for each in differences(record, RECORD) if "torch" in each]
    assert line == "package: torch was `\\x1b[2J`, is `2.8.0`"
