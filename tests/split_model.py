"""Lightning's FSDPStrategy without a GPU, which it and torch refuse: the same code over gloo.

What is set aside: Lightning's question for CUDA, torch's question for an accelerator, and the copy
of a whole weight to the CPU, which is none where it is there already and is then freed.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed.fsdp as torch_fsdp
from lightning.pytorch.strategies import FSDPStrategy, fsdp
from torch import nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    StateDictType,
    _init_utils,
)

__all__ = ["CPUFSDPStrategy", "in_processes"]


class CPUFSDPStrategy(FSDPStrategy):
    """Splits a model over processes on the CPU."""

    def _setup_model(self, model: nn.Module) -> nn.Module:
        fsdp._get_full_state_dict_context = _whole_state
        _init_utils._get_compute_device = lambda *_: torch.device("cpu")
        there = torch.device("cpu", 0)
        torch_fsdp.FullyShardedDataParallel = _split_on(there)  # type: ignore[misc]
        try:
            return super()._setup_model(model)
        finally:
            torch_fsdp.FullyShardedDataParallel = FullyShardedDataParallel  # type: ignore[misc]


def _split_on(device: torch.device) -> type[FullyShardedDataParallel]:
    class OnDevice(FullyShardedDataParallel):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "device_id": device})

    return OnDevice


def _whole_state(module: nn.Module, world_size: int, rank0_only: bool = True) -> Any:
    return FullyShardedDataParallel.state_dict_type(
        module,
        StateDictType.FULL_STATE_DICT,
        FullStateDictConfig(offload_to_cpu=False, rank0_only=rank0_only),
        FullOptimStateDictConfig(offload_to_cpu=False, rank0_only=rank0_only),
    )


def in_processes(count: int, do: Callable[[], object]) -> None:
    """Do something in forked processes, which torch takes for those of torchrun.

    Args:
        count: How many.
        do: What each of them does; what it makes is lost.

    Raises:
        RuntimeError: If one fails, with what it says.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forked = multiprocessing.get_context("fork")
    said = forked.SimpleQueue()
    several = [
        forked.Process(target=partial(_begin, rank, count, port, do, said)) for rank in range(count)
    ]
    for each in several:
        each.start()
    for each in several:
        each.join()
    if not said.empty():
        raise RuntimeError(said.get())
    if any(each.exitcode for each in several):
        raise RuntimeError(f"Processes ended with {[each.exitcode for each in several]}.")


def _begin(rank: int, count: int, port: int, do: Callable[[], object], said: Any) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TORCHELASTIC_RUN_ID"] = "split"
    torch.set_num_threads(1)
    try:
        do()
    except BaseException:
        said.put(traceback.format_exc())
        os._exit(1)
    os._exit(0)
