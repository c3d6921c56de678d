"""What the tests of ONNX files share."""

import pytest
from onnx import ModelProto
from onnx_models import model

from dnnopt.inputs.onnx.reader import read_onnx


@pytest.fixture
def read_model(tmp_path):
    """Write a model (or what makes one) as the file net.onnx and read it."""

    def write_and_read(*args, options=None, **kwargs):
        made = args[0] if isinstance(args[0], ModelProto) else model(*args, **kwargs)
        path = tmp_path / "net.onnx"
        path.write_bytes(made.SerializeToString())
        return read_onnx(path, **(options or {}))

    return write_and_read


@pytest.fixture
def read(read_model):
    return read_model
