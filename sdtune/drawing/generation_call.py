"""What `sdtune generate` is asked; its signature is the command line, and it brings no torch."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["GenerationCall", "PrecisionChoice", "SamplerChoice"]

SamplerChoice = Literal[
    "dpm++", "dpm++_karras", "dpm++_sde", "dpm++_sde_karras", "ddim", "euler", "euler_a", "unipc"
]
"""The names of `NoiseSchedulerName`, which bring torch along."""

PrecisionChoice = Literal["float32", "bfloat16", "float16"]
"""Those of `sdtune.drawing.settings.Precision`."""


@dataclass(frozen=True)
class GenerationCall:
    """Draw pictures with adapters, or with a base alone, and write their settings into them.

      sdtune generate runs/style_lora/version_0 --prompt "a pizza on a blue background"
      sdtune generate style.safetensors erica.safetensors --scale 0.8 1 --prompt "<erica>, asleep"
      sdtune generate runs/style_lora/version_0 --seeds 0 1 2 3 --grid
      sdtune generate --like pictures/0001_seed_0.png --scale 0.5

    What is not given is as a run's samples have it: prompts, seeds, steps, guidance, size and
    precision; the pictures are then the same ones. No file is ever overwritten.

    Args:
        adapters: Run folders, or files or folders of adapters; without any the base draws alone.
        prompt: What to draw; may be given several times. `{subject}` and other fields are filled
            in if the adapter records them.
        prompts: A text file with a prompt in each line.
        seeds: Every prompt is drawn once with each; 0 by default.
        scale: Strength of each adapter; 1 is as it was trained, 0 the base.
        checkpoint: Of runs: `best`, `last` or a step; by default the best.
        output: Folder of the pictures, 0001_seed_0.png and so on.
        like: A picture that this command drew: it is drawn again, equal byte for byte, but for
            what is given besides.
        grid: Write all pictures side by side, too.
        base: What the adapters were trained on, as in a recipe; by default the first one's run's
            own, else nano.
        negative_prompt: What guidance leads away from.
        num_inference_steps: Steps of the sampler, 25 by default; `--steps` is short for it.
        guidance_scale: Strength of classifier-free guidance, 7.5 by default; 1 is none;
            `--guidance` is short for it.
        sampler: `dpm++` (DPM++ 2M, the default), its `_sde`, both also with `_karras` sigmas;
            `ddim`; `euler`, and the ancestral `euler_a`; or `unipc`.
        width: Pixels, a multiple of 8; by default the base's own side.
        height: Likewise.
        clip_skip: Text encoder layer, counted from the end; by default as in training.
        max_prompt_chunks: Chunks of 75 tokens that a prompt may have; by default as in training.
        precision: Of the base; by default its run's, else float32.
        device: Where to draw, such as `cuda`; by default the GPU if there is one.
    """

    adapters: list[Path] | None = None
    _: KW_ONLY
    prompt: list[str] | None = None
    prompts: Path | None = None
    seeds: list[int] | None = None
    scale: list[float] | None = None
    checkpoint: str | None = None
    output: Path = Path("pictures")
    like: Path | None = None
    grid: bool = False
    base: str | None = None
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    sampler: SamplerChoice | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    max_prompt_chunks: int | None = None
    precision: PrecisionChoice | None = None
    device: str | None = None
