"""Build the network files of this folder from the public definitions of the architectures.

    python instances/networks/export.py                    # all, beside this script
    python instances/networks/export.py --only vit-b       # these alone (may be repeated)
    python instances/networks/export.py --check            # build and compare with what is here; writes nothing
    python instances/networks/export.py --readme           # bring the table in README.md up to date

Only the graph and the shapes are kept, so weights are random and nothing is downloaded. Users of dnnopt need none of
what this script imports. The files here are made with the versions in `PINS`; install those beside dnnopt::

    pip install torch==2.14.1 torchvision==0.29.1 transformers==5.23.0 onnxscript==0.7.2 onnx==1.23.2

The nine networks of the onnx wheel need onnx alone. To add a network, add a row to `NETWORKS`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import sys
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

from dnnopt.base.files import read_text, write_text
from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.problem.granularity import GRANULARITIES, coarsen
from dnnopt.problem.networks import INPUT, OUTPUT, Network, read_network, write_network

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent
PINS = {"torch": "2.14.1", "torchvision": "0.29.1", "transformers": "5.23.0", "onnxscript": "0.7.2", "onnx": "1.23.2"}


@dataclass(frozen=True)
class Row:
    """One network: its name, kind of architecture, how it is built, and the packages needed for that."""

    name: str
    family: str
    build: Callable[[str], Network]
    needs: tuple[str, ...]


def _release(package: str) -> str:
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
        source = f"onnx {_release('onnx')}: {file} of its test data"
        return network.model_copy(update={"provenance": _provenance(source, name, network), "parameters": weights / 4})

    return build


def torchvision(model: str, *shape: int, input_name: str = "image", **options: Any) -> Callable[[str], Network]:
    """Export a model of torchvision."""

    def build(name: str) -> Network:
        from torchvision import models

        text = ", ".join(f"{key}={value!r}" for key, value in options.items())
        source = f"torchvision {_release('torchvision')}: models.{model}({text})"
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

        source = f"torchvision {_release('torchvision')}: backbone and head of models.detection.{model}()"
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
        source = f"transformers {_release('transformers')}: {model}, configuration {settings or 'default'}"
        return export(name, Model(), inputs, source, output_names=outputs)

    return build


def own(make: Callable[[], nn.Module], description: str, *shape: int) -> Callable[[str], Network]:
    """Export a model that this script defines."""

    def build(name: str) -> Network:
        source = f"torch {_release('torch')}: {make.__name__}() of export.py, {description}"
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
    ir.producer_version = _release("torch")
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
    for tensor in network.tensors:
        if tensor.producer == INPUT:
            name = tensor.name
        else:
            seen[tensor.producer] += 1
            number = f":{seen[tensor.producer]}" if made[tensor.producer] > 1 else ""
            name = names[tensor.producer] + number
        tensors.append(
            tensor.model_copy(
                update={
                    "name": name,
                    "producer": names.get(tensor.producer, INPUT),
                    "consumers": tuple(names.get(consumer, OUTPUT) for consumer in tensor.consumers),
                }
            )
        )
    layers = tuple(layer.model_copy(update={"name": names[layer.name]}) for layer in network.layers)
    shared = tuple(
        weights.model_copy(update={"layers": tuple(names[layer] for layer in weights.layers)})
        for weights in network.shared_weights
    )
    return Network(name=network.name, layers=layers, tensors=tuple(tensors), shared_weights=shared)


_VISION = ("torch", "torchvision", "onnxscript")
_TEXT = ("torch", "transformers", "onnxscript")
_IMAGE = (1, 3, 224, 224)


def _rows(needs: tuple[str, ...], family: str, **builders: Callable[[str], Network]) -> list[Row]:
    return [Row(name.replace("_", "-"), family, build, needs) for name, build in builders.items()]


_TOKENS = {"input_ids": (1, 128)}
_HIDDEN = ("last_hidden_state",)

NETWORKS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("alexnet", "plain CNN", wheel("light_bvlc_alexnet.onnx"), ("onnx",)),
        Row("zfnet512", "plain CNN", wheel("light_zfnet512.onnx"), ("onnx",)),
        Row("vgg19", "plain CNN", wheel("light_vgg19.onnx"), ("onnx",)),
        Row("resnet50", "residual CNN", wheel("light_resnet50.onnx"), ("onnx",)),
        Row("densenet121", "dense CNN", wheel("light_densenet121.onnx"), ("onnx",)),
        Row("squeezenet", "mobile CNN", wheel("light_squeezenet.onnx"), ("onnx",)),
        Row("shufflenet", "mobile CNN", wheel("light_shufflenet.onnx"), ("onnx",)),
        Row("inception_v1", "multi-branch CNN", wheel("light_inception_v1.onnx"), ("onnx",)),
        Row("inception_v2", "multi-branch CNN", wheel("light_inception_v2.onnx"), ("onnx",)),
        *_rows(_VISION, "plain CNN", vgg16=torchvision("vgg16", *_IMAGE)),
        *_rows(
            _VISION,
            "residual CNN",
            resnet18=torchvision("resnet18", *_IMAGE),
            resnet34=torchvision("resnet34", *_IMAGE),
            resnet101=torchvision("resnet101", *_IMAGE),
            resnet152=torchvision("resnet152", *_IMAGE),
            resnext50=torchvision("resnext50_32x4d", *_IMAGE),
            regnet_x_3_2gf=torchvision("regnet_x_3_2gf", *_IMAGE),
            regnet_y_800mf=torchvision("regnet_y_800mf", *_IMAGE),
            convnext_t=torchvision("convnext_tiny", *_IMAGE),
            convnext_b=torchvision("convnext_base", *_IMAGE),
        ),
        *_rows(_VISION, "dense CNN", densenet201=torchvision("densenet201", *_IMAGE)),
        *_rows(
            _VISION,
            "mobile CNN",
            mobilenet_v2=torchvision("mobilenet_v2", *_IMAGE),
            mobilenet_v3_small=torchvision("mobilenet_v3_small", *_IMAGE),
            mobilenet_v3_large=torchvision("mobilenet_v3_large", *_IMAGE),
            shufflenet_v2=torchvision("shufflenet_v2_x1_0", *_IMAGE),
            mnasnet=torchvision("mnasnet1_0", *_IMAGE),
            efficientnet_b0=torchvision("efficientnet_b0", *_IMAGE),
            efficientnet_b4=torchvision("efficientnet_b4", 1, 3, 380, 380),
            efficientnet_v2_s=torchvision("efficientnet_v2_s", 1, 3, 384, 384),
        ),
        *_rows(
            _VISION,
            "multi-branch CNN",
            googlenet=torchvision("googlenet", *_IMAGE, aux_logits=False, init_weights=False),
            inception_v3=torchvision("inception_v3", 1, 3, 299, 299, aux_logits=False, init_weights=False),
        ),
        *_rows(
            _VISION,
            "multi-exit CNN",
            branchynet=own(
                branchynet, "an AlexNet with two early exits, after BranchyNet (arXiv 1709.01686)", 1, 3, 32, 32
            ),
        ),
        *_rows(_VISION, "video CNN", r3d_18=torchvision("r3d_18", 1, 3, 16, 112, 112, input_name="video")),
        *_rows(
            _VISION,
            "vision transformer",
            vit_b=torchvision("vit_b_16", *_IMAGE),
            vit_l=torchvision("vit_l_16", *_IMAGE),
            swin_t=torchvision("swin_t", *_IMAGE),
            swin_b=torchvision("swin_b", *_IMAGE),
            maxvit_t=torchvision("maxvit_t", *_IMAGE),
        ),
        *_rows(
            _VISION,
            "segmentation",
            unet=own(unet, "U-Net (arXiv 1505.04597) with padded convolutions and batch normalisation", 1, 3, 256, 256),
            deeplabv3=torchvision("deeplabv3_mobilenet_v3_large", 1, 3, 520, 520, weights_backbone=None),
            fcn_resnet50=torchvision("fcn_resnet50", 1, 3, 520, 520, weights_backbone=None),
        ),
        *_rows(
            _TEXT,
            "segmentation",
            segformer_b0=transformers(
                "SegformerForSemanticSegmentation", {"pixel_values": (1, 3, 512, 512)}, ["logits"], num_labels=150
            ),
        ),
        *_rows(
            _VISION,
            "detection",
            ssdlite=detector("ssdlite320_mobilenet_v3_large", 1, 3, 320, 320),
            ssd300=detector("ssd300_vgg16", 1, 3, 300, 300),
            retinanet=detector("retinanet_resnet50_fpn_v2", 1, 3, 800, 800),
        ),
        *_rows(
            _TEXT,
            "detection",
            yolos_tiny=transformers(
                "YolosForObjectDetection",
                {"pixel_values": (1, 3, 800, 1333)},
                ["logits", "pred_boxes"],
                image_size=[800, 1333],
                use_mid_position_embeddings=False,
                hidden_size=192,
                num_hidden_layers=12,
                num_attention_heads=3,
                intermediate_size=768,
                num_labels=91,
            ),
            detr=transformers(
                "DetrForObjectDetection",
                {"pixel_values": (1, 3, 800, 1066)},
                ["logits", "pred_boxes"],
                backbone_config={"model_type": "resnet", "out_features": ["stage4"]},
                num_labels=91,
            ),
        ),
        *_rows(
            _TEXT,
            "text encoder",
            bert_base=transformers("BertModel", _TOKENS, _HIDDEN),
            bert_large=transformers(
                "BertModel",
                _TOKENS,
                _HIDDEN,
                hidden_size=1024,
                num_hidden_layers=24,
                num_attention_heads=16,
                intermediate_size=4096,
            ),
            distilbert=transformers("DistilBertModel", _TOKENS, _HIDDEN),
            albert_base=transformers(
                "AlbertModel", _TOKENS, _HIDDEN, hidden_size=768, num_attention_heads=12, intermediate_size=3072
            ),
        ),
        *_rows(
            _TEXT,
            "text decoder",
            gpt2=transformers("GPT2LMHeadModel", _TOKENS, ["logits"]),
            llama_135m=transformers(
                "LlamaForCausalLM",
                _TOKENS,
                ["logits"],
                vocab_size=49152,
                hidden_size=576,
                intermediate_size=1536,
                num_hidden_layers=30,
                num_attention_heads=9,
                num_key_value_heads=3,
                tie_word_embeddings=True,
            ),
        ),
        *_rows(
            _TEXT,
            "encoder-decoder",
            t5_small=transformers(
                "T5ForConditionalGeneration", {"input_ids": (1, 128), "decoder_input_ids": (1, 32)}, ["logits"]
            ),
        ),
        *_rows(
            _TEXT,
            "speech",
            whisper_tiny=transformers(
                "WhisperForConditionalGeneration",
                {"input_features": (1, 80, 3000), "decoder_input_ids": (1, 32)},
                ["logits"],
                d_model=384,
                encoder_layers=4,
                decoder_layers=4,
                encoder_attention_heads=6,
                decoder_attention_heads=6,
                encoder_ffn_dim=1536,
                decoder_ffn_dim=1536,
            ),
        ),
        *_rows(
            _TEXT,
            "image and text",
            clip_vit_b32=transformers(
                "CLIPModel",
                {"input_ids": (1, 77), "pixel_values": (1, 3, 224, 224)},
                ["text_embeds", "image_embeds"],
            ),
        ),
    )
}


def build(name: str) -> Network:
    """Build the network of that name."""
    row = NETWORKS[name]
    return row.build(name).model_copy(update={"family": row.family})


def checksum(path: Path) -> str:
    """Return the start of the SHA-256 of a file's text, which does not depend on how it was packed."""
    return hashlib.sha256(read_text(path).encode()).hexdigest()[:16]


