"""How networks are built for `export.py`: from wheels, from public definitions, and from some of our own."""

from __future__ import annotations

import ast
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.problem.networks import INPUT, OUTPUT, Network

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Row:
    """One network: its name, kind of architecture, how it is built, and the packages needed for that."""

    name: str
    family: str
    build: Callable[[str], Network]
    needs: tuple[str, ...]


def release(package: str) -> str:
    """Return the version that is installed, without the kind of build."""
    return version(package).partition("+")[0]


# Building blocks: each returns a function that takes the network's name and builds it.


def wheel(file: str) -> Callable[[str], Network]:
    """Read one of the networks that the onnx wheel ships for its own tests."""

    def build(name: str) -> Network:
        spec = find_spec("onnx")
        if spec is None or spec.origin is None:
            raise SystemExit("the onnx package is not installed")
        network = read_onnx(Path(spec.origin).parent / "backend" / "test" / "data" / "light" / file, name=name)
        weights = sum(part.weights or 0.0 for part in network.layers) + sum(w.bytes for w in network.shared_weights)
        source = f"onnx {release('onnx')}: {file} of its test data"
        return network.model_copy(update={"provenance": _provenance(source, name, network), "parameters": weights / 4})

    return build


def torchvision(model: str, *shape: int, input_name: str = "image", **options: Any) -> Callable[[str], Network]:
    """Export a model of torchvision."""

    def build(name: str) -> Network:
        from torchvision import models

        text = ", ".join(f"{key}={value!r}" for key, value in options.items())
        source = f"torchvision {release('torchvision')}: models.{model}({text})"
        return export(name, models.get_model(model, weights=None, **options), {input_name: shape}, source)

    return build


