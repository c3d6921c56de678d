"""Measure how long the layers of an ONNX file take on this machine: ``profile_onnx("model.onnx", "laptop")``.

onnxruntime runs the file on random inputs and reports the time of every node of its own graph, which
`dnnopt.inputs.attribution` matches with the layers of the network. By default nothing is fused: the runtime folds
constants and leaves every layer a node of its own. With `optimised` it fuses what it can, and what a group of fused
layers takes is split over them in proportion to what they take apart.

Layouts of tensors that the runtime invents for one processor are left out of both, for their nodes can no longer be
matched; the fastest run, with everything, is measured as a whole beside it.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dnnopt.base.arguments import checked
from dnnopt.base.errors import InputError
from dnnopt.base.extras import optional
from dnnopt.base.sizes import check_threads
from dnnopt.base.versions import versions
from dnnopt.inputs.attribution import Operation, SameWork, same_work
from dnnopt.inputs.onnx.costs import CostFunction
from dnnopt.inputs.onnx.functions import Node
from dnnopt.inputs.onnx.quantised import folded_graph
from dnnopt.inputs.onnx.shapes import shape_of
from dnnopt.problem.networks import INPUT
from dnnopt.problem.profiles import FusedGroup, Measurement, Profile

if TYPE_CHECKING:
    import numpy as np

# What onnxruntime's basic optimisation does beside folding constants and removing Dropout and Identity. Names that a
# version does not know are ignored there; what a later version adds shows up as groups.
_REWRITES = (
    "CastChainElimination CastElimination ClipQuantRewrite ConstantSharing ConvAddFusion ConvBNFusion ConvMulFusion "
    "DivMulFusion DoubleQDQPairsRemover EliminateSlice ExpandElimination FuseReluClip GatherSliceToSplitFusion "
    "GatherToSliceFusion GeluFusionL1 GemmSumFusion GemmTransposeFusion LabelEncoderFusion LayerNormFusionL1 "
    "MatMulAddFusion MatMul_BatchNormalization_Fusion NoopElimination NotWhereFusion Pad_Fusion "
    "PreShapeNodeElimination QDQPropagationTransformer ReluQuantRewrite ReshapeFusion "
    "SliceConcatToSpaceToDepthFusion TransposeOptimizer UnsqueezeElimination WhereDummyDq"
)
# Never: in a file without real weights, layers of one shape that read one value would be computed once for all.
_CSE = "CommonSubexpressionElimination"
_KERNEL = "_kernel_time"
_RUN = "model_run"
_DECIMALS = 9  # the runtime counts microseconds


@checked
def profile_onnx(
    model: str | Path,
    device: str,
    *,
    name: str | None = None,
    dimensions: Mapping[str, int] | None = None,
    costs: Mapping[str, CostFunction] | None = None,
    repetitions: int = 20,
    warmup: int = 3,
    threads: int | None = None,
    optimised: bool = False,
    seed: int = 0,
    allow_large: bool = False,
    watch: Callable[[str], None] | None = None,
) -> Profile:
    """Measure the layers of an ONNX file on this machine's processor, with onnxruntime.

    A layer's time is the median, over the repetitions, of what its kernels take. What the runtime spends between
    kernels is in no layer: it is the measurement's `overhead`.

    Parameters
    ----------
    model : str or Path
        The ``.onnx`` file, or the name of a network of the onnx wheel, such as ``squeezenet``.
    device : str
        What platforms call this machine.
    name, dimensions, costs
        As in `read_onnx`: the network's name, sizes of symbolic dimensions, FLOP of operators of one's own.
    repetitions, warmup : int
        Runs that count, and runs before them that do not.
    threads : int, optional
        Threads for one layer; by default one for each processor that this process may use.
    optimised : bool
        Let the runtime fuse layers. `groups` of the measurement lists what it fused.
    seed : int
        Of the random inputs: normal numbers; 0 and 1 where an input has integers, which are valid indices and masks.
    allow_large : bool
        Whether the limits of `dnnopt.base.sizes` are lifted.
    watch : callable, optional
        Called with what is being measured, in words.

    Returns
    -------
    Profile
        With one measurement.

    Raises
    ------
    InputError
        If onnxruntime is not installed or cannot run the file, weights that the file keeps elsewhere are missing, or
        `read_onnx` refuses it.
    """
    lowest = (("repetitions", repetitions, 1), ("warmup", warmup, 0), ("seed", seed, 0))
    for field, value, least in lowest:
        if value is not None and value < least:
            raise InputError(f"a whole number >= {least}", field=field, value=value)
    check_threads(threads)
    if not device:
        raise InputError("the name of this machine in a platform", field="device", value=device)
    onnx_runtime()
    path, short = _file(model)
    threads = threads or _processors()
    runner = _Runner(path, name or short, dimensions, costs, warmup, repetitions, threads, seed, allow_large)
    watch = watch or (lambda what: None)

    watch("each layer apart")
    layers = runner.network.layers
    found = runner.observe(fuse=False)
    shares = {layer.name: (layer.flops or 0.0) + (layer.bytes or 0.0) for layer in layers}
    if optimised:
        shares = {layer: _median(samples) for layer, samples in found.split(shares).items()}
        watch("layers as the runtime fuses them")
        found = runner.observe(fuse=True)
    samples = found.split(shares)
    watch("whole runs")
    total = runner.whole("ORT_ENABLE_EXTENDED" if optimised else "ORT_ENABLE_BASIC", apart=not optimised)
    fastest = runner.whole("ORT_ENABLE_ALL", apart=False)

    network = runner.network
    medians = {layer.name: _median(samples[layer.name]) for layer in layers}
    installed = versions()
    measurement = Measurement(
        network=network.name,
        device=device,
        model=network.provenance,
        inputs={tensor.name: tensor.bytes for tensor in network.tensors if tensor.producer == INPUT},
        optimised=optimised,
        repetitions=repetitions,
        warmup=warmup,
        threads=runner.threads,
        seed=seed,
        quartiles={layer.name: _quartiles(samples[layer.name]) for layer in layers},
        sum_of_layers=round(sum(medians.values()), _DECIMALS),
        overhead=max(0.0, _median(found.overhead)),
        total=_median(total),
        total_quartiles=_quartiles(total),
        fastest=_median(fastest),
        groups=tuple(
            FusedGroup(layers=group.layers, nodes=tuple(map(found.label, group.nodes)), seconds=_median(seconds))
            for group, seconds in found.groups
            if len(group.layers) > 1
        ),
        other={found.label(node): _median(seconds) for node, seconds in found.other.items()},
        processor=_processor(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={key: installed[key] for key in ("dnnopt", "python", "platform", "numpy", "onnx", "onnxruntime")},
    )
    time = {layer: {device: seconds} for layer, seconds in medians.items()}
    return Profile(time={network.name: time}, measurements=(measurement,))


@dataclass(frozen=True)
class _Observed:
    """Seconds of each run, as arrays: of groups that have layers, of nodes of no layer, and between nodes."""

    groups: list[tuple[SameWork, np.ndarray]]
    other: dict[str, np.ndarray]
    overhead: np.ndarray
    kinds: dict[str, str]

    def label(self, node: str) -> str:
        """Return what a person is told of a node: its operator, and its name where that says more."""
        kind = self.kinds.get(node, "")
        return node if node.startswith(kind) else f"{kind} {node}"

    def split(self, shares: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Split what each group takes over its layers in proportion to `shares`, evenly where these are all zero."""
        found = {}
        for group, seconds in self.groups:
            whole = sum(shares[layer] for layer in group.layers)
            for layer in group.layers:
                found[layer] = seconds * (shares[layer] / whole if whole > 0 else 1 / len(group.layers))
        return found


