"""Whether the pieces of a network, put together, compute what the whole does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnnopt.base.errors import InputError
from dnnopt.inputs.profiling import onnx_runtime
from dnnopt.problem.manifest import Manifest, Verification
from dnnopt.runtime.sessions import ModelSession, run_in_turn

if TYPE_CHECKING:
    import numpy as np


def random_inputs(manifest: Manifest, seed: int) -> dict[str, np.ndarray]:
    """Return random inputs: normal numbers; 0 and 1 where there are integers, which are valid indices and masks.

    Open dimensions have the sizes that the network was read with.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    found = {}
    for given in manifest.inputs:
        sizes = [_size(manifest, given.name, axis, size) for axis, size in enumerate(given.shape)]
        if given.dtype.startswith("float"):
            found[given.name] = random.standard_normal(sizes).astype(given.dtype)
        else:
            found[given.name] = random.integers(0, 2, sizes).astype(given.dtype)
    return found


def _size(manifest: Manifest, name: str, axis: int, size: int | str | None) -> int:
    if isinstance(size, int):
        return size
    known = manifest.dimensions
    own = known.get(f"{name}[{axis}]", known.get(str(size)) if size else None)
    if own is None:
        raise InputError("", field="dimensions", problem=f"no size for {name}[{axis}], and random inputs need one")
    return own


def differences(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Return the largest difference of any output, and the largest over that output's largest magnitude.

    Numbers that are undefined or infinite in one alone differ by infinity, which is written as 1e30.
    """
    import numpy as np

    absolute = relative = 0.0
    for name, wanted in expected.items():
        got = found[name]
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            return 1e30, 1e30
        first, second = got.astype(np.float64), wanted.astype(np.float64)
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(first - second))
        largest = float(np.max(np.where(np.isfinite(apart), apart, 1e30), initial=0.0))
        magnitude = float(np.max(np.abs(second), initial=0.0, where=np.isfinite(second)))
        absolute = max(absolute, largest)
        relative = max(relative, min(largest / magnitude, 1e30) if magnitude else largest)
    return absolute, relative


def _idle(whole: ModelSession, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return something for each input that the network does not read, and that the whole model insists on."""
    import numpy as np

    found = {}
    for name, (kind, shape) in whole.inputs.items():
        if name not in given:
            word = kind.removeprefix("tensor(").removesuffix(")")
            dtype = {"float": "float32", "double": "float64", "string": "object"}.get(word, word)
            found[name] = np.zeros([size if isinstance(size, int) else 1 for size in shape or ()], dtype)
    return found


def verified(manifest: Manifest, folder: Path, model: Path, seed: int) -> Verification:
    """Run the pieces and the whole model on the same random inputs.

    The runtime rewrites neither, as what it fuses in the whole may round otherwise.

    Raises
    ------
    InputError
        If onnxruntime is not installed or cannot run them.
    """
    inputs = random_inputs(manifest, seed)
    found = run_in_turn(manifest, folder, inputs, level="none")
    whole = ModelSession(model, "none")
    absolute, relative = differences(found, whole.run(inputs | _idle(whole, inputs)))
    return Verification(
        max_absolute=absolute, max_relative=relative, seed=seed, onnxruntime=onnx_runtime()[0].__version__
    )