def table() -> str:
    """Return the table of the networks in this folder, in Markdown."""
    lines = [
        "| name | family | layers | `@layer` | `@block` | GFLOP | parameters | input | source | checksum |",
        "|---|---|--:|--:|--:|--:|--:|---|---|---|",
    ]
    for name in NETWORKS:
        path = FOLDER / f"{name}.json.gz"
        network = read_network(path)
        source, _, inputs, _ = network.provenance.split("; ")
        flops = sum(layer.flops or 0.0 for layer in network.layers)
        sizes = [len(coarsen(network, granularity).layers) for granularity in GRANULARITIES]
        cells = [
            f"`{name}`",
            network.family,
            *map(str, sizes),
            f"{flops / 1e9:.3g}" if flops < 1e11 else f"{flops / 1e9:.0f}",
            f"{network.parameters or 0.0:,.0f}",
            inputs.removeprefix("input "),
            source,
            f"`{checksum(path)}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def readme() -> str:
    """Return the text of the README in this folder with its table brought up to date."""
    before, _, rest = read_text(FOLDER / "README.md").partition("| name |")
    lines = rest.split("\n")
    after = next(position for position, line in enumerate(lines) if position and not line.startswith("|"))
    return before + table() + "\n" + "\n".join(lines[after:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=NETWORKS, metavar="NAME", help="build this network only")
    parser.add_argument("--check", action="store_true", help="compare with the files that are here; write none")
    parser.add_argument("--readme", action="store_true", help="build nothing; write the table in README.md again")
    arguments = parser.parse_args()
    if arguments.readme:
        write_text(FOLDER / "README.md", readme())
        return
    for package, pin in PINS.items():
        if find_spec(package) is not None and _release(package) != pin:
            print(f"note: {package} is {_release(package)} here; the files were made with {pin}", file=sys.stderr)
    different = []
    for name in arguments.only or NETWORKS:
        print(f"{name} ...", end=" ", flush=True)
        network = build(name)
        if arguments.check:
            with tempfile.TemporaryDirectory() as folder:
                built = Path(folder) / f"{name}.json.gz"
                write_network(network, built)
                same = checksum(built) == checksum(FOLDER / built.name)
            print("the same" if same else "DIFFERENT")
            different += [] if same else [name]
        else:
            write_network(network, FOLDER / f"{name}.json.gz")
            print(network.summary().partition(": ")[2])
    if different:
        sys.exit(f"different from the files here: {', '.join(different)}")


if __name__ == "__main__":
    main()
