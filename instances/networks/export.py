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
import hashlib
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from architectures import Row, branchynet, detector, own, release, torchvision, transformers, unet, wheel

from dnnopt.base.files import read_text, write_text
from dnnopt.problem.networks import Network, read_network, write_network
from dnnopt.problem.transforms.coarsening import GRANULARITIES, coarsen

FOLDER = Path(__file__).parent
PINS = {"torch": "2.14.1", "torchvision": "0.29.1", "transformers": "5.23.0", "onnxscript": "0.7.2", "onnx": "1.23.2"}


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
        if find_spec(package) is not None and release(package) != pin:
            print(f"note: {package} is {release(package)} here; the files were made with {pin}", file=sys.stderr)
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
