"""Networks as ONNX, for those who run them without torch, and how far their answers are from torch's."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

OPSET = 17


def exported(
    network: torch.nn.Module, example: torch.Tensor, source: str, axis: str, answers: Sequence[str] = ("logits",)
) -> bytes:
    """A network of the input `source` and these outputs as ONNX, the first axis of all of any length.

    Raises: whatever torch's exporter does for an operation that it does not know, of many types.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter that torch now prefers writes several times the size for the same network.
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network.eval(),
            (example,),
            str(path),
            input_names=[source],
            output_names=list(answers),
            dynamic_axes={name: {0: axis} for name in (source, *answers)},
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def difference(network: torch.nn.Module, onnx: bytes, source: str, inputs: npt.NDArray[np.float32]) -> float:
    """Largest difference of a logit between torch and onnxruntime, all items at once and the first alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        wanted = network.eval()(torch.from_numpy(inputs)).numpy()
    found = session.run(["logits"], {source: inputs})[0]
    alone = session.run(["logits"], {source: inputs[:1]})[0]
    return float(max(np.abs(found - wanted).max(), np.abs(alone - wanted[:1]).max()))
