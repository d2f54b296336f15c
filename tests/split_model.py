"""Lightning's FSDPStrategy without a GPU, which it and torch refuse: the same code over gloo.

What is set aside: Lightning's question for CUDA, torch's question for an accelerator, and the copy
of a whole weight to the CPU, which is none where it is there already and is then freed.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable, Mapping
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


def in_processes(
    count: int, do: Callable[[], object], job: Mapping[str, str] | None = None
) -> None:
    """Do something in forked processes, which Lightning takes for those of torchrun or SLURM.

    Args:
        count: How many.
        do: What each of them does; what it makes is lost.
        job: Variables of a job of SLURM; None for torchrun.

    Raises:
        RuntimeError: If one fails, with what it says.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    forked = multiprocessing.get_context("fork")
    said = forked.SimpleQueue()
    several = []
    for rank in map(str, range(count)):
        if job is None:
            own = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0", "WORLD_SIZE": str(count)}
            own |= {"LOCAL_WORLD_SIZE": str(count), "TORCHELASTIC_RUN_ID": "split"}
        else:
            own = {**job, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        several.append(forked.Process(target=partial(_begin, {**place, **own}, do, said)))
    for each in several:
        each.start()
    for each in several:
        each.join()
    if not said.empty():
        raise RuntimeError(said.get())
    if any(each.exitcode for each in several):
        raise RuntimeError(f"Processes ended with {[each.exitcode for each in several]}.")


def _begin(variables: Mapping[str, str], do: Callable[[], object], said: Any) -> None:
    os.environ |= variables
    torch.set_num_threads(1)
    try:
        do()
    except BaseException:
        said.put(traceback.format_exc())
        os._exit(1)
    os._exit(0)
