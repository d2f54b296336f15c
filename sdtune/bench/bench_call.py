"""What `sdtune bench` can be told; torch is not needed to say so."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["PRECISIONS", "BenchCall", "Precision", "TechniqueName"]

TechniqueName = Literal[
    "style_lora", "textual_inversion", "dreambooth", "pivotal_tuning", "multi_concept"
]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class BenchCall:
    """Measure what training costs here: time, memory and operations, beside a plain loop.

    A technique is trained by Lightning's Trainer, as `sdtune fit` does it, on pictures of noise. In
    the same process, turn by turn, a plain loop trains the same weights as common scripts do.

      sdtune bench
      sdtune bench --base sd15 --technique style_lora textual_inversion --precision bf16-mixed
      sdtune bench --base nano --grow rank=4,16,64,128
      sdtune bench --start recipes/style_lora.yaml

    Args:
        base: `sd15`, `sd21`, `sd21_base` and `sdxl` are the architectures with random weights,
            `small`, `tiny` and `tiny_xl` have narrow layers; or a base as in a recipe.
        technique: What to train; several are measured one after the other.
        resolution: Side of the pictures, in pixels; by default the base's own.
        precision: The Trainer's; by default bf16-mixed on a GPU and 32-true on a CPU.
        batch_size: Pictures a step; by default as in recipes/sd14.
        rank: Rank of the LoRA, where the technique has one.
        pictures: How many pictures the set has.
        gradient_checkpointing: Recompute activations in the backward pass, in all loops.
        cuda_graphs: Whether sdtune's loop records its passes on a GPU, as recipes have it.
        compile: Compile blocks of the UNet, as `model.compile` does; the other loops are not.
        compile_blocks: Names of the blocks' classes, such as ResnetBlock2D, in the place of the
            one that is compiled by default, BasicTransformerBlock.
        channels_last: Channels of the UNet's convolutions lie last, as a recipe has them.
        benchmark: The Trainer's: cuDNN tries its convolutions, in all loops.
        tf32: Products of float32 matrices are rounded to TF32 on a GPU, in all loops.
        quantization: Keep the frozen linear layers in 4 or 8 bits, in all loops.
        steps: Steps that are timed, of each loop.
        devices: Processes that train together; more than one are timed without the plain loops.
        grow: What a step costs against one thing: `rank=4,16,64`, or `batch_size`, `resolution`,
            `pictures` or `devices` in its place.
        start: A recipe's file or name: say where the time goes from the command to the first step.
        output: Folder for bench.json, bench.md and bench.png, with `--start` for start.json; by
            default nothing is written. An earlier bench's are replaced, and no other files.
    """

    _: KW_ONLY
    base: str = "nano"
    technique: list[TechniqueName] | None = None
    resolution: int | None = None
    precision: Precision | None = None
    batch_size: int | None = None
    rank: int = 32
    pictures: int = 12
    gradient_checkpointing: bool = False
    cuda_graphs: bool = True
    compile: bool = False
    compile_blocks: list[str] | None = None
    channels_last: bool = True
    benchmark: bool = False
    tf32: bool = False
    quantization: Literal["nf4", "int8"] | None = None
    steps: int = 20
    devices: int = 1
    grow: str | None = None
    start: Path | None = None
    output: Path | None = None