class _Runner:
    """One ONNX file, ready to run, and the network that it is."""

    def __init__(
        self,
        path: Path,
        name: str,
        dimensions: Mapping[str, int] | None,
        costs: Mapping[str, CostFunction] | None,
        warmup: int,
        repetitions: int,
        threads: int,
        seed: int,
        allow_large: bool,
    ):
        from dnnopt.inputs.onnx.reader import read_onnx

        self.network = read_onnx(path, name=name, dimensions=dimensions, costs=costs, allow_large=allow_large)
        self.path, self.warmup, self.repetitions, self.threads = path, warmup, repetitions, threads
        self.graph = folded_graph(path, dimensions or {}, allow_large=allow_large)
        self._check_files()
        self.steps = self._name_nodes()
        self.feeds = self._random_inputs(seed)
        self.model = self.graph.flat_model().SerializeToString()

    def _check_files(self) -> None:
        from onnx import TensorProto

        for tensor in self.graph.model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                where = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
                if not (self.path.parent / where).is_file():
                    raise self.graph.error(
                        f"the weights {tensor.name!r} are in the file {where!r}, which is not beside it; "
                        "running the network needs them"
                    )

    def _name_nodes(self) -> list[Operation]:
        """Give the nodes the names of their layers, and the others names of their own; return the layers."""
        for node in self.graph.nodes:
            node.proto.name = f"{node.op}:{next(filter(None, node.outputs), '')}"
        steps = []
        for node, layer in zip(self.graph.layers, self.network.layers, strict=True):
            node.proto.name = layer.name
            steps.append(self._step(node, layer.name))
        return steps

    def _step(self, node: Node, name: str) -> Operation:
        return Operation(
            name,
            tuple(self.graph.variable_inputs(node)),
            tuple(self.graph.real(value) for value in node.outputs if value),
        )

    def _random_inputs(self, seed: int) -> dict[str, np.ndarray]:
        import numpy as np
        from onnx.helper import tensor_dtype_to_np_dtype

        random = np.random.default_rng(seed)
        feeds = {}
        for value in self.graph.inputs:
            dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            shape = shape_of(value.type) or ()
            if np.issubdtype(dtype, np.floating):
                feeds[value.name] = random.standard_normal(shape).astype(dtype)
            elif np.issubdtype(dtype, np.integer) or dtype == np.bool_:
                feeds[value.name] = random.integers(0, 2, shape).astype(dtype)
            else:
                raise self.graph.error(f"input {value.name!r} has elements of type {dtype}: no random ones can be made")
        return feeds

    def _session(self, level: str, apart: bool, folder: str | None = None) -> Any:
        """Return a session; where there is a folder, it observes nodes and writes the graph that it runs there."""
        ort, failures = onnx_runtime()
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised as well
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self.path.parent.resolve())
        )
        if folder is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
            options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
        try:
            return ort.InferenceSession(
                self.model,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[_CSE, *(_REWRITES.split() if apart else ())],
            )
        except failures as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split()).removeprefix("[ONNXRuntimeError] : ")
        return self.graph.error(f"onnxruntime cannot run it: {reason}")

    def _times(self, session: Any) -> list[float]:
        """Run, and return the seconds of each repetition."""
        seconds = []
        for _ in range(self.warmup + self.repetitions):
            start = perf_counter()
            try:
                session.run(None, self.feeds)
            except onnx_runtime()[1] as error:
                raise self._refused(error) from None
            seconds.append(perf_counter() - start)
        return seconds[self.warmup :]

    def whole(self, level: str, *, apart: bool) -> np.ndarray:
        """Return the seconds of each run as a whole."""
        import numpy as np

        return np.array(self._times(self._session(level, apart)))

    def observe(self, *, fuse: bool) -> _Observed:
        """Return the seconds that layers, or groups of them, take in each run."""
        import numpy as np
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            session = self._session("ORT_ENABLE_EXTENDED" if fuse else "ORT_ENABLE_BASIC", not fuse, folder)
            self._times(session)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
            nodes = onnx.load(Path(folder) / "graph.onnx", load_external_data=False).graph.node
        names = list(_numbered((node.name or node.op_type) for node in nodes))
        runs = list(_runs(events, names))[self.warmup :]
        if len(runs) != self.repetitions:  # it keeps a limited number of events
            expected = f"fewer: onnxruntime reports only {len(runs)} of them layer by layer"
            raise InputError(expected, field="repetitions", value=self.repetitions)
        overhead = np.array([whole - sum(run.values()) for whole, run in runs])
        seen = dict.fromkeys(name for _, run in runs for name in run)
        seconds = {name: np.array([run.get(name, 0.0) for _, run in runs]) for name in seen}
        found = []
        run = [self._step(Node(node, {}), name) for node, name in zip(nodes, names, strict=True)]
        for group in same_work(self.steps, run):
            if group.layers:
                parts = [seconds.pop(node) for node in group.nodes if node in seconds]
                if not parts:
                    raise self.graph.error(f"onnxruntime reports no time for {', '.join(group.layers)}")
                found.append((group, np.sum(parts, axis=0)))
        kinds = {name: node.op_type for node, name in zip(nodes, names, strict=True)}
        return _Observed(found, seconds, overhead, kinds)


