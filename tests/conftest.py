"""Fixtures for every room's tests: tiny models, no hub, few threads."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

# before any import of huggingface_hub, which reads it once
os.environ["HF_HUB_OFFLINE"] = "1"
# for processes that tests start: beside another worker, threads wait for each other
os.environ["OMP_NUM_THREADS"] = "1"
# tests are of the CPU, whatever else is there
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest

_LONGEST = (
    "tests/techniques/test_half_precision.py",
    "tests/nano/test_train_all.py",
    "tests/test_documentation.py",
    "tests/test_packaging.py",
    "tests/test_notebooks.py",
    "tests/benchmarks/test_benchmarks.py",
    "tests/play/test_page.py",
    "tests/test_kill_soak.py",
    "tests/commands/test_reproduce.py",
    "tests/techniques/test_compiled_module.py",
    "tests/evaluation/test_memorised_lora.py",
)
"""Files with tests or fixtures of eight seconds and more."""

# all else is imported in functions: the process that hands the tests out to others needs none of it


_RECIPE = Path(__file__).parents[1] / "recipes" / "style_lora.yaml"
_MEMORY = Path("/dev/shm")
_ROOM = 8 * 2**30
"""Bytes that the tests' files may take in memory: several times what they do."""


def pytest_configure(config: pytest.Config) -> None:
    """Import the libraries where tests run, before pytest listens to what they log.

    Lightning looks for handlers of the root logger when it is imported, and keeps its stderr.
    """
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _has_room_in_memory():
        # thousands of files are synced and folders deleted, and a disk lets each of them wait
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)
    if config.getoption("numprocesses", 0) and not hasattr(config, "workerinput"):
        return
    gc.disable()  # it would look at all that is imported and collected again and again
    import lightning.pytorch  # noqa: F401
    import torch
    import transformers  # noqa: F401

    # tiny tensors gain nothing from threads, and lose much when the cores are busy
    torch.set_num_threads(1)
    # a forked process makes its pool of threads anew when one asks for it, and two of its threads
    # that ask at once may find none: "Invalid thread pool!"
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
    # the first one starts a thread for each device, and a process with such threads cannot fork:
    # there are none now, but eight when `FakeTensorMode` has pretended that there is CUDA
    torch.ones(1, requires_grad=True).backward()


def _has_room_in_memory() -> bool:
    try:
        free = shutil.disk_usage(_MEMORY).free
        with open("/proc/meminfo", encoding="ascii") as file:
            told = dict(line.split(":") for line in file)
    except OSError:
        return False
    available = 1024 * int(told["MemAvailable"].split()[0])
    return os.access(_MEMORY, os.W_OK) and min(free, available) > _ROOM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: at the end one worker would wait for another's."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


def pytest_collection_finish() -> None:
    """Leave the garbage collector what tests make."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Turn a library's kind of warning into Python's own kind that it is based on.

    The process that hands the tests out would import the library for it, beside two busy workers.
    """
    kind = warning_message.category
    own = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    if own is not kind:
        warning_message.category = own
        warning_message.message = own(f"{kind.__name__}: {warning_message.message}")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Listen to Ctrl-C again, for Lightning ignores it from the first one on that it has caught."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep caches away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _bases_from_memory() -> Iterator[None]:
    """Load each base twice, and then copy it; the tests of loading, in tests/models, do not."""
    from sdtune.models import loading
    from tests.loaded_bases import LoadedBases

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_load_model", LoadedBases(loading._load_model))
        yield


@pytest.fixture(scope="session", autouse=True)
def _versions_from_memory() -> Iterator[None]:
    """Look once which packages are installed, and not in each call of a command."""
    from sdtune.commands import packages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages, "requires", cache(packages.requires))
        patch.setattr(packages, "version", cache(packages.version))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_garbage_of_a_gpu() -> Iterator[None]:
    """Let Lightning search a batch size without a look at all the garbage that there may be."""
    from lightning.pytorch.tuner import batch_size_scaling

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_size_scaling, "garbage_collection_cuda", lambda: None)
        yield


@pytest.fixture(scope="session")
def quick_python() -> Iterator[Path]:
    """An executable `python` whose processes have imported everything, see `forked_python`."""
    from sdtune.commands.recipe_cli import recipe_problems
    from tests.forked_python import forked_python

    for module in (
        "attrs",
        "diffusers.loaders.single_file_model",
        "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
        "lightning.pytorch.cli",
        "matplotlib.backends.backend_svg",
        "sdtune.commands.fit",
        "sdtune.nano.making.card",
        "sdtune.nano.making.packing",
        "tensorboard.backend.event_processing.event_accumulator",
        "torch.distributed.algorithms.ddp_comm_hooks.default_hooks",
        "torch.utils.tensorboard",
        "transformers.models.clip.modeling_clip",
    ):
        import_module(module)
    # the first parser of a process looks types up in sources, and keeps them
    recipe_problems(["--config", str(_RECIPE)], build=False)
    # below pytest's own folder the path would be too long for a socket
    with TemporaryDirectory() as folder, forked_python(Path(folder)) as python:
        yield python


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random-weight Stable Diffusion 1.4 of reduced width, 64 px."""
    from tests.tiny_models import make_tiny_sd

    return make_tiny_sd(tmp_path_factory.mktemp("models") / "tiny_sd")


@pytest.fixture(scope="session")
def micro_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random-weight Stable Diffusion with one block of each kind, 64 px."""
    from tests.tiny_models import make_micro_sd

    return make_micro_sd(tmp_path_factory.mktemp("models") / "micro_sd")


@pytest.fixture(scope="session")
def drawn_run(micro_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of two steps with samples, which no test changes."""
    from tests.drawn_run import make_run

    return make_run(micro_sd, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def drawn_word(micro_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a learned word, which no test changes."""
    from tests.drawn_run import make_word

    return make_word(micro_sd, tmp_path_factory.mktemp("word"))


@pytest.fixture(scope="session")
def tiny_sd_v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with v-prediction and zero terminal SNR."""
    from tests.tiny_models import make_tiny_sd

    folder = tmp_path_factory.mktemp("models") / "tiny_sd_v"
    return make_tiny_sd(folder, "v_prediction", zero_terminal_snr=True)


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random-weight Stable Diffusion XL of reduced width and depth, 64 px."""
    from tests.tiny_models import make_tiny_xl

    return make_tiny_xl(tmp_path_factory.mktemp("models") / "tiny_xl")


@pytest.fixture(scope="session")
def shallow_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one transformer layer where it has one to three, for tests that train."""
    from tests.tiny_models import make_tiny_xl

    folder = tmp_path_factory.mktemp("models") / "shallow_xl"
    return make_tiny_xl(folder, transformer_layers=(1, 1, 1))
