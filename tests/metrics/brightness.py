"""A metric that sdtune does not have, as somebody outside the package writes one."""

from sdtune.metrics.metric import SampleMetric

BRIGHTNESS = SampleMetric(
    name="brightness",
    title="brightness",
    higher_is_better=True,
    meaning="How light a picture is: the mean of all its pixels, 0 for black and 1 for white.",
    limits="It does not say whether a picture should be light.",
    values=lambda samples: samples.pictures.pixels.mean(dim=(1, 2, 3)),
)
