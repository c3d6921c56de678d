"""Pieces, ready to run with onnxruntime in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.base.errors import InputError
from dnnopt.inputs.profiling import onnx_runtime
from dnnopt.problem.manifest import Manifest, ModelPiece, PieceTensor
from dnnopt.problem.networks import INPUT
from dnnopt.runtime.codecs import from_form, to_form

if TYPE_CHECKING:
    import numpy as np

LEVELS = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "all": "ORT_ENABLE_ALL"}


class ModelSession:
    """An ONNX file that runs on this machine's processor.

    Parameters
    ----------
    path : Path
    level : {"none", "basic", "all"}
        How far the runtime may rewrite it.
    threads : int
        For each layer.
    """

    def __init__(self, path: Path, level: str = "basic", threads: int = 1) -> None:
        ort, failures = onnx_runtime()
        self._failures: tuple[type[Exception], ...] = (*failures, ValueError)
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._path = path
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self._failures as error:
            raise self._refused(error) from None
        self.outputs = [output.name for output in self._session.get_outputs()]
        self.inputs = {given.name: (given.type, given.shape) for given in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs for some inputs.

        Raises
        ------
        InputError
            If the runtime refuses them.
        """
        try:
            return dict(zip(self.outputs, self._session.run(None, dict(feeds)), strict=True))
        except self._failures as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split()).removeprefix("[ONNXRuntimeError] : ")
        return InputError("", file=str(self._path), problem=f"onnxruntime cannot run it: {reason}")


def piece_session(folder: Path, piece: ModelPiece, level: str, threads: int) -> ModelSession:
    """Return a piece that is ready to run."""
    return ModelSession(folder / piece.file, level, threads)


def input_shape(tensor: PieceTensor, array: np.ndarray) -> np.ndarray:
    """Return the shape, or size, of an input of the model that a value stands for."""
    import numpy as np

    if tensor.axes == (-1,):
        return np.array(array.size, np.int64)
    start, end = tensor.axes
    return np.array(array.shape[start:end], np.int64)


def first_values(manifest: Manifest, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values that are there before any piece runs: inputs, and shapes of inputs."""
    found = dict(inputs)
    for tensor in manifest.tensors:
        if tensor.producer == INPUT and tensor.shape_of:
            found[tensor.value] = input_shape(tensor, inputs[tensor.shape_of])
    return found


def run_in_turn(
    manifest: Manifest, folder: Path, inputs: Mapping[str, np.ndarray], *, level: str = "basic", threads: int = 1
) -> dict[str, np.ndarray]:
    """Run the pieces one after the other in this process, each loaded when its turn comes; return the outputs.

    What devices send each other in fewer bits is rounded as on the way.
    """

    def arrived(value: str, sender: str | None, receiver: str | None) -> np.ndarray:
        form = manifest.forms.get(value) if sender and receiver and sender != receiver else None
        return values[value] if form is None else rounded(values[value], form)

    values = first_values(manifest, inputs)
    device_of = {piece.name: piece.device for piece in manifest.pieces}
    for piece in manifest.pieces:
        session = piece_session(folder, piece, level, threads)
        feeds = {}
        for value in piece.inputs:
            tensor = manifest.tensor_of()[value]
            feeds[value] = arrived(value, device_of.get(tensor.producer, manifest.source), piece.device)
        values |= session.run(feeds)
    found = {}
    for output in manifest.outputs:
        maker = manifest.tensor_of()[output.value].producer
        found[output.name] = arrived(output.value, device_of.get(maker, manifest.source), manifest.sink)
    return found


def rounded(array: np.ndarray, form: str) -> np.ndarray:
    """Return what arrives of an array that is sent in a form."""
    small, scale = to_form(array, form)
    return from_form(small, scale, str(array.dtype))
