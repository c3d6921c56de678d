"""Files packed by gzip: read and written like others, and refused with one clear message where they are damaged."""

import gzip

import pytest

from dnnopt.base.errors import InputError
from dnnopt.base.files import dump_json
from dnnopt.problem.library import network, platform
from dnnopt.problem.networks import read_network, write_network
from dnnopt.problem.platforms import read_platform, write_platform

NETWORK = network("squeezenet")


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "net.json.gz"
    write_network(NETWORK, path)
    return path


def test_packed_network_survives_and_is_the_same_text(packed, tmp_path):
    assert read_network(packed) == NETWORK
    write_network(NETWORK, tmp_path / "net.json")
    assert gzip.decompress(packed.read_bytes()) == (tmp_path / "net.json").read_bytes()


def test_packed_file_has_no_time_stamp(packed, tmp_path):
    assert packed.read_bytes()[4:8] == bytes(4)
    write_network(NETWORK, tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == packed.read_bytes()


def test_other_kinds_may_be_packed_too(tmp_path):
    write_platform(platform("pi4-lte-t4"), tmp_path / "p.json.gz")
    assert read_platform(str(tmp_path / "p.json.gz")) == platform("pi4-lte-t4")


@pytest.mark.parametrize("kept", [5, 100, -9, -1])
def test_packed_file_that_is_cut_off_is_refused(packed, kept):
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"^\S*net.json.gz: not a gzip file, or a damaged one: .* is the file cut off"):
        read_network(packed)


@pytest.mark.parametrize("place", [0, 40, 600, -6])
def test_packed_file_that_is_damaged_is_refused(packed, place):
    data = bytearray(packed.read_bytes())
    data[place] ^= 0x55
    packed.write_bytes(data)
    with pytest.raises(InputError, match=r"^\S*net.json.gz: not a gzip file, or a damaged one: "):
        read_network(packed)


def test_text_that_is_only_named_like_a_packed_file_is_refused(packed):
    packed.write_text(dump_json({"format": "dnnopt-network", "version": 1}), encoding="utf-8")
    with pytest.raises(InputError, match=r"net.json.gz: not a gzip file, or a damaged one: Not a gzipped file"):
        read_network(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "net.json.gz: not JSON"),
        (b"\xff\xfe", "net.json.gz: not a text file in UTF-8"),
        (b'{"format": "dnnopt-platform", "version": 1}', "net.json.gz: format: got 'dnnopt-platform'"),
        (b'{"format": "dnnopt-network", "version": 2}', r"net.json.gz: version: got 2, .* written by a newer dnnopt"),
        (b'{"format": "dnnopt-network", "version": 1, "name": "n"}', "net.json.gz: layers: missing"),
    ],
)
def test_packed_file_whose_content_is_wrong_is_refused_like_any_other(packed, content, message):
    packed.write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=message):
        read_network(packed)


def test_missing_packed_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none.json.gz: No such file"):
        read_network(tmp_path / "none.json.gz")
