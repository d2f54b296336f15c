import shutil

import pytest
import yaml

from sdtune.cli import main
from sdtune.data.sources.registry import SOURCES, check_source, choose_source, register
from sdtune.data.style import StyleDataModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.data.sources.toy_list import ToyList
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer


@pytest.fixture
def toy(monkeypatch):
    for name in list(SOURCES):
        monkeypatch.setitem(SOURCES, name, SOURCES[name])
    toy = register(ToyList())
    yield toy
    SOURCES.pop(toy.name, None)


@pytest.fixture
def listed(tmp_path):
    """Three of four pictures, in a list, of other captions than those beside them."""
    folder = make_picture_folder(tmp_path / "discs")
    rows = [f"discs/disc_{number}.png\ta drawing {number}\n" for number in range(3)]
    path = tmp_path / "pictures.list"
    path.write_text("".join(rows), encoding="utf-8")
    shutil.copytree(folder, tmp_path / "others")
    return path


def test_a_list_is_unknown_until_its_source_is_registered(listed):
    assert choose_source(str(listed)) is None
    assert "there is no such folder" in StyleDataModule(listed).problems()[0]


def test_a_source_from_outside_is_trained_from(toy, listed, micro_sd):
    data = StyleDataModule(listed, resolution=64, batch_size=2)
    shown = []

    class Module(LoRAStyleModule):
        def training_step(self, batch, batch_idx):
            shown.extend(zip(batch["name"], batch["caption"], strict=True))
            return super().training_step(batch, batch_idx)

    module = Module(str(micro_sd), rank=2, learning_rate=1e-2)
    quiet_trainer(max_steps=2).fit(module, data)
    assert sorted(shown) == [(f"discs/disc_{n}.png", f"a drawing {n}") for n in range(3)]
    moved = [each for name, each in module.model.unet.named_parameters() if "lora_B" in name]
    assert any(each.any() for each in moved)


def test_check_says_which_source_it_found(toy, listed, micro_sd, tmp_path, capsys):
    recipe = {
        "model": {"class_path": "sdtune.LoRAStyleModule", "init_args": {"base": str(micro_sd)}},
        "data": {"class_path": "sdtune.StyleDataModule", "init_args": {"folder": str(listed)}},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    call = ["check", str(tmp_path / "toy.yaml")]
    assert main(call) == 0
    found, *_, verdict = capsys.readouterr().out.splitlines()
    assert found == "data.folder: a list of pictures, tabs, 3 pictures"
    assert verdict.endswith("toy.yaml: no problems found.")
    folder = str(tmp_path / "discs")
    assert main([*call, f"--data.folder={folder}"]) == 0
    assert capsys.readouterr().out.startswith("data.folder: a folder of pictures, 4 pictures\n")
    assert main([*call, f"--data.folder={folder}", "--data.source=kohya"]) == 2
    assert "discs: holds no folder like `10_sks cat`" in capsys.readouterr().err
    assert main([*call, f"--data.folder={folder}", "--data.source=kohia"]) == 2
    assert "Expected `source` to be one of `saved_dataset`, " in capsys.readouterr().err


def test_several_folders_may_stand_on_the_command_line(micro_sd, tmp_path, listed, capsys):
    recipe = {
        "model": {"class_path": "sdtune.LoRAStyleModule", "init_args": {"base": str(micro_sd)}},
        "data": {
            "class_path": "sdtune.StyleDataModule",
            "init_args": {"folder": {f"{tmp_path}/discs": 2, f"{tmp_path}/others": 1}},
        },
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    call = ["check", str(tmp_path / "toy.yaml")]
    assert main(call) == 0
    line = "data.folder: 2 locations with repeats {} (a folder of pictures), 8 pictures\n"
    assert capsys.readouterr().out.startswith(line.format("2, 1"))
    mapping = f'{{"{tmp_path}/discs": 7, "{tmp_path}/others": 5}}'
    assert main([*call, f"--data.folder={mapping}"]) == 0
    assert capsys.readouterr().out.startswith(line.format("7, 5"))
    assert main([*call, f"--data.folder={tmp_path}/discs"]) == 0
    assert capsys.readouterr().out.startswith("data.folder: a folder of pictures, 4 pictures\n")


def test_names_are_new_and_words():
    with pytest.raises(ValueError, match="a source of a new name, but `kohya` is registered"):
        register(type("Other", (ToyList,), {"name": "kohya"})())
    with pytest.raises(ValueError, match="letters, digits and `_`, but got 'a b'"):
        register(type("Other", (ToyList,), {"name": "a b"})())
    check_source(None)
    with pytest.raises(ValueError, match=r"one of `saved_dataset`, .* or None, but got 'x'"):
        check_source("x")
