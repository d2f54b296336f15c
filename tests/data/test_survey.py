from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdtune.data.buckets import DEFAULT_BUCKETS, BucketSettings
from sdtune.data.manifest import perceptual_hash
from sdtune.data.pictures import Picture
from sdtune.data.scan import scan_pictures
from sdtune.data.survey import survey_class_pictures, survey_pictures


def picture(name="a.png", size=(890, 490), caption="a fox in snow", **known):
    return Picture(Path(name), name, caption, size, **known)


def marks(*pictures, **arguments):
    found = survey_pictures(pictures, 512, DEFAULT_BUCKETS, **arguments).marks
    return [(each.position, each.kind, each.text) for each in found]


def test_the_papers_pictures_keep_92_per_cent():
    survey = survey_pictures([picture()] * 122, 512, DEFAULT_BUCKETS)
    (bucket,) = survey.buckets
    assert (bucket.size, bucket.pictures, bucket.samples) == ((640, 384), 122, 122)
    assert bucket.kept == pytest.approx(640 / 384 * 490 / 890)
    assert survey.mean_kept == pytest.approx(bucket.kept)
    square = survey_pictures([picture()], 512, None)
    assert square.kept == [pytest.approx(490 / 890)]


def test_an_upright_photo_keeps_all_but_its_ends():
    survey = survey_pictures([picture(size=(3024, 4032))], 512, DEFAULT_BUCKETS)
    assert survey.targets == [(448, 576)]
    assert survey.kept == [pytest.approx((576 / 448) / (4032 / 3024))]


def test_only_what_is_smaller_than_its_own_bucket_is_enlarged():
    assert marks(picture(size=(890, 490)), picture(size=(511, 600)), own_captions=False) == []
    assert marks(picture(size=(500, 500))) == [
        (0, "enlarged", "is 500x500 pixels and is enlarged to 512x512")
    ]
    shrunk = survey_pictures([picture(size=(500, 500))], 512, BucketSettings(enlarge=False))
    assert shrunk.marks == []
    assert shrunk.targets == [(448, 448)]


