"""Pieces in processes: they answer what the whole does, and what goes wrong is named within seconds."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from commands import check_refused, dnnopt
from devices import devices, split
from onnx_models import model, node
from piece_models import MODELS, PLANS, network_of, single_cut

import dnnopt as dp
from dnnopt.problem.manifest import read_manifest
from dnnopt.runtime.driving import RunError
from dnnopt.runtime.keys import new_key, read_key, write_key
from dnnopt.runtime.running import checked_inputs
from dnnopt.runtime.sessions import ModelSession, run_in_turn
from dnnopt.runtime.sockets import Wires, is_loopback, parse_address
from dnnopt.runtime.trace import Trace
from dnnopt.runtime.verification import differences, random_inputs
from dnnopt.runtime.wire import MOST_HEADER, pack, unpack

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("zmq", reason="pyzmq is not installed")
psutil = pytest.importorskip("psutil", reason="psutil is not installed")


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", MODELS)
def test_devices_answer_over_tcp_what_the_whole_does(name, plan, tmp_path):
    folder = split(name, plan, tmp_path)
    whole = ModelSession(tmp_path / f"{name}.onnx", "none")
    with devices(folder, level="none") as run, run.driver() as driver:
        given = [random_inputs(run.manifest, seed) for seed in range(3)]
        found = {done.number: done.outputs for done in driver.stream(given.__getitem__, 3, 2)}
        driver.finish()
    assert sorted(found) == [0, 1, 2]
    assert max(differences(found[k], whole.run(given[k]))[0] for k in range(3)) < 1e-5
    assert run.log == []


@pytest.mark.parametrize(("source", "sink"), [("a", "a"), ("b", "a"), ("c", "c"), ("a", None), (None, "b")])
def test_inputs_start_at_the_source_and_answers_arrive_at_the_sink(source, sink, tmp_path):
    problem = two_devices(network="inputs_and_outputs", source=source, sink=sink, folder=tmp_path)
    folder = split("inputs_and_outputs", "back", tmp_path, problem=problem)
    whole = ModelSession(tmp_path / "inputs_and_outputs.onnx", "none")
    with devices(folder) as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        (found,) = driver.stream(lambda number: given, 1, 1)
    assert differences(found.outputs, whole.run(given))[0] < 1e-5
    assert set(run.manifest.devices()) == {"a", "b", source, sink} - {None}


def two_devices(network="chain", source="a", sink="a", folder=None, bandwidth=1e6, latency=0.002):
    """A problem with the devices a, b and c, and links between all of them."""
    from piece_models import saved

    net = network_of(saved(network, folder)).model_copy(update={"source": source, "sink": sink})
    names = "abc"
    pairs = [(one, other) for one in names for other in names if one != other]
    platform = dp.Platform(
        devices=[dp.Device(name, flops_per_s=1e9, bytes_per_s=1e9) for name in names],
        links=[dp.Link(f"{one}{other}", bandwidth=bandwidth, latency=latency) for one, other in pairs],
        routes=[dp.Route(one, other, [f"{one}{other}"]) for one, other in pairs],
    )
    return dp.Problem(net, platform, execution="sequential", minimize=dp.latency())


@pytest.mark.parametrize("form", ["float16", "int8"])
def test_forms_on_the_way_round_as_the_verification_does(form, tmp_path):
    problem = two_devices("residual", folder=tmp_path)
    folder = split("residual", "back", tmp_path, problem=problem, forms={"*": form})
    with devices(folder, level="none") as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        (found,) = driver.stream(lambda number: given, 1, 1)
    expected = run_in_turn(run.manifest, folder, given, level="none")
    assert differences(found.outputs, expected)[0] < 1e-6
    assert differences(found.outputs, ModelSession(tmp_path / "residual.onnx", "none").run(given))[0] > 1e-6


def test_a_rate_spaces_inputs_evenly(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        done = list(driver.stream(lambda number: given, 6, 6, rate=40.0))
    moments = [one.given for one in sorted(done, key=lambda one: one.number)]
    assert moments[-1] - moments[0] >= 5 / 40 - 0.01


def resident():
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_inputs_take_no_more_memory_than_some(count, tmp_path):
    folder = split("chain", "back", tmp_path)
    with devices(folder) as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        seen, before, most = 0, 0, 0
        for _ in driver.stream(lambda number: given, count, 8):
            seen += 1
            most = max(most, *(len(server._inputs) for server in run.servers.values()))
            if seen == count // 3:
                before = resident()
        assert seen == count
        assert most <= 9
        assert resident() - before < 8e6
        driver.finish()
    assert all(not server._inputs for server in run.servers.values())
    assert all(len(times) <= 256 for server in run.servers.values() for times in server.trace.pieces.values())


def test_another_key_is_refused_and_logged(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run:
        start = time.monotonic()
        with pytest.raises(RunError, match=r"[ab] has another key than this run"):
            run.driver(key=new_key())
        assert time.monotonic() - start < 5
        time.sleep(0.2)
        with run.driver() as driver:  # it still serves who has the key
            given = random_inputs(run.manifest, 0)
            assert len(list(driver.stream(lambda number: given, 1, 1))) == 1
    assert any("refused a connection" in line for line in run.log)


def test_a_client_that_knows_the_server_but_not_the_secret_is_refused(tmp_path):
    """Its own key pair proves nothing, though it has the public key of the run."""
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run:
        stranger = new_key()
        wires = Wires(stranger, 1 << 20, print)
        wires._key = type(stranger)(run.key.public, stranger.secret)
        client = wires.zmq.Context.instance()  # a second context is not needed; the socket is made by hand
        sock = wires.context.socket(wires.zmq.DEALER)
        sock.curve_serverkey = run.key.public
        sock.curve_publickey, sock.curve_secretkey = stranger.public, stranger.secret
        sock.connect(f"tcp://{run.addresses['a']}")
        sock.send_multipart(pack("begin", run="x"))
        for _ in range(50):
            if run.log:
                break
            time.sleep(0.05)
        sock.close(0)
        wires.close()
        del client
    assert run.log == ["refused a connection: its key is not this run's"]


def test_what_is_not_encrypted_is_refused_and_disturbs_nobody(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver() as driver:
        raw = socket.create_connection(("127.0.0.1", run.servers["a"].port))
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(1000))
        given = random_inputs(run.manifest, 0)
        assert len(list(driver.stream(lambda number: given, 2, 1))) == 2
        raw.close()


def test_malformed_messages_are_refused_by_name(tmp_path):
    folder = split("chain", "cut", tmp_path)
    manifest = read_manifest(folder)
    tensor = manifest.tensor_of()["c"]
    good = np.zeros((1, 4, 4, 4), np.float32)
    assert unpack(pack("values", {"c": good}, number=0), {"c": tensor}).arrays["c"].shape == (1, 4, 4, 4)

    def refused(frames, match):
        with pytest.raises(dp.InputError, match=match):
            unpack(frames, {"c": tensor})

    def header(**fields):
        entry = {"value": "c", "dtype": "float32", "shape": [1, 4, 4, 4]} | fields
        return [json.dumps({"kind": "values", "values": [entry]}).encode(), good.tobytes()]

    refused([], "empty")
    refused([b"{"], "not JSON")
    refused([b"[" * 100_000], "not JSON")
    refused([b"[]"], "no kind")
    refused([b"{}" + bytes(2 << 20)], "too long")
    refused([b'{"kind": "values"}', b""], "as many tensors")
    refused(header(value="d"), "not expected: 'd'")
    refused(header(value=["c"]), "not expected")
    refused(header(shape=[1, 4, 4, 5]), r"c: got \[1, 4, 4, 5\], expected the shape 1x4x4x4")
    refused(header(shape=[-1, 4, 4, 4]), "expected the shape")
    refused(header(shape=[1, 4, 4]), "expected the shape")
    refused(header(shape="1444"), "expected the shape")
    refused(header(dtype="object"), "float32")
    refused(header(form="int8"), "float32")
    refused([header()[0], good.tobytes()[:-4]], "256 bytes")


def test_a_tensor_of_the_wrong_shape_ends_the_run_with_the_device_that_refused_it(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver() as driver:
        wrong = {"x": np.zeros((1, 3, 9, 9), np.float32)}
        with pytest.raises(RunError, match=r"a refused a message: x: got \[1, 3, 9, 9\], expected the shape 1x3x8x8"):
            list(driver.stream(lambda number: wrong, 1, 1))
    assert any("refused a message" in line for line in run.log)
    with pytest.raises(dp.InputError, match=r"inputs.x: got \[1, 3, 9, 9\], expected the shape"):
        checked_inputs(run.manifest, wrong)
    with pytest.raises(dp.InputError, match=r"inputs.x: missing"):
        checked_inputs(run.manifest, {})
    with pytest.raises(dp.InputError, match=r"inputs.x: got 'float64', expected numbers of type float32"):
        checked_inputs(run.manifest, {"x": np.zeros((1, 3, 8, 8))})


def test_tensors_that_are_too_large_are_refused(tmp_path):
    folder = split("dynamic", "cut", tmp_path)
    with devices(folder, largest=1 << 20) as run, run.driver() as driver:
        large = {name: np.zeros((400, 2, 500, 4), np.float32) for name in ("past_k", "past_v")}
        large["x"] = np.zeros((400, 2, 8), np.float32)
        with pytest.raises(RunError, match=r"the connection to \w is lost"):
            list(driver.stream(lambda number: large, 1, 1))


def test_the_largest_tensor_passes(tmp_path):
    nodes = [node("Relu", ["x"], ["y"], name="one"), node("Neg", ["y"], ["z"], name="two")]
    onnx.save(model(nodes, {"x": [1, 300_000]}, ["z"]), tmp_path / "large.onnx")
    plan = dp.Plan(placement={"large": {"one": "a", "two": "b"}})
    dp.split_onnx(tmp_path / "large.onnx", plan, tmp_path / "pieces", verify=False)
    with devices(tmp_path / "pieces") as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        (found,) = driver.stream(lambda number: given, 1, 1)
    assert np.array_equal(found.outputs["z"], -np.maximum(given["x"], 0))


def test_pieces_that_are_not_those_of_the_run_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    folder, other = split("chain", "cut", tmp_path), split("chain", "back", tmp_path / "other")
    with devices(folder) as run, devices(other, key=run.key) as stranger:
        run.manifest = stranger.manifest
        with pytest.raises(RunError, match="the pieces here are not those of the run"):
            run.driver()


class Relay:
    """Hands on what comes for an address, until it is cut."""

    def __init__(self, port):
        self.target, self.pairs = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass

    def cut(self):
        self.listener.close()
        for one in self.pairs:
            one.shutdown(socket.SHUT_RDWR)
            one.close()


def test_a_cut_connection_is_named_within_seconds(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run:
        relay = Relay(run.servers["b"].port)
        with run.driver(addresses=run.addresses | {"b": f"127.0.0.1:{relay.port}"}) as driver:
            given = random_inputs(run.manifest, 0)
            answers = driver.stream(lambda number: given, 1000, 1)
            next(answers)
            relay.cut()
            start = time.monotonic()
            with pytest.raises(RunError, match=r"the connection to b is lost|from a to b: the connection is lost"):
                list(answers)
            assert time.monotonic() - start < 5


def test_a_device_that_is_not_there_is_named(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(RunError, match=r"not ready within 1 s: a, b|not ready within 1 s: b"):
            run.driver(addresses=run.addresses | {"b": address}, patience=1.0)
        with pytest.raises(dp.InputError, match=r"addresses: no address for the device 'b'"):
            run.driver(addresses={"a": address})


def test_a_device_ends_when_its_driver_falls_silent(tmp_path, monkeypatch):
    monkeypatch.setattr("dnnopt.runtime.serving.SILENCE", 0.5)
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver():
        for thread in run.threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in run.threads)
        assert {server.reason for server in run.servers.values()} == {"the driver has been silent for 0.5 s"}


def test_a_second_driver_is_refused_and_the_first_goes_on(tmp_path):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver() as driver:
        given = random_inputs(run.manifest, 0)
        answers = driver.stream(lambda number: given, 4, 1)
        next(answers)
        with pytest.raises(RunError, match="a run has begun already"):
            run.driver()
        assert len(list(answers)) == 3


def test_what_a_device_reports_fits_a_message():
    trace = Trace()
    for number in range(300):
        for piece in range(200):
            trace.piece("device", f"device.{piece}", number, 1e5 + number, 1e5 + number + 0.123456789, 0.123456789)
            trace.link("link" * 20, "value" * 100, number, 1e6, 1e5 + number, 1e5 + number + 0.1)
    (frame,) = pack("report", **trace.to_data())
    assert len(frame) < MOST_HEADER


def test_a_piece_that_fails_is_named(tmp_path, monkeypatch):
    folder = split("chain", "cut", tmp_path)
    with devices(folder) as run, run.driver() as driver:

        def fails(feeds):
            raise MemoryError("too much")

        run.servers["b"]._sessions["b.0"].run = fails
        given = random_inputs(run.manifest, 0)
        with pytest.raises(RunError, match=r"b failed: b.0.onnx: MemoryError: too much"):
            list(driver.stream(lambda number: given, 2, 1))


def test_keys_are_for_their_owner_alone(tmp_path):
    key = write_key(tmp_path / "key")
    assert read_key(tmp_path / "key") == key
    assert "secret" not in repr(key)
    with pytest.raises(dp.InputError, match="File exists"):
        write_key(tmp_path / "key")
    if os.name == "posix":
        (tmp_path / "key").chmod(0o644)
        with pytest.raises(dp.InputError, match="others may read this key"):
            read_key(tmp_path / "key")
        (tmp_path / "key").chmod(0o600)
    data = json.loads((tmp_path / "key").read_text("utf-8"))
    for change in ({"public": new_key().public.decode()}, {"secret": "x"}, {"secret": 3}):
        (tmp_path / "key").write_text(json.dumps(data | change), encoding="utf-8")
        with pytest.raises(dp.InputError, match=r"key: (public|secret): expected"):
            read_key(tmp_path / "key")


def test_addresses():
    assert parse_address("10.0.0.1:80") == ("10.0.0.1", 80)
    assert parse_address("[::1]:0") == ("::1", 0)
    for text in ("10.0.0.1", "host:99999", ":80", "a b:1", "::1:80"):
        with pytest.raises(dp.InputError, match="HOST:PORT"):
            parse_address(text)
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert not is_loopback("0.0.0.0")


# Processes


def test_the_command_runs_all_devices_here_and_compares_with_what_was_predicted(tmp_path):
    problem = two_devices(folder=tmp_path, bandwidth=1e5, latency=0.01)
    folder = split("chain", single_cut, tmp_path, problem=problem)
    inputs = random_inputs(read_manifest(folder), 3)
    np.savez(tmp_path / "in.npz", **inputs)
    figure = ["--figure", "gantt.svg"] if find_spec("matplotlib") else []
    words = ["--repeat", "6", "--warmup", "1", "--stream", "20", "--inputs", "in.npz", "--outputs", "out.npz"]
    words += ["--json", "run.json", "--update-profile", "times.json", "--replan", "--layers", *figure]
    words += ["--check", "chain.onnx"]
    done = dnnopt("run", "pieces", "--local", *words, cwd=tmp_path)
    assert done.returncode == 0, done.output
    found = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert found["links"] == found["prediction"]["links"] == {"ab": 256.0, "ba": 40.0}
    on_links = sum(0.01 + size / 1e5 for size in (256, 40))
    assert found["prediction"]["latency"] == pytest.approx(on_links, rel=0.01)
    assert on_links <= found["latency"]["median"] < on_links + 0.2
    assert found["period"] > 0.9 * (0.01 + 256 / 1e5)
    assert [event[:3] for event in found["events"]] == [event[:3] for event in found["prediction"]["events"]]
    assert [row["what"] for row in found["compared"]] == [
        "latency", "period", "piece a.0", "piece b.0", "bytes over ab", "bytes over ba",
    ]  # fmt: skip
    times = dp.read_profile(tmp_path / "times.json").time["chain"]
    measured = sum(times[layer]["a"] for layer in ("conv1", "relu1", "pool"))
    assert measured == pytest.approx(found["pieces"]["a.0"]["median"])
    with np.load(tmp_path / "out.npz") as outputs:
        whole = ModelSession(tmp_path / "chain.onnx", "none").run(inputs)
        assert differences(dict(outputs), whole)[0] < 1e-5
    assert "With the times that were measured" in done.stdout
    assert set(found["layers"]) == {layer.name for layer in problem.networks[0].layers}
    assert "Layers" in done.stdout
    assert max(found["off"]) < 1e-5


def test_the_command_runs_devices_that_listen_elsewhere(tmp_path):
    folder = split("chain", "back", tmp_path)
    key = write_key(tmp_path / "run.key")
    with devices(folder, key=key) as run:
        at = [word for name, address in run.addresses.items() for word in ("--at", f"{name}={address}")]
        check_refused(dnnopt("run", folder, *at), "--key")
        check_refused(dnnopt("run", folder, "--key", tmp_path / "run.key"), "--local")
        check_refused(dnnopt("run", folder, *at[:2], "--key", tmp_path / "run.key"), "no address for the device 'b'")
        check_refused(dnnopt("run", folder, *at, "--key", tmp_path / "run.key", "--layers"), "layers")
        done = dnnopt("run", folder, *at, "--key", tmp_path / "run.key", "--repeat", "3", "--json", "-")
    assert done.returncode == 0, done.output
    found = json.loads(done.stdout)
    assert found["links"] == {"a -> b": 1024.0, "b -> a": 256.0}
    assert found["local"] is found["judged"] is False
    assert found["remarks"] == ["There is no problem beside the pieces (split --problem): nothing was predicted."]


def children(pid):
    return psutil.Process(pid).children(recursive=True)


def connected(process):
    """Whether a device takes part in the run: the driver has connected to it."""
    try:
        return any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))
    except psutil.Error:
        return False


@pytest.mark.parametrize("how", ["killed piece", "SIGTERM", "SIGKILL"])
def test_every_process_ends_when_the_run_does(how, tmp_path):
    folder = split("chain", "cut", tmp_path)
    words = [sys.executable, "-m", "dnnopt", "run", str(folder), "--local", "--repeat", "1000000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    serving = []
    while len(serving) < 2 or not all(map(connected, serving)):
        assert time.monotonic() < limit
        assert process.poll() is None, process.communicate()
        serving = [one for one in children(process.pid) if "guardian.py" not in " ".join(one.cmdline())]
        time.sleep(0.1)
    everyone = children(process.pid)
    start = time.monotonic()
    if how == "killed piece":
        victim = next(one for one in serving if one.cmdline()[one.cmdline().index("--device") + 1] == "b")
        victim.kill()
    else:
        process.send_signal(getattr(signal, how))
    _, errors = process.communicate(timeout=20)
    _, alive = psutil.wait_procs(everyone, 10)
    assert alive == []
    assert time.monotonic() - start < 10
    assert "Traceback" not in errors
    if how == "killed piece":
        assert process.returncode == 2
        assert "b" in errors
        assert "killed by signal 9" in errors or "connection" in errors
    else:
        assert process.returncode == (-9 if how == "SIGKILL" else 130)
