"""The networks of the onnx wheel, as read from it, against published figures, layer tables and the library's files."""

import re
from pathlib import Path

import onnx
import pytest

from dnnopt.inputs.onnx.reader import read_onnx
from dnnopt.problem import library

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
WHEEL_NETWORKS = {
    "alexnet": "light_bvlc_alexnet.onnx",
    "densenet121": "light_densenet121.onnx",
    "inception_v1": "light_inception_v1.onnx",
    "inception_v2": "light_inception_v2.onnx",
    "resnet50": "light_resnet50.onnx",
    "shufflenet": "light_shufflenet.onnx",
    "squeezenet": "light_squeezenet.onnx",
    "vgg19": "light_vgg19.onnx",
    "zfnet512": "light_zfnet512.onnx",
}


def wheel_model(name):
    return onnx.load(LIGHT / WHEEL_NETWORKS[name])


def wheel_network(name, **ends):
    return read_onnx(LIGHT / WHEEL_NETWORKS[name], name=name, **ends)


def read_changed(model, folder):
    (folder / "changed.onnx").write_bytes(model.SerializeToString())
    return read_onnx(folder / "changed.onnx")


def multiply_accumulates(network):
    """Those of convolutions and matrix products, which is what the published figures count."""
    return sum(layer.flops for layer in network.layers if layer.op in ("Conv", "Gemm")) / 2


def parameters(network):
    return sum(layer.weights for layer in network.layers) / 4


# torchvision, documentation of the weights IMAGENET1K_V1 of resnet50, densenet121, vgg19 and squeezenet1_1: "GFLOPS",
# which counts multiply-accumulates (three digits are in `_ops` of its source), and "num_params", which leaves out the
# statistics of the batch normalisations; the ONNX files hold those as weights. inception_v2 is Caffe's BN-Inception,
# "googlenet-v2" in the documentation of the Open Model Zoo: GFLOPs (two per multiply-accumulate) and MParams.
@pytest.mark.parametrize(
    ("name", "published_macs", "published_parameters"),
    [
        ("resnet50", 4.089e9, 25_557_032),
        ("densenet121", 2.834e9, 7_978_856),
        ("vgg19", 19.632e9, 143_667_240),
        ("squeezenet", 0.349e9, 1_235_496),
        ("inception_v2", 4.058e9 / 2, 11.185e6),
    ],
)
def test_wheel_network_matches_published_counts(name, published_macs, published_parameters):
    network = wheel_network(name)
    assert multiply_accumulates(network) == pytest.approx(published_macs, rel=0.03)
    assert parameters(network) == pytest.approx(published_parameters, rel=0.03)


# Open Model Zoo, docs of alexnet and googlenet-v1 (the Caffe originals): MParams. ONNX model zoo, README of ZFNet-512:
# "Model size: 349 MB", of 4-byte parameters.
@pytest.mark.parametrize(
    ("name", "published_parameters"), [("alexnet", 60.965e6), ("inception_v1", 6.999e6), ("zfnet512", 349e6 / 4)]
)
def test_wheel_network_matches_published_parameters(name, published_parameters):
    assert parameters(wheel_network(name)) == pytest.approx(published_parameters, rel=0.001)


def test_alexnet_matches_the_published_count_at_its_published_image_size(tmp_path):
    # K. Abdelouahab, CNN-Workload (table in the README), from the Caffe model, for images of 227 x 227: 666 M
    # multiply-accumulates in convolutions and 58.6 M in fully connected layers, 724 M in all.
    alexnet = wheel_model("alexnet")
    for axis in (2, 3):
        alexnet.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 227
    assert multiply_accumulates(read_changed(alexnet, tmp_path)) == pytest.approx(724e6, rel=0.01)


def test_alexnet_matches_its_layer_table_at_the_image_size_of_the_file():
    # By hand: on 224 x 224 the maps are 54, 26 and 12 wide; convolutions 2, 4 and 5 have two groups.
    convolutions = 54**2 * 96 * 363 + 26**2 * 256 * 1200 + 12**2 * (384 * 2304 + 384 * 1728 + 256 * 1728)
    assert multiply_accumulates(wheel_network("alexnet")) == convolutions + 9216 * 4096 + 4096 * 4096 + 4096 * 1000


