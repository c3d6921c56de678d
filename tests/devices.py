"""Devices of a run in threads of this process, behind real sockets."""

import threading
from contextlib import contextmanager

from piece_models import DIMENSIONS, PLANS, network_of, saved

from dnnopt.problem.manifest import read_manifest
from dnnopt.runtime.driving import Driver
from dnnopt.runtime.keys import new_key
from dnnopt.runtime.serving import DeviceServer
from dnnopt.runtime.split import split_onnx


def split(name, plan, folder, **options):
    """Split a model of `piece_models`; return the folder of its pieces."""
    path = saved(name, folder)
    network = network_of(path)
    chosen = PLANS[plan](network) if isinstance(plan, str) else plan(network)
    options = {"verify": False, "dimensions": DIMENSIONS.get(name)} | options
    split_onnx(path, chosen, folder / "pieces", **options)
    return folder / "pieces"


class Devices:
    """Servers of all devices of some pieces, and what they log."""

    def __init__(self, folder, key=None, **options):
        self.manifest, self.key, self.log = read_manifest(folder), key or new_key(), []
        self.servers = {
            name: DeviceServer(folder, name, self.key, log=self.log.append, **options)
            for name in self.manifest.devices()
        }
        self.threads = [threading.Thread(target=one.serve) for one in self.servers.values()]
        self.addresses = {name: f"127.0.0.1:{one.port}" for name, one in self.servers.items()}
        for thread in self.threads:
            thread.start()

    def driver(self, **options):
        given = {"addresses": self.addresses, "key": self.key, "patience": 10.0} | options
        return Driver(self.manifest, given.pop("addresses"), given.pop("key"), **given)


@contextmanager
def devices(folder, **options):
    """Yield the devices of some pieces, which end afterwards."""
    found = Devices(folder, **options)
    try:
        yield found
    finally:
        for server in found.servers.values():
            server.stop()
        for thread in found.threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in found.threads)
