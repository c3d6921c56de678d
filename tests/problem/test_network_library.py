"""The networks of the library: what their files claim, published counts, and that README and script tell the same."""

import math
import re
import runpy
import sys
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise

import pytest
from commands import dnnopt

from dnnopt.problem import library
from dnnopt.problem.networks import read_network, write_network
from dnnopt.problem.problem import Problem
from dnnopt.problem.transforms.coarsening import coarsen

FOLDER = library.folder("networks")
NAMES = library.names("networks")
sys.path.insert(0, str(FOLDER))  # as where it is run
SCRIPT = runpy.run_path(str(FOLDER / "export.py"), run_name="export")
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(params=NAMES)
def network(request):
    return library.network(request.param)


def all_weights(network):
    return sum(layer.weights for layer in network.layers) + sum(shared.bytes for shared in network.shared_weights)


def multiply_accumulates(network):
    """Those of convolutions and matrix products, which is what the published figures count."""
    products = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum")
    return sum(layer.flops for layer in network.layers if layer.op in products) / 2


# Files


def test_library_has_what_it_should():
    assert len(NAMES) >= 50
    assert set(NAMES) == set(SCRIPT["NETWORKS"])
    packages = [library.network(name).provenance.split()[0] for name in NAMES]
    assert set(packages) == {"onnx", "torch", "torchvision", "transformers"}
    assert len({library.network(name).family for name in NAMES}) >= 12


def test_files_are_small_packed_and_have_no_time_stamp():
    data = [(FOLDER / f"{name}.json.gz").read_bytes() for name in NAMES]
    assert sum(map(len, data)) < 3e6
    assert all(packed[4:8] == bytes(4) for packed in data)