def test_copies_are_found_by_content_and_by_looks(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((640, 640), Image.Resampling.NEAREST)
    image.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    image.resize((530, 530)).save(tmp_path / "c.jpg", quality=70)
    other = Image.fromarray(255 - noise).resize((640, 640), Image.Resampling.NEAREST)
    other.save(tmp_path / "d.png")
    for path in list(tmp_path.iterdir()):
        path.with_suffix(".txt").write_text(f"a drawing of {path.stem} things")
    pictures, problems = scan_pictures(tmp_path)
    assert problems == []
    assert marks(*pictures) == [
        (1, "duplicate", "is the same file as a.png"),
        (2, "alike", "looks like a.png"),
    ]


def test_plain_pictures_do_not_all_look_alike():
    plain = perceptual_hash(Image.new("RGB", (64, 64), "white"))
    pictures = [picture(f"{n}.png", sha256=str(n), perceptual=plain) for n in range(3)]
    assert marks(*pictures, own_captions=False) == []


def test_looks_are_compared_across_the_blocks_of_a_large_set():
    generator = np.random.default_rng(1)
    hashes = generator.integers(0, 2**63, 2500, dtype=np.uint64).tolist()
    hashes[2400] = hashes[7] ^ 0b11
    hashes[2401] = hashes[2399] ^ 0b111
    pictures = [picture(f"{n}.png", sha256=str(n), perceptual=h) for n, h in enumerate(hashes)]
    assert marks(*pictures, own_captions=False) == [(2400, "alike", "looks like 7.png")]


@pytest.mark.parametrize(
    ("name", "caption", "is_suspicious"),
    [
        ("a.png", " ", True),
        ("a.png", "holiday/IMG_0412.JPG", True),
        ("x/IMG_0412.png", "IMG_0412", True),
        ("0012.png", "0012", True),
        ("fox.png", "fox", False),
        ("red fox.png", "red fox", False),
        ("a.png", "a fox, 2 owls", False),
    ],
)
def test_captions_that_say_nothing_are_marked(name, caption, is_suspicious):
    kinds = [kind for _, kind, _ in marks(picture(name, caption=caption))]
    assert kinds == (["caption"] if is_suspicious else [])
    assert marks(picture(name, caption=caption), own_captions=False) == []


def test_control_characters_are_marked_and_shown():
    text = "has control characters in its caption, 'a\\x1b[2J fox'"
    assert marks(picture("a.png", caption="a\x1b[2J fox")) == [(0, "controls", text)]
    assert marks(picture("a.png", caption="a\tfox, ein Füchslein")) == []


def test_one_caption_for_all_is_told_unless_it_was_asked_for():
    same = [picture("a.png"), picture("b.png")]
    assert survey_pictures(same, 512, None).same_caption == "a fox in snow"
    assert survey_pictures(same, 512, None, own_captions=False).same_caption is None
    other = [picture("a.png"), picture("b.png", caption="an owl")]
    assert survey_pictures(other, 512, None).same_caption is None


def test_a_bucket_that_never_fills_a_batch_is_told():
    pictures = [*[picture()] * 6, picture(size=(490, 890)), picture(size=(640, 640))]
    samples = [1] * 7 + [0]  # the last one is held out
    survey = survey_pictures(pictures, 512, DEFAULT_BUCKETS, samples=samples, batch_size=4)
    assert [each.size for each in survey.unfilled] == [(384, 640)]
    few = survey_pictures(pictures, 512, DEFAULT_BUCKETS, samples=samples, batch_size=8)
    assert few.unfilled == []  # there are not so many in all


def test_json_lists_marks_up_to_a_number_and_counts_all():
    small = [picture(f"{n}.png", size=(100, 100), caption=f"thing {n}") for n in range(5)]
    content = survey_pictures(small, 512, DEFAULT_BUCKETS).to_json(2)
    assert content["counts"] == {"enlarged": 5}
    assert [each["picture"] for each in content["marks"]] == ["0.png", "1.png"]
    assert content["buckets"] == [{"size": [512, 512], "pictures": 5, "samples": 5, "kept": 1.0}]
    assert len(survey_pictures(small, 512, DEFAULT_BUCKETS).to_json()["marks"]) == 5


def test_class_pictures_are_looked_over_at_the_sizes_of_their_subject():
    subject = picture("s.png", sha256="a")
    squares = [picture(f"{n}.png", (512, 512), sha256=str(n)) for n in range(3)]
    stolen = picture("t.png", (640, 384), sha256="a")
    sizes = {(640, 384): 3, (512, 512): 1}
    survey = survey_class_pictures([[*squares, stolen]], [sizes], [subject], 512)
    assert [(each.size, each.pictures, each.samples) for each in survey.buckets] == [
        ((512, 512), 4, 1),
        ((640, 384), 4, 3),
    ]
    assert survey.targets == [(640, 384)] * 4
    assert survey.kept[0] == pytest.approx((1 + 3 * 384 / 640) / 4)
    assert survey.buckets[1].kept == pytest.approx((1 + 3 * 384 / 640) / 4)
    assert [(each.position, each.kind) for each in survey.marks] == [
        *((n, "enlarged") for n in range(3)),
        (3, "enlarged"),
        (3, "subject"),
    ]
    assert survey.marks[4].text == "is the same file as the subject's own s.png"


def test_a_class_that_two_subjects_share_is_counted_once():
    cats = [picture(f"{n}.png", (512, 512), sha256=str(n)) for n in range(2)]
    sizes = [{(512, 512): 3}, {(640, 384): 1}]
    survey = survey_class_pictures([cats, cats], sizes, [], 512)
    assert survey.pictures == cats
    assert survey.marks_of("duplicate") == []
    assert survey.kept[0] == pytest.approx((3 + 384 / 640) / 4)
    assert {each.size: each.samples for each in survey.buckets} == {(512, 512): 3, (640, 384): 1}
    figures = survey_pictures(cats, 512, DEFAULT_BUCKETS).to_json()
    assert figures["class_pictures"] is None
