"""Files that are written: whole or not at all, with the mode and behind the links that were there, and into pipes."""

import os
import subprocess
import sys
import threading

import pytest

from dnnopt.base.errors import InputError
from dnnopt.base.files import write_text
from dnnopt.base.outputs import check_output, write_output

as_root = os.geteuid() == 0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


def test_a_new_file_has_what_the_mask_leaves_and_an_old_one_keeps_its_mode(path):
    mask = os.umask(0o027)
    try:
        write_output(path, b"one")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640
    for mode in (0o600, 0o664, 0o755):
        path.chmod(mode)
        write_output(path, b"two")
        assert path.read_bytes() == b"two"
        assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(not as_root, reason="only root gives files away")
def test_an_old_file_keeps_its_owner(path):
    write_output(path, b"one")
    os.chown(path, 12345, 23456)
    write_output(path, b"two")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_links_stay_and_what_they_lead_to_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link, chain = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "chain"
    link.symlink_to("folder/target")
    chain.symlink_to(link)
    for data in (b"new", b"old file replaced"):
        write_output(chain, data)
        assert chain.is_symlink()
        assert link.is_symlink()
        assert not target.is_symlink()
        assert target.read_bytes() == data
    assert sorted(os.listdir(tmp_path / "folder")) == ["target"]


def test_a_pipe_is_written_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    check_output(pipe)
    write_output(pipe, b"data" * 100_000)
    reader.join()
    assert got == [b"data" * 100_000]
    assert pipe.is_fifo()


def test_devices_are_written_and_stay(tmp_path):
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    check_output(link)
    write_output(link, b"gone")
    write_output(os.devnull, b"gone")
    assert not os.path.isfile(os.devnull)


PRINTS = """
import sys
from dnnopt.base.outputs import check_output, write_output
print("before")
check_output(sys.argv[1])
write_output(sys.argv[1], b"data\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_an_open_file_gets_its_data_in_order_whatever_it_is(tmp_path, name):
    if name == "link":
        name = str(tmp_path / "link")
        os.symlink("/dev/stdout", name)
    if not os.path.exists(os.path.dirname(name)):
        pytest.skip(f"no {name} here")
    program = [sys.executable, "-c", PRINTS, name]
    assert subprocess.run(program, capture_output=True, check=True).stdout == b"before\ndata\nafter\n"
    kept = tmp_path / "out"
    with kept.open("wb") as stream:
        stream.write(b"first\n")
        stream.flush()
        subprocess.run(program, stdout=stream, check=True)
        stream.seek(0, os.SEEK_END)
        stream.write(b"last\n")
    assert kept.read_bytes() == b"first\nbefore\ndata\nafter\nlast\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_gives_one_clear_message():
    with pytest.raises(InputError, match=r"^/dev/full: cannot be written: No space left on device$"):
        write_output("/dev/full", b"data")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Is a directory"),
        ("none/file", "(No such file|there is no folder)"),
        ("loop", "Too many levels of symbolic links"),
        ("a\0b", "null (byte|character)"),
    ],
)
@pytest.mark.parametrize("write", [lambda path: write_output(path, b"data"), check_output])
def test_places_that_cannot_be_written_are_refused_naming_them(tmp_path, name, words, write):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=rf"cannot be written: .*{words}"):
        write(tmp_path / name)
    assert os.listdir(tmp_path) == ["loop"]


@pytest.mark.skipif(as_root, reason="root may write everywhere")
@pytest.mark.parametrize("write", [lambda path: write_output(path, b"data"), check_output])
def test_protected_files_and_folders_are_left_alone(path, write):
    path.write_bytes(b"old")
    for place, mode in ((path, 0o444), (path.parent, 0o555)):
        place.chmod(mode)
        with pytest.raises(InputError, match="cannot be written: Permission denied"):
            write(path)
        place.chmod(0o755)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["replace", "chmod"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(path, failure, step, monkeypatch):
    path.write_bytes(b"old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((InputError, KeyboardInterrupt)):
        write_output(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_name_as_long_as_may_be_is_written_and_packed_by_its_ending(tmp_path):
    path = tmp_path / ("n" * 252 + ".gz")
    write_text(path, "text")
    assert path.read_bytes()[:2] == b"\x1f\x8b"