def test_readme_has_the_table_that_the_files_give():
    assert SCRIPT["readme"]() == README
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{16})` \|$", README, re.MULTILINE)
    assert [name for name, _ in rows] == list(SCRIPT["NETWORKS"])
    assert all(SCRIPT["checksum"](FOLDER / f"{name}.json.gz") == digest for name, digest in rows)


@pytest.mark.parametrize("name", NAMES)
def test_file_reads_under_its_own_name_and_survives_writing(name, tmp_path):
    network = read_network(FOLDER / f"{name}.json.gz")
    assert network.name == name
    assert network.family == SCRIPT["NETWORKS"][name].family
    write_network(network, tmp_path / "again.json.gz")
    assert read_network(tmp_path / "again.json.gz") == network
    assert SCRIPT["checksum"](tmp_path / "again.json.gz") == SCRIPT["checksum"](FOLDER / f"{name}.json.gz")


def test_network_names_its_source(network):
    source, graph, inputs, command = network.provenance.split("; ")
    assert re.fullmatch(r"(onnx|torch|torchvision|transformers) \d+\.\d+\.\d+: \S.*", source)
    assert re.fullmatch(r"ONNX IR \d+, operator set \d+.*, by .+", graph)
    assert re.fullmatch(r"input (\S+ 1x[0-9x]+ (float|int64)(, )?)+", inputs)
    assert command == f"built by instances/networks/export.py --only {network.name}"
    package, version = source.split(":")[0].split()
    assert SCRIPT["PINS"][package] == version


def test_network_is_complete_and_readable(network):
    assert network.order == tuple(range(len(network.layers)))
    assert len(network.layers) <= 2000
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,79}", layer.name) for layer in network.layers)
    for layer in network.layers:
        assert None not in (layer.flops, layer.bytes, layer.weights, layer.activations)
    made = {tensor.producer for tensor in network.tensors}
    assert made == {layer.name for layer in network.layers} | {"input"}
    assert any("output" in tensor.consumers for tensor in network.tensors)
    assert all(tensor.bytes > 0 for tensor in network.tensors)


def test_network_tells_its_geometry(network):
    assert all(tensor.bytes / math.prod(tensor.shape) in (1, 4, 8) for tensor in network.tensors)
    reads, makes = ({layer.name: {} for layer in network.layers} for _ in range(2))
    for tensor in network.tensors:
        makes.get(tensor.producer, {})[tensor.name] = tensor.shape
        for consumer in tensor.consumers:
            reads.get(consumer, {})[tensor.name] = tensor.shape
    for layer in network.layers:
        read, after = reads[layer.name], next(iter(makes[layer.name].values()))
        assert set(layer.inputs) - {""} == (set(read) if len(read) > 1 or layer.inputs else set())
        first = (layer.inputs or list(read))[0]
        before = after if layer.op == "Concat" else read.get(first)
        assert all(axis < len(after) for axis in layer.weight_axes)
        assert all(axis < len(before) for axis in (layer.axes if before else ()))
        assert bool(layer.axes) >= (layer.op in ("Softmax", "LayerNormalization", "ReduceMean", "Concat", "Transpose"))
        assert bool(layer.weight_axes) >= (layer.op in ("Conv", "Gemm", "BatchNormalization"))
        window = layer.window
        assert (window is not None) == (layer.op in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"))
        if window is not None and layer.op != "ConvTranspose":
            rank = len(window.kernel)
            ends = zip(window.pads[:rank], window.pads[rank:], strict=True)
            steps = zip(before[2:], ends, window.kernel, window.stride, window.dilation, strict=True)
            made = [(n + begin + end - d * (k - 1) - 1) // s + 1 for n, (begin, end), k, s, d in steps]
            assert made == list(after[2:])
        if (
            layer.op == "Conv" and layer.weights
        ):  # the kernel meets the channels of a group, and each has a bias at most
            kernels = 4 * after[1] * math.prod(window.kernel) * before[1] // window.groups
            assert layer.weights in (kernels, kernels + 4 * after[1])


def test_network_gets_coarser_without_losing_anything(network):
    layers, blocks = coarsen(network, "layer"), coarsen(network, "block")
    assert len(blocks.layers) <= len(layers.layers) < len(network.layers)
    assert len({all_weights(net) for net in (network, layers, blocks)}) == 1
    for field in ("flops", "bytes"):
        totals = [sum(getattr(layer, field) for layer in net.layers) for net in (network, layers, blocks)]
        assert len(set(totals)) == 1


def test_problem_names_a_network_of_any_granularity():
    fields = {"platform": "pi4-lte-t4", "execution": "sequential", "minimize": [{"metric": "latency"}]}
    given = Problem.from_data({"networks": ["resnet18@block"], **fields})
    assert given.networks == (library.network("resnet18@block"),)
    based = {"base": "resnet18@block", "name": "r", "source": "pi"}
    (network,) = Problem.from_data({"networks": [based], **fields}).networks
    assert (network.name, network.source, len(network.layers)) == ("r", "pi", 12)


def printed(*words):
    run = dnnopt(*words)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_command_line_lists_them_with_what_there_is_to_know():
    header, *rows = printed("list", "networks").splitlines()
    assert header.split() == ["name", "layers", "GFLOP", "parameters", "family", "source"]
    assert [row.split()[0] for row in rows] == NAMES
    (row,) = (row for row in rows if row.startswith("resnet18 "))
    cells = ["resnet18", "49", "3.63", "11.69 M", "residual CNN", "torchvision 0.29.1: models.resnet18()"]
    assert re.split(r"\s{2,}", row) == cells


def test_command_line_takes_a_coarser_network_by_name():
    found = printed("solve", "resnet18@block", "--platform", "pi4-lte-t4", "--time-limit", "60")
    assert "resnet18@block on pi4-lte-t4: proved optimal" in found


# Published counts

# torchvision 0.29, documentation of each model's weights: "GFLOPS", which counts multiply-accumulates (three digits are
# in `_ops` of its source), and "num_params". The latter has the auxiliary classifiers of inception_v3, which its file
# lacks; both figures have the auxiliary head of fcn_resnet50, so that is not here.
TORCHVISION = {
    "vgg16": (15.470, 138_357_544),
    "resnet18": (1.814, 11_689_512),
    "resnet34": (3.664, 21_797_672),
    "resnet50": (4.089, 25_557_032),
    "resnet101": (7.801, 44_549_160),
    "resnet152": (11.514, 60_192_808),
    "resnext50": (4.230, 25_028_904),
    "regnet-x-3-2gf": (3.177, 15_296_552),
    "regnet-y-800mf": (0.834, 6_432_512),
    "convnext-t": (4.456, 28_589_128),
    "convnext-b": (15.355, 88_591_464),
    "densenet201": (4.291, 20_013_928),
    "mobilenet-v2": (0.301, 3_504_872),
    "mobilenet-v3-small": (0.057, 2_542_856),
    "mobilenet-v3-large": (0.217, 5_483_032),
    "shufflenet-v2": (0.145, 2_278_604),
    "mnasnet": (0.314, 4_383_312),
    "efficientnet-b0": (0.386, 5_288_548),
    "efficientnet-b4": (4.394, 19_341_616),
    "efficientnet-v2-s": (8.366, 21_458_488),
    "googlenet": (1.498, 6_624_904),
    "inception-v3": (5.713, None),
    "r3d-18": (40.697, 33_371_472),
    "vit-b": (17.564, 86_567_656),
    "vit-l": (61.555, 304_326_632),
    "swin-t": (4.491, 28_288_354),
    "swin-b": (15.431, 87_768_224),
    "maxvit-t": (5.558, 30_919_624),
    "deeplabv3": (10.452, 11_029_328),
    "ssdlite": (0.583, 3_440_060),
    "ssd300": (34.858, 35_641_826),
    "retinanet": (152.238, 38_198_935),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_counts_are_those_that_torchvision_publishes(name):
    network = library.network(name)
    giga, parameters = TORCHVISION[name]
    assert multiply_accumulates(network) == pytest.approx(giga * 1e9, rel=0.03)
    if parameters is not None:
        assert network.parameters == pytest.approx(parameters, rel=0.03)
        assert all_weights(network) == pytest.approx(4 * parameters, rel=0.03)


# The papers: SegFormer (arXiv 2105.15203), DETR (2005.12872), YOLOS (2106.00666), BERT (1810.04805), DistilBERT
# (1910.01108), ALBERT (1909.11942), T5 (1910.10683). GPT-2: its repository's README, as the paper's 117 M was an error.
# SmolLM: its name.
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("segformer-b0", 3.8),
        ("detr", 41),
        ("yolos-tiny", 6.5),
        ("bert-base", 110),
        ("bert-large", 340),
        ("distilbert", 66),
        ("albert-base", 12),
        ("gpt2", 124),
        ("llama-135m", 135),
        ("t5-small", 60),
    ],
)
def test_parameters_are_those_that_the_papers_publish(name, millions):
    network = library.network(name)
    assert network.parameters == pytest.approx(millions * 1e6, rel=0.03)


def test_segformer_computes_what_its_paper_publishes():
    # MiT-B0 on images of 512 x 512.
    assert multiply_accumulates(library.network("segformer-b0")) == pytest.approx(8.4e9, rel=0.03)


@pytest.mark.parametrize(
    ("name", "layers", "width", "inner", "tokens"),
    [("bert-base", 12, 768, 3072, 128), ("bert-large", 24, 1024, 4096, 128), ("distilbert", 6, 768, 3072, 128)],
)
def test_text_encoders_compute_what_their_sizes_give(name, layers, width, inner, tokens):
    # By hand, per layer: query, key, value and output; scores and weighted values; the two feed-forward products.
    one = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * inner
    assert multiply_accumulates(library.network(name)) == layers * one


def test_gpt2_computes_what_its_sizes_give():
    one = 4 * 128 * 768**2 + 2 * 128**2 * 768 + 2 * 128 * 768 * 3072
    assert multiply_accumulates(library.network("gpt2")) == 12 * one + 128 * 768 * 50257


def test_unet_matches_its_layer_table():
    # By hand: two 3 x 3 convolutions a level, going down and up, 2 x 2 ones that grow the maps, and a 1 x 1 head.
    widths = [64, 128, 256, 512, 1024]
    pairs = list(pairwise(widths))
    down = [9 * 3 * 64 + 9 * 64**2] + [9 * a * b + 9 * b**2 for a, b in pairs]
    up = [4 * a * b + 9 * 2 * a * a + 9 * a**2 for a, b in pairs]
    normalised = 2 * (2 * sum(widths) + 2 * sum(widths[:-1]))
    biases = sum(widths[:-1]) + 2
    network = library.network("unet")
    assert network.parameters == sum(down) + sum(up) + 64 * 2 + normalised + biases
    pixels = [256**2 // 4**level for level in range(5)]
    products = sum(p * w for p, w in zip(pixels, down, strict=True))
    products += sum(p * (9 * 2 * a * a + 9 * a**2) + p * a * b for p, (a, b) in zip(pixels[:-1], pairs, strict=True))
    assert multiply_accumulates(network) == products + pixels[0] * 64 * 2


def test_branchynet_has_three_exits():
    exits = [tensor.producer for tensor in library.network("branchynet").tensors if "output" in tensor.consumers]
    assert exits == ["exit1.2", "exit2.2", "classifier.5"]


# Building them again


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({entry.family for entry in SCRIPT["NETWORKS"].values()}))
def test_building_the_smallest_network_of_a_family_again_gives_the_same_text(family, tmp_path):
    members = [name for name in sorted(NAMES) if SCRIPT["NETWORKS"][name].family == family]
    name = min(members, key=lambda name: library.network(name).parameters)
    for package in SCRIPT["NETWORKS"][name].needs:
        pin = SCRIPT["PINS"][package]
        if find_spec(package) is None or version(package).partition("+")[0] != pin:
            pytest.skip(f"{package} {pin} is not installed (the head of instances/networks/export.py says how)")
    write_network(SCRIPT["build"](name), tmp_path / "again.json.gz")
    assert SCRIPT["checksum"](tmp_path / "again.json.gz") == SCRIPT["checksum"](FOLDER / f"{name}.json.gz")
