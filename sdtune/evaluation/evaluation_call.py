"""What `sdtune evaluate` can be told; torch is not needed to say so."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

__all__ = ["EvaluationCall"]


@dataclass(frozen=True)
class EvaluationCall:
    """Draw with adapters and with their base, and score both.

    Args:
        adapter: A run, of which every checkpoint that is kept is scored, or an adapter's file or
            folder: sdtune's, diffusers', kohya's or PEFT's. None scores the base alone.
        base: The base that it was trained on, as in a recipe; by default a run's own, else nano.
        pictures: Folder of the training pictures, another location that a source knows, or several
            folders and their repeats, as `data.folder` in a recipe; by default a run's own.
        prompt: What to draw; may be given several times. By default what a run was asked. So are
            the seeds, the sampler, the size and the judges: what is given takes their place.
        prompts: A text file with a prompt in each line.
        class_prompt: What to draw to see whether the class stayed what it was.
        seeds: Every prompt is drawn once with each; by default a run's own, else 0 and 1.
        num_inference_steps: Steps of the sampler; by default a run's own, else 25.
        guidance_scale: Strength of classifier-free guidance; 1 is none. By default a run's own,
            else 7.5.
        negative_prompt: What guidance leads away from; by default a run's own, else nothing.
        width: Of the pictures, in pixels, a multiple of 8; by default the base's own side.
        height: Likewise.
        clip: The CLIP that judges: `nano`, a folder, or a Hugging Face id such as
            `openai/clip-vit-base-patch16`. By default a run's own, else `nano`.
        dino: A DINO that judges too, such as `facebook/dinov2-small`.
        goal: `style`: the best checkpoint has the highest style score; `subject`: CLIP-I; a metric,
            such as `dino`: its best figure. By default a run's own, else `style`.
        style_pictures: Training pictures whose captions the base draws for the style score; by
            default as many as a run's own, else 32.
        clip_skip: Text encoder layer, counted from the end; by default as in training.
        max_prompt_chunks: Chunks of 75 tokens that a prompt may have, as in training; by default
            what the adapter's file says, else 1.
        output: Where the record and the pictures go; by default the run's folder, or one below
            runs/evaluate that is named by the adapter and its hash.
        device: Where to draw, such as `cuda`; by default the GPU if there is one.
        source: What reads `pictures`, as `data.source` in a recipe; by default it looks.
        caption_column: Where tables and metadata in `pictures` hold captions; by default it is
            found.
        image_column: Where tables in `pictures` hold pictures; by default it is found.
    """

    adapter: str | None = None
    _: KW_ONLY
    base: str | None = None
    pictures: str | dict[str, int] | None = None
    prompt: list[str] | None = None
    prompts: str | None = None
    class_prompt: list[str] | None = None
    seeds: Sequence[int] | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    clip: str | None = None
    dino: str | None = None
    goal: str | None = None
    style_pictures: int | None = None
    clip_skip: int | None = None
    max_prompt_chunks: int | None = None
    output: str | None = None
    device: str | None = None
    source: str | None = None
    caption_column: str | None = None
    image_column: str | None = None