def detector(model: str, *shape: int) -> Callable[[str], Network]:
    """Export backbone and heads of a detector of torchvision; its anchors and box selection are no layers."""

    def build(name: str) -> Network:
        from torch import nn
        from torchvision import models

        class Detector(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                whole = models.get_model(model, weights=None, weights_backbone=None)
                self.backbone, self.head = whole.backbone, whole.head

            def forward(self, image: Any) -> tuple[Any, ...]:
                return tuple(self.head(list(self.backbone(image).values())).values())

        source = f"torchvision {release('torchvision')}: backbone and head of models.detection.{model}()"
        return export(name, Detector(), {"image": shape}, source)

    return build


def transformers(
    model: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    **configuration: Any,
) -> Callable[[str], Network]:
    """Export a model of transformers.

    Parameters
    ----------
    model : str
        Class, such as ``BertModel``.
    inputs : mapping of str to sequence of int
        Argument -> shape. Arguments that end in ``ids`` are whole numbers, all others floating-point.
    outputs : sequence of str
        Which of the model's outputs are kept.
    configuration
        What differs from the defaults of the configuration class.
    """

    def build(name: str) -> Network:
        import transformers as package
        from torch import nn

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                cls = getattr(package, model)
                config = cls.config_class(**configuration)
                config._attn_implementation = "eager"
                if hasattr(config, "use_cache"):
                    config.use_cache = False
                self.model = cls(config)

            def forward(self, *values: Any) -> tuple[Any, ...]:
                found = self.model(**dict(zip(inputs, values, strict=True)), return_dict=True)
                return tuple(found[output] for output in outputs)

        settings = ", ".join(f"{key}={value!r}" for key, value in configuration.items())
        source = f"transformers {release('transformers')}: {model}, configuration {settings or 'default'}"
        return export(name, Model(), inputs, source, output_names=outputs)

    return build


def own(make: Callable[[], nn.Module], description: str, *shape: int) -> Callable[[str], Network]:
    """Export a model that this script defines."""

    def build(name: str) -> Network:
        source = f"torch {release('torch')}: {make.__name__}() of export.py, {description}"
        return export(name, make(), {"image": shape}, source)

    return build


# Models that no package defines


def unet() -> nn.Module:
    import torch
    from torch import nn

    def twice(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )

    class UNet(nn.Module):
        def __init__(self, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
            super().__init__()
            pairs = list(pairwise(widths))
            self.stem = twice(3, widths[0])
            self.pool = nn.MaxPool2d(2)
            self.down = nn.ModuleList(twice(before, after) for before, after in pairs)
            self.grow = nn.ModuleList(nn.ConvTranspose2d(after, before, 2, 2) for before, after in reversed(pairs))
            self.up = nn.ModuleList(twice(after, before) for before, after in reversed(pairs))
            self.head = nn.Conv2d(widths[0], 2, 1)

        def forward(self, image: Any) -> Any:
            x = self.stem(image)
            skips = []
            for down in self.down:
                skips.append(x)
                x = down(self.pool(x))
            for grow, up in zip(self.grow, self.up, strict=True):
                x = up(torch.cat([skips.pop(), grow(x)], dim=1))
            return self.head(x)

    return UNet()


def branchynet() -> nn.Module:
    from torch import nn

    def step(before: int, after: int, kernel: int, pool: bool) -> nn.Sequential:
        layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.MaxPool2d(3, 2)) if pool else nn.Sequential(*layers)

    def leave(before: int, width: int) -> nn.Sequential:
        return nn.Sequential(step(before, 32, 3, True), nn.Flatten(), nn.Linear(32 * width * width, 10))

    class BranchyNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(
                [
                    step(3, 32, 5, True),
                    step(32, 64, 5, True),
                    step(64, 96, 3, False),
                    step(96, 96, 3, False),
                    step(96, 64, 3, True),
                ]
            )
            self.classifier = nn.Sequential(
                nn.Flatten(), nn.Linear(64 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
            )
            self.exit1 = leave(32, 7)
            self.exit2 = leave(96, 3)

        def forward(self, image: Any) -> tuple[Any, ...]:
            x = self.steps[0](image)
            first = self.exit1(x)
            x = self.steps[2](self.steps[1](x))
            second = self.exit2(x)
            return first, second, self.classifier(self.steps[4](self.steps[3](x)))

    return BranchyNet()


# From a model to a network


def export(
    name: str,
    model: nn.Module,
    inputs: Mapping[str, Sequence[int]],
    source: str,
    output_names: Sequence[str] | None = None,
) -> Network:
    """Export a model with random weights, read the graph, and name its layers after the modules they are from.

    Parameters
    ----------
    name : str
    model : torch.nn.Module
    inputs : mapping of str to sequence of int
        Name -> shape, in the order of the arguments.
    source : str
        Where the model is from, for the provenance.
    output_names : sequence of str, optional
    """
    import onnx_ir
    import torch

    torch.manual_seed(0)
    with torch.no_grad():  # zeros and ones that a model starts from would be simplified away
        for parameter in model.parameters():
            parameter.uniform_(0.01, 0.02)
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.1, 0.2)
    values = tuple(
        torch.zeros(*shape, dtype=torch.int64) if key.endswith("ids") else torch.zeros(*shape)
        for key, shape in inputs.items()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(), values, dynamo=True, verbose=False, input_names=list(inputs), output_names=output_names
        )
    assert program is not None
    ir = program.model
    ir.producer_version = release("torch")
    places: dict[str | None, str] = {}
    for position, node in enumerate(ir.graph):
        before = next((value.producer() for value in node.inputs if value is not None and value.producer()), None)
        node.name = f"node.{position}"
        if "pkg.torch.onnx.name_scopes" in node.metadata_props:
            scopes = ast.literal_eval(node.metadata_props["pkg.torch.onnx.name_scopes"])
            places[node.name] = scopes[-2] if len(scopes) > 1 else ""
        else:  # what the exporter put in belongs to what it works on
            places[node.name] = places.get(before.name, "") if before is not None else ""
        if node.op_type == "Conv":  # and not to the batch normalisation that has become a part of it
            places[node.name] = (node.inputs[1].name or "").removesuffix(".weight")
    for value in ir.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.size > 4096:  # its values are of no use; they would be gigabytes
            value.const_value = onnx_ir.ExternalTensor(
                "weights", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=value.name
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(onnx_ir.to_proto(ir).SerializeToString())
        network = read_onnx(path, name=name)
    return _renamed(network, _layer_names(network, places)).model_copy(
        update={
            "provenance": _provenance(source, name, network),
            "parameters": float(sum(parameter.numel() for parameter in model.parameters())),
        }
    )


def _provenance(source: str, name: str, network: Network) -> str:
    graph = network.provenance.partition(": ")[2]
    return f"{source}; {graph}; built by instances/networks/export.py --only {name}"


_SHORTER = {  # in paths of modules that say things twice
    "encoder_layer_": "",
    "albert_layer_groups.0.albert_layers.0": "layer",
    "backbone.model.encoder": "backbone",
}


def _layer_names(network: Network, places: Mapping[str | None, str]) -> dict[str, str]:
    """Name each layer after its module, with its operator where that has more layers, and a number where need be."""
    modules = {}
    for layer in network.layers:
        module = places[layer.name].removeprefix("model").lstrip(".")
        for long, short in _SHORTER.items():
            module = module.replace(long, short)
        modules[layer.name] = module
    layers_of = Counter(modules.values())
    parents = {module[:end] for module in layers_of for end, letter in enumerate(module) if letter == "."}
    stems = {}
    for layer in network.layers:
        module, operator = modules[layer.name], layer.op.lower()
        alone = module and layers_of[module] == 1 and module not in parents
        own_name = module.rpartition(".")[2] == operator
        stems[layer.name] = module if alone or own_name else f"{module}.{operator}".lstrip(".")
    often, seen = Counter(stems.values()), Counter[str]()
    names = {}
    for key, stem in stems.items():
        seen[stem] += 1
        names[key] = f"{stem}{seen[stem]}" if often[stem] > 1 else stem
    return names


def _renamed(network: Network, names: Mapping[str, str]) -> Network:
    """Rename layers, and tensors after the layers that make them."""
    made = Counter(tensor.producer for tensor in network.tensors)
    seen: Counter[str] = Counter()
    tensors = []
    called = {"": ""}
    for tensor in network.tensors:
        if tensor.producer == INPUT:
            name = tensor.name
        else:
            seen[tensor.producer] += 1
            number = f":{seen[tensor.producer]}" if made[tensor.producer] > 1 else ""
            name = names[tensor.producer] + number
        called[tensor.name] = name
        tensors.append(
            tensor.model_copy(
                update={
                    "name": name,
                    "producer": names.get(tensor.producer, INPUT),
                    "consumers": tuple(names.get(consumer, OUTPUT) for consumer in tensor.consumers),
                }
            )
        )
    layers = tuple(
        layer.model_copy(update={"name": names[layer.name], "inputs": tuple(called[name] for name in layer.inputs)})
        for layer in network.layers
    )
    shared = tuple(
        weights.model_copy(update={"layers": tuple(names[layer] for layer in weights.layers)})
        for weights in network.shared_weights
    )
    return Network(name=network.name, layers=layers, tensors=tuple(tensors), shared_weights=shared)
