"""One training in several processes, one a device: torchrun starts them, and only the first one writes.

A command that is asked for several devices starts itself again under torchrun (`share`), so that a user types one
option. Who starts torchrun by hand says the same number; another one is an error, never a silent single process.
"""

import logging
import os
import signal
import sys
from typing import NoReturn

from repset.errors import RepsetError


def world() -> int:
    """Processes that share the training; 1 outside torchrun."""
    return int(os.environ["WORLD_SIZE"]) if _under_torchrun() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if _under_torchrun() else 0


def share(devices: int, device: str) -> None:
    """Run this command in `devices` processes and leave with their exit status; return in each of them, and for 1.

    Args:
        device: auto | cpu | cuda, as the user said. Only who says cpu gets several processes without a GPU.
    Raises: RepsetError if there are fewer CUDA devices, or torchrun has started another number of processes.
    """
    if _under_torchrun():
        if world() != devices:
            raise RepsetError(f"--devices {devices}, but torchrun has started {world()}. Say --devices {world()}.")
        return
    if devices == 1:
        return
    if device != "cpu":
        import torch

        if (found := torch.cuda.device_count()) < devices:
            raise RepsetError(
                f"--devices {devices}: {found or 'no'} CUDA devices are visible. Say --devices {max(1, found)}, or "
                "--device cpu for several processes on the processor."
            )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _torchrun(["--standalone", "--nproc-per-node", str(devices), "-m", "repset", *sys.argv[1:]])


def _torchrun(arguments: list[str]) -> NoReturn:
    """What torchrun does on the command line, without its log and traceback: the processes speak for themselves."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)
    try:
        run.run(run.parse_args(arguments))  # type: ignore[no-untyped-call]
    except SignalException as stopped:
        raise KeyboardInterrupt from stopped
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode
        if status < 0:  # killed, so it could not say anything
            name = signal.Signals(-status).name
            raise RepsetError(
                f"a process of the training was ended by {name} (SIGKILL often means too little memory). What was "
                "finished is kept; run the same command again to go on."
            ) from error
        raise SystemExit(status) from error
    raise SystemExit(0)


def _under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
