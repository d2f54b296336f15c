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
        )
    ):
        assert source.recognise(str(write(files, f"not_{number}"))) is None


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