def test_inception_v1_matches_the_published_count_with_the_pooling_of_the_original(tmp_path):
    # CNN-Workload (see alexnet), from the Caffe model, whose pooling rounds up: 1.58 G multiply-accumulates, on maps
    # 56, 28, 14 and 7 wide. The conversion to ONNX lost the rounding (55, 27, 13 and 6), so put its padding back.
    googlenet = wheel_model("inception_v1")
    for pool in googlenet.graph.node:
        attributes = {attribute.name: attribute for attribute in pool.attribute}
        if pool.op_type == "MaxPool" and list(attributes["strides"].ints) == [2, 2]:
            attributes["pads"].ints[:] = [0, 0, 1, 1]
        if pool.op_type == "AveragePool":
            attributes["pads"].ints[:] = [0, 0, 0, 0]
    assert multiply_accumulates(read_changed(googlenet, tmp_path)) == pytest.approx(1.58e9, rel=0.01)
    assert multiply_accumulates(wheel_network("inception_v1")) < 1.44e9


def test_zfnet512_matches_its_layer_table():
    # By hand, after Zeiler and Fergus 2014 (figure 3) with the widths and maps of this variant, which has no published
    # operation count: convolutions of 7 x 7, 5 x 5 and three of 3 x 3, then three matrix products.
    network = wheel_network("zfnet512")
    filters = [96 * 3 * 49, 256 * 96 * 25, 512 * 256 * 9, 512 * 512 * 9, 512 * 512 * 9]
    matrices = [512 * 36 * 4096, 4096 * 1024, 1024 * 1000]
    positions = [109**2, 25**2, 12**2, 12**2, 12**2, 1, 1, 1]
    expected = sum(a * b for a, b in zip(filters + matrices, positions, strict=True))
    assert multiply_accumulates(network) == expected
    assert parameters(network) == sum(filters + matrices) + 96 + 256 + 3 * 512 + 4096 + 1024 + 1000


def test_shufflenet_matches_its_layer_table():
    # By hand, after Zhang et al. 2018 (table 1, g = 4), with the widths of this variant, half those of ShuffleNet 1x
    # and without bottlenecks, for which there is no published count. A unit is two grouped 1 x 1 convolutions around a
    # depthwise 3 x 3; the first unit of a stage has stride 2 and makes the channels that its shortcut does not bring.
    convolutions = [(112, 24, 3 * 9)]  # width of the map, channels, products per output
    for width, channels, units, before in ((28, 136, 4, 24), (14, 272, 8, 136), (7, 544, 4, 272)):
        inner = channels - before
        convolutions += [(2 * width, inner, before // 4), (width, inner, 9), (width, inner, inner // 4)]
        unit = [(width, channels, channels // 4), (width, channels, 9), (width, channels, channels // 4)]
        convolutions += (units - 1) * unit
    network = wheel_network("shufflenet")
    assert multiply_accumulates(network) == sum(w * w * c * k for w, c, k in convolutions) + 544 * 1000
    normalised = sum(c for _, c, _ in convolutions)
    assert parameters(network) == sum(c * k for _, c, k in convolutions) + 24 + 4 * normalised + 545 * 1000


@pytest.mark.parametrize("name", WHEEL_NETWORKS)
def test_wheel_network_is_one_connected_graph_with_readable_names(name):
    network = wheel_network(name, source="pi", sink="pi")
    assert (network.name, network.source, network.sink) == (name, "pi", "pi")
    raw, *_ = network.tensors
    assert (raw.producer, raw.consumers, raw.bytes) == ("input", ("conv1",), 3 * 224 * 224 * 4)
    results = [tensor for tensor in network.tensors if "output" in tensor.consumers]
    assert [(tensor.producer, tensor.bytes) for tensor in results] == [(network.layers[-1].name, 4000)]
    assert all(re.fullmatch(r"[a-z]+[0-9]+", layer.name) for layer in network.layers)
    assert {layer.op for layer in network.layers}.isdisjoint({"ConstantOfShape", "Dropout"})
    assert network.order == tuple(range(len(network.layers)))


def test_network_says_where_it_is_from():
    assert wheel_network("squeezenet").provenance == (
        "light_squeezenet.onnx: ONNX IR 3, operator set 9, by onnx-caffe2; input data_0 1x3x224x224 float"
    )


@pytest.mark.parametrize("name", WHEEL_NETWORKS)
def test_library_has_the_wheel_network_as_it_is_read(name):
    shipped, read = library.network(name), wheel_network(name)
    assert (shipped.layers, shipped.tensors) == (read.layers, read.tensors)
