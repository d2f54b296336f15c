"""A BLIP and a WD 1.4 tagger in miniature, with the files that real ones come with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

__all__ = ["TAGS", "make_tiny_blip", "make_tiny_tagger"]

_WORDS = ("a", "red", "green", "blue", "disc", "square", "on", "the", "robot", "photo", "of")

TAGS = (("general", "9"), ("long_red", "0"), ("green", "0"), ("some_blue", "4"), (">_<", "0"))
"""Name and category of each tag. The last has the probability of white, 0.5 in a grey picture."""


def make_tiny_blip(folder: Path) -> Path:
    """Write a BLIP of random weights for captions, 32 px, its image processor and its tokenizer."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessorPil,
    )

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *_WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    words = BertTokenizer(vocab=str(folder / "vocab.txt"))
    widths = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **widths,
        "vocab_size": len(vocabulary),
        "intermediate_size": 16,
        "encoder_hidden_size": 16,
        "max_position_embeddings": 64,
        "bos_token_id": 5,
        "pad_token_id": 0,
        "sep_token_id": 3,
        "eos_token_id": 3,
    }
    vision = {**widths, "intermediate_size": 16, "image_size": 32, "patch_size": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = BlipForConditionalGeneration(config)
        for parameter in model.parameters():
            parameter.data.normal_()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def make_tiny_tagger(folder: Path, side: int = 16, batch: int | str = "batch") -> Path:
    """Write a tagger whose probabilities are a picture's mean red, green, blue and grey.

    Args:
        folder: Where to write; made if absent.
        side: Width and height of what it reads, in pixels.
        batch: Pictures that it reads at once; a name for any number.

    Returns:
        The folder, with model.onnx and selected_tags.csv.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    # BGR to the probabilities of TAGS: the rating is always 1
    mix = np.array([[0, 0, 0, 1, 1 / 3], [0, 0, 1, 0, 1 / 3], [0, 1, 0, 0, 1 / 3]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
            helper.make_node("Div", ["means", "levels"], ["shares"]),
            helper.make_node("MatMul", ["shares", "mix"], ["mixed"]),
            helper.make_node("Add", ["mixed", "offset"], ["probabilities"]),
        ],
        "tagger",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, side, side, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, len(TAGS)])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "sides"),
            numpy_helper.from_array(np.array(255, np.float32), "levels"),
            numpy_helper.from_array(mix, "mix"),
            numpy_helper.from_array(np.array([1, 0, 0, 0, 0], np.float32), "offset"),
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(folder / "model.onnx"))
    rows = [f"{number},{name},{category},1" for number, (name, category) in enumerate(TAGS)]
    table = "\n".join(["tag_id,name,category,count", *rows])
    (folder / "selected_tags.csv").write_text(table + "\n", encoding="utf-8")
    return folder