def _numbered(names: Iterator[str]) -> Iterator[str]:
    """Tell equal names apart by their order: ``Cast``, ``Cast#2``, ..."""
    counts: Counter[str] = Counter()
    for name in names:
        counts[name] += 1
        yield name if counts[name] == 1 else f"{name}#{counts[name]}"


def _runs(events: list[dict[str, Any]], nodes: list[str]) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield for each run what onnxruntime's events say: its seconds, and those of each node.

    Nodes run in the order of their graph, so equal names are told apart as there; an event of a node without a name
    has its operator in `args`.
    """
    known = set(nodes)
    current: list[tuple[str, float]] = []
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(_KERNEL):
            name = event["name"].removesuffix(_KERNEL)
            current.append((name if name in known else event["args"]["op_name"], 1e-6 * event["dur"]))
        elif event["name"] == _RUN:
            names = _numbered(name for name, _ in current)
            yield 1e-6 * event["dur"], {name: seconds for name, (_, seconds) in zip(names, current, strict=True)}
            current = []


def onnx_runtime() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return onnxruntime and what it raises."""
    onnxruntime = optional("onnxruntime", "onnxruntime", "profile")
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    failures = tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return onnxruntime, failures


def wheel_files() -> dict[str, Path]:
    """Return the networks that the onnx wheel ships for its own tests: name -> file."""
    spec = find_spec("onnx")
    folder = Path(spec.origin if spec and spec.origin else "").parent / "backend" / "test" / "data" / "light"
    paths = sorted(folder.glob("light_*.onnx"))
    return {path.stem.removeprefix("light_").removeprefix("bvlc_"): path for path in paths}


def _file(model: str | Path) -> tuple[Path, str]:
    """Return the ONNX file that `model` names, and the network's name."""
    path = Path(model)
    if path.suffix == ".onnx" or path.exists():
        return path, path.stem
    known = wheel_files()
    if str(model) not in known:
        raise InputError(
            f"an ONNX file, or a network of the onnx wheel: {', '.join(known) or 'none is installed'}", value=str(model)
        )
    return known[str(model)], str(model)


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _processor() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return next(filter(None, names), platform.processor() or platform.machine())


def _median(samples: Any) -> float:
    import numpy as np

    return round(float(np.median(samples)), _DECIMALS)


def _quartiles(samples: Any) -> tuple[float, float]:
    import numpy as np

    first, third = np.percentile(samples, [25, 75])
    return round(float(first), _DECIMALS), round(float(third), _DECIMALS)
