"""Writes the problems of the set `papers`, and `instances/variants`: choices beyond placement as papers have them.

    python instances/problems/make_papers.py

Networks and platforms are the library's. Each problem says what the paper states and what is assumed; limits are
numbers between what the best plans with and without the choice need.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from choices import EXITS, TX2, Data, cached, varying  # type: ignore[import-not-found]
from make_choices import write  # type: ignore[import-not-found]

from dnnopt.base.files import dump_json, write_text
from dnnopt.problem import library
from dnnopt.problem.networks import OUTPUT, Network

FOLDER = Path(__file__).parents[1] / "variants"
TOKENS = 128  # of the prompt that language models of the library read
LATENCY = [{"metric": "latency"}]
JALAD = (
    "Li, Hu, Jiang, Wang, Wen, Zhu: JALAD: joint accuracy- and latency-aware deep structure decoupling for edge-cloud"
    " execution, ICPADS 2018: one cut, and c bits for each number of the tensor that is cut, within an accuracy loss."
    " Assumed: the losses (0.0005, 0.005, 0.05 with 8, 4, 2 bits), no entropy coding, one pass over the tensor to "
    "encode and to decode it, an image of 8 bits a number, and the bandwidth (300 kB/s or 1 MB/s), between other "
    "devices than there."
)
EDGENT = (
    "Li, Zhou, Chen: Edge intelligence: on-demand deep learning model co-inference with device-edge synergy, MECOMM "
    "2018 (Edgent): the exit of a BranchyNet AlexNet and the cut, at the least loss of accuracy within a deadline, on"
    " a Raspberry Pi 3 and a PC. The last exit loses 0.2162 (Teerapittayanon, McDanel, Kung: BranchyNet, ICPR 2016: "
    "AlexNet is 78.38 % accurate); assumed: 0.26 and 0.32 of the earlier ones, and the deadline, as these devices are"
    " fast."
)
BRANCHY = (
    "Teerapittayanon, McDanel, Kung: BranchyNet: fast inference via early exiting from deep neural networks, ICPR "
    "2016: of the inputs of B-AlexNet 65.6 % leave at the first exit, 25.2 % at the second, 9.2 % at the end. "
    "Expected {what}, answers wanted on the Pi. The platform is Edgent's (MECOMM 2018)."
)
DVFS = (
    "Zhang, Zhao, Li, Lin, Liu: DVFO: learning-based DVFS for energy-efficient edge-cloud collaborative inference, "
    "IEEE TMC 2024: a clock for the edge device and a cut, within a budget of energy. Clocks of Jetson TX2's GPU: "
    "1.30 (Max-N), 1.12 (Max-P) and 0.85 GHz (Max-Q), with 15 W and 7.5 W for the latter two; assumed: 20 W for "
    "Max-N, rates of computing and of memory that follow the clock, and the budget."
)
ROBUST = (
    "A cut for five bandwidths of the Wi-Fi, which Edgent (Li, Zeng, Zhou, Chen: Edge AI: on-demand accelerating deep"
    " neural network inference via edge computing, IEEE TWC 2020) changes with them instead: {what}. Assumed: the "
    "factors 1, 0.6, 0.3, 0.15, 0.05 and their probabilities, and limits."
)
CVAR = " Rockafellar, Uryasev: Optimization of conditional value-at-risk, Journal of Risk 2, 2000."
INT8 = (
    "Dettmers, Lewis, Belkada, Zettlemoyer: LLM.int8(): 8-bit matrix multiplication for transformers at scale, "
    "NeurIPS 2022: weights of 8 bits a number, on devices that do not hold the model with 32. GPT-2's embedding is "
    "tied to its last layer: a device that has both holds it once in each mode. Assumed: a tenth less speed, as "
    "weights are unpacked, 0.0005 of accuracy lost by each layer, and limits."
)
GENERATE = (
    "Zhang, Shen, Cao, Cui, Jiang: EdgeShard: efficient LLM inference via collaborative edge computing, IEEE IoT "
    "Journal 2024: blocks of a language model over an edge device, an edge server and a cloud, which read a prompt "
    "and write token by token. GPT-2 reads 128 tokens (prefill) and writes 128 (decode): time to the first token and "
    "128 times that of each further one. Decoding reads all weights and does 1/128 of the rest; each attention keeps "
    "keys and values of 256 tokens, where the prompt was read; a device holds weights of both once. Assumed: numbers "
    "of 4 bytes, and the memory that devices leave."
)


def problem(name: str, networks: list[Data], platform: str | Data, provenance: str, **keys: object) -> Data:
    """Return the data of a problem, under sequential execution and of least latency unless `keys` say more."""
    head: Data = {"format": "dnnopt-problem", "version": 1, "networks": networks, "platform": platform}
    usual: Data = {"execution": "sequential", "minimize": LATENCY, "subject_to": []}
    return head | usual | keys | {"name": f"papers/{name}", "provenance": provenance}


def memory(limits: dict[str, float], rule: str = "weights+largest_activation") -> Data:
    return {"constraint": "memory", "rule": rule, "limits": limits}


def bit_widths(network: Network) -> Data:
    """Return forms of fewer bits a number, and of the input its 8 bits."""
    found: Data = {}
    for tensor in network.tensors:
        if tensor.consumers == (OUTPUT,):
            continue
        numbers = tensor.bytes / 4
        if tensor.producer == "input":
            found[tensor.name] = {"plain": False, "forms": [{"name": "pixels", "bytes": numbers}]}
            continue
        forms: list[Data] = []
        for bits, loss in {8: 0.0005, 4: 0.005, 2: 0.05}.items():
            size = float(-(-numbers * bits // 8))
            work = {"roofline": {"flops": 2 * numbers, "bytes": tensor.bytes + size}}
            forms.append({"name": f"{bits}-bit", "bytes": size, "loss": loss, "encode": work, "decode": work})
        found[tensor.name] = {"forms": forms}
    return found


def jalad() -> Iterator[Data]:
    limits = [{"constraint": "accuracy_loss", "limit": 0.01}, {"constraint": "monotone_tiers"}]
    for name, bandwidth in (("resnet50", "300 kB/s"), ("resnet101", "1 MB/s")):
        tensors = bit_widths(library.network(f"{name}@layer"))
        network = {"base": f"{name}@layer", "source": "pi", "tensors": tensors}
        platform = {"base": "pi4-lte-t4", "override": {"lte-up.bandwidth": bandwidth}}
        yield problem(f"jalad-{name}", [network], platform, JALAD, subject_to=limits)


def until(network: Network, last: str) -> Network:
    """Return what of a network is needed for the answer of one layer."""
    producers = {c: [t.producer for t in network.tensors if c in t.consumers] for c in network.layer_names}
    kept, new = {last}, [last]
    while new:
        new = [name for name in {p for one in new for p in producers[one]} - kept if name in producers]
        kept |= set(new)
    layers = tuple(layer for layer in network.layers if layer.name in kept)
    tensors = []
    for tensor in network.tensors:
        readers = tuple(one for one in tensor.consumers if one in kept or (one == OUTPUT and tensor.producer == last))
        if readers:
            tensors.append(tensor.replace(consumers=readers))
    return network.replace(layers=layers, tensors=tuple(tensors))


def edgent() -> Iterator[Data]:
    network = library.network("branchynet", source="pi", sink="pi")
    exits = {"exit1.2": 0.32, "exit2.2": 0.26, "classifier.5": 0.2162}
    for number, (last, loss) in enumerate(exits.items()):
        part = until(network, last).replace(loss=loss, name=f"exit{number + 1}").to_data()
        deadline = {"constraint": "deadline", "limit": EDGENT_DEADLINE}
        goal = [{"metric": "accuracy_loss"}]
        yield problem(f"edgent-exit{number + 1}", [part], "pi3-wifi-pc", EDGENT, minimize=goal, subject_to=[deadline])


EDGENT_DEADLINE = 0.007  # between the best latency of the second exit (5.6 ms) and of the third (8.2 ms)


def branchynet() -> Iterator[Data]:
    second, third = EXITS
    layers, tensors = {}, {"exit1.2": {"reach": round(1 - second, 3)}, "exit2.2": {"reach": round(second - third, 3)}}
    for layer in library.network("branchynet").layers:
        if layer.name.startswith(("steps.1", "steps.2", "exit2")):
            layers[layer.name] = {"reach": second}
        elif layer.name.startswith(("steps.3", "steps.4", "classifier")):
            layers[layer.name] = {"reach": third}
    network = {"base": "branchynet", "source": "pi", "sink": "pi", "layers": layers, "tensors": tensors}
    yield problem("branchynet-latency", [network], "pi3-wifi-pc", BRANCHY.format(what="latency"))
    energy = BRANCHY.format(what="energy of the Pi within a period")
    yield problem(
        "branchynet-energy",
        [network],
        "pi3-wifi-pc",
        f"{energy} The period's limit is assumed.",
        execution="pipelined",
        minimize=[{"metric": "energy", "devices": ["pi"]}],
        subject_to=[{"constraint": "metric", "metric": "period", "limit": 0.005}],
    )


def dvfs() -> Iterator[Data]:
    tx2 = next(d for d in library.platform("tx2-wifi-pc-wan-a100").devices if d.name == "tx2")
    watts = {"max-n": 20.0, "max-p": 15.0, "max-q": 7.5}
    most, _ = TX2["max-n"]
    modes = [
        {"name": mode, "efficiency": float(f"{tx2.efficiency * clock / most:.4g}"), "power": watts[mode]}
        for mode, (clock, _) in TX2.items()
    ]
    platform = {"base": "tx2-wifi-pc-wan-a100", "override": {"tx2.modes": modes, "tx2.one_mode": True}}
    network = {"base": "resnet50@layer", "source": "tx2", "sink": "tx2"}
    trusted = {"constraint": "max_devices", "limit": 2}
    for name, execution, metric, joules in (
        ("dvfs-latency", "sequential", "latency", 0.45),
        ("dvfs-period", "pipelined", "period", 0.45),
    ):
        budget = {"constraint": "energy", "devices": ["tx2"], "limit": joules}
        yield problem(
            name, [network], platform, DVFS,
            execution=execution, minimize=[{"metric": metric}], subject_to=[budget, trusted],
        )  # fmt: skip


def robust() -> Iterator[Data]:
    network = {"base": "vgg16@layer", "source": "pi", "sink": "pi"}
    platform, scenarios = "pi4-wifi-nx-wan-t4", varying(["wifi-up", "wifi-down"])
    room = memory({"pi": 128e6})
    for name, what, across in (
        ("robust-worst", "the worst latency", {"across": "worst"}),
        ("robust-cvar", "the mean latency of the worst 40 %", {"across": "cvar", "level": 0.6}),
    ):
        words = ROBUST.format(what=what) + CVAR * (name == "robust-cvar")
        goal = [{"metric": "latency", **across}]
        yield problem(name, [network], platform, words, minimize=goal, subject_to=[room], scenarios=scenarios)
    deadline = {"constraint": "deadline", "limit": 1.3, "share": 0.85}
    words = ROBUST.format(
        what="the least expected energy of the Pi, with a deadline that is kept with a probability of 85 %"
    )
    goal = [{"metric": "energy", "devices": ["pi"]}]
    yield problem(
        "robust-share", [network], platform, words, minimize=goal, subject_to=[room, deadline], scenarios=scenarios
    )


def int8() -> Iterator[Data]:
    platform = library.platform("4-jetson-nx-lan")
    override = {}
    for device in platform.devices:
        packed = {
            "name": "int8",
            "efficiency": float(f"{0.9 * device.efficiency:.4g}"),
            "weight_bytes": 0.25,
            "loss": 0.0005,
        }
        override[f"{device.name}.modes"] = [{"name": "float32"}, packed]
    network = {"base": "gpt2@block", "source": "nx0", "sink": "nx0"}
    room = memory({device.name: 180e6 for device in platform.devices})
    limits = [room, {"constraint": "accuracy_loss", "limit": 0.008}]
    on = {"base": platform.name, "override": override}
    yield problem("gpt2-int8-latency", [network], on, INT8, subject_to=limits)
    yield problem(
        "gpt2-int8-period", [network], on, INT8,
        execution="pipelined", minimize=[{"metric": "period"}], subject_to=limits,
    )  # fmt: skip


def generate() -> Iterator[Data]:
    whole = library.network("gpt2@block", source="tx2", sink="tx2")
    readers = {name: shared.bytes for shared in whole.shared_weights[:1] for name in shared.layers}
    bare = tuple(layer.replace(weights=0.0) for layer in whole.layers)
    state = cached(whole, width=768, tokens=2 * TOKENS)
    layers, tensors = [], []
    for layer in whole.layers:
        read = (layer.weights or 0.0) + readers.get(layer.name, 0.0)
        read = read if read <= (layer.bytes or 0.0) else 0.0
        once = {"bytes": read + ((layer.bytes or 0.0) - read) / TOKENS, "flops": (layer.flops or 0.0) / TOKENS}
        kept = state.get(layer.name, {})
        layers.append(layer.replace(weights=0.0, activations=(layer.activations or 0.0) / TOKENS, **once, **kept))
    tensors = [tensor.replace(bytes=tensor.bytes / TOKENS) for tensor in whole.tensors]
    both = ("prefill", "decode")
    shared = [
        {"name": part.name, "bytes": part.bytes, "layers": [[net, name] for net in both for name in part.layers]}
        for part in whole.shared_weights
    ]
    shared += [
        {"name": layer.name, "bytes": layer.weights, "layers": [[net, layer.name] for net in both]}
        for layer in whole.layers
        if layer.weights
    ]
    together = [{"constraint": "colocate", "layers": [[net, layer.name] for net in both]} for layer in whole.layers]
    prefill = whole.replace(name="prefill", layers=bare, shared_weights=())
    decode = prefill.replace(name="decode", layers=tuple(layers), tensors=tuple(tensors), weight=float(TOKENS))
    room = memory({"tx2": 300e6, "pc": 300e6}, "weights")
    yield problem(
        "gpt2-generate", [prefill.to_data(), decode.to_data()], "tx2-wifi-pc-wan-a100", GENERATE,
        subject_to=[room, *together], shared_weights=shared,
    )  # fmt: skip


def variants() -> Data:
    names = [one["name"] for one in edgent()]
    return {
        "format": "dnnopt-variants",
        "version": 1,
        "name": "edgent-branchynet",
        "provenance": EDGENT,
        "problems": {name.partition("-")[2]: name for name in names},
    }


def papers() -> Iterator[Data]:
    for part in (jalad, edgent, branchynet, dvfs, robust, int8, generate):
        yield from part()


def main() -> None:
    for data in papers():
        write(data)
    FOLDER.mkdir(exist_ok=True)
    write_text(FOLDER / "edgent-branchynet.json", dump_json(variants()))


if __name__ == "__main__":
    main()
