from sdtune.data.scan import scan_folder
from sdtune.data.sources.kohya import KohyaSource
from sdtune.data.subject import SubjectDataModule


def test_what_is_recognised(write):
    source = KohyaSource()
    assert source.recognise(str(write({"3_cat/0.png": 0}, "a"))).evidence == "the name of 3_cat"
    for number, files in enumerate(
        (
            {"3_cat/0.txt": "no picture"},
            {"0_cat/0.png": 0},
            {"cat_3/0.png": 0},
            {"2024/0.png": 0},
            {"3_cat/0.png": 0, "metadata.csv": "file_name,text"},
            {"2023_summer/0.png": 0},
            {"20240801_wedding/0.png": 0},
            {"12_05_2023/0.png": 0},
            {"12_05_2023_wedding/0.png": 0, "13_05_2023_party/0.png": 1},
            {"1_5_23 wedding/0.png": 0, "12_05.2023 party/0.png": 1},
            {"12_May_2023/0.png": 0, "3_december 23 party/0.png": 1},
            {"5_2023/0.png": 0, "12_05/0.png": 1},
            {"1001_cat/0.png": 0},
            {"01_sea/0.png": 0, "02_hill/0.png": 1},
            {"01_sea/0.png": 0},
            {"08_sea/0.png": 0, "09_hill/1.png": 1, "10_city/2.png": 2},
            {"3_cat/0.png": 0, "1.png": 1, "2.png": 2},
        )
    ):
        assert source.recognise(str(write(files, f"not_{number}"))) is None
    for number, files in enumerate(
        (
            {"999_cat/0.png": 0, "1.png": 1},
            {"1000_sks/0.png": 0},
            {"010_sks cat/0.png": 0},
            {"05_dog/0.png": 0, "10_sks cat/1.png": 1},
            {"10_1/0.png": 0},
            {"10_may cat/0.png": 0, "5_mary_2000 dress/1.png": 1},
            {"1_sea/0.png": 0, "2_hill/0.png": 1},
            {"10_1_girl/0.png": 0},
        )
    ):
        assert source.recognise(str(write(files, f"is_{number}")))


def test_folders_named_by_years_and_dates_are_plain(write):
    files = {"2023_summer/0.png": 0, "12_05_2023_wedding/1.png": 1, "2.png": 2}
    scan = scan_folder(write(files), caption="it")
    assert [(each.name, each.repeats) for each in scan.pictures] == [
        ("12_05_2023_wedding/1.png", 1),
        ("2.png", 1),
        ("2023_summer/0.png", 1),
    ]
    assert (scan.problems, scan.notes) == ([], [])


def test_more_repeats_than_anybody_means_are_a_problem_of_their_folder(write):
    folder = write({"1000_cat/0.png": 0, "2023_summer/1.png": 1})
    scan = scan_folder(folder, source="kohya")
    assert [(each.caption, each.repeats) for each in scan.pictures] == [("cat", 1000)]
    (problem,) = scan.problems
    assert problem.about == str(folder / "2023_summer")
    assert problem.sentence.startswith("its name asks for 2023 repeats of each picture, and more")
    skipped = scan_folder(folder, source="kohya", on_problem="skip")
    assert skipped.found == "kohya's folders, 1 subject with repeats 1000, 1 picture"


def test_a_date_is_a_problem_of_its_folder_and_asks_for_no_repeats(write):
    folder = write({"10_sks cat/0.png": 0, "12_05_2023_wedding/1.png": 1})
    scan = scan_folder(folder)
    assert [(each.caption, each.repeats) for each in scan.pictures] == [("sks cat", 10)]
    assert list(map(str, scan.problems)) == [
        f"{folder}/12_05_2023_wedding: its name begins with a date and not with repeats; begin it "
        "with another number, or read all by `data.source: folder`."
    ]
    skipped = scan_folder(folder, on_problem="skip")
    assert skipped.found == "kohya's folders, 1 subject with repeats 10, 1 picture"


def test_a_subject_with_regularisation_folders(write, tmp_path):
    write({"img/4_sks cat/0.png": 0, "img/2_sks cat lying/1.png": 1})
    here = write({f"reg/{times}_cat/{n}.png": 2 + n for times, n in ((2, 0), (6, 1))})
    data = SubjectDataModule(
        here / "img", class_dir=here / "reg", resolution=16, repeats=2, cache_dir=tmp_path / "cache"
    )
    assert data.problems() == []
    assert data.found() == [
        "data.instance_dir: kohya's folders, 2 subjects with repeats 4 and 2, 2 pictures",
        "data.class_dir: kohya's folders, 2 subjects with repeats 6 and 2, 2 pictures",
    ]
    data.make_class_pictures(lambda prompts, seeds: 1 / 0, "none are drawn")
    dataset = data.train_dataset
    assert len(dataset) == 2 * (4 + 2)
    shown = [dataset[0, index] for index in range(len(dataset))]
    # sorted by name: the one with fewer repeats comes first, and is missing in the later rounds
    assert [each["caption"] for each in shown] == ["sks cat lying", "sks cat"] * 4 + ["sks cat"] * 4
    beside = [each["class_name"] for each in shown]
    # 2 and 6 repeats are 1 and 3 of four
    assert sorted(beside[:4]) == ["2_cat/0.png", *["6_cat/1.png"] * 3]
    assert {each["class_caption"] for each in shown} == {"cat"}


def test_a_class_prompt_goes_before_the_names_of_folders(write, tmp_path):
    here = write({"img/4_sks cat/0.png": 0, "reg/1_cat/0.png": 1})
    data = SubjectDataModule(
        here / "img",
        instance_prompt="a photo of sks cat",
        class_dir=here / "reg",
        class_prompt="a photo of a cat",
        resolution=16,
    )
    data.make_class_pictures(lambda prompts, seeds: 1 / 0, "none are drawn")
    sample = data.train_dataset[0, 0]
    assert (sample["caption"], sample["class_caption"]) == (
        "a photo of sks cat",
        "a photo of a cat",
    )
    assert len(data.train_dataset) == 4
