from benchmarks.sampling import compare
from sdtune.models import load


def test_both_draw_the_same_pictures(micro_sd):
    ratios, difference = compare(
        load(micro_sd), ["a cat", "a dog"], 2, num_inference_steps=2, guidance_scale=3.0
    )
    assert len(ratios) == 2
    assert min(ratios) > 0
    assert difference < 1e-4
