"""Commands that write a network in other pieces: shards, fused tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnopt.base.errors import InputError
from dnnopt.base.text import visible
from dnnopt.cli.app import say, tell
from dnnopt.cli.options import AllowLargeOption, VerboseOption, checked_file, whole
from dnnopt.cli.target import CostOption, DimensionOption, command, read_named

if TYPE_CHECKING:
    from dnnopt.problem.transforms.pieces import Transformed

NetworkArgument = Annotated[
    str, typer.Argument(metavar="NETWORK", help="An ONNX or network file, or a network of the library.")
]
NetworkOutputOption = Annotated[
    Path, typer.Option("--output", "-o", help="Network file to write.", callback=checked_file)
]


@command("shard")
def shard_command(
    network: NetworkArgument,
    axis: Annotated[str, typer.Option(help="rows, grid, channels or batch.")],
    parts: Annotated[str, typer.Option(help="How many, '4'; their shares, '2,1,1' or 'pi=2,nx=1'; of a grid, '2x2'.")],
    output: NetworkOutputOption,
    pair: Annotated[
        bool, typer.Option("--pair", help="Of channels: every second product sums over its own part alone.")
    ] = False,
    dim: DimensionOption = None,
    cost: CostOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Divide the layers of a network into parts that compute a share of the result each, and write it as a file."""
    from dnnopt.problem.transforms.sharding import shard

    try:
        made = shard(_network(network, dim, cost, allow_large), axis, _parts(parts), pair=pair)
    except InputError as error:
        raise _of_option(error) from None
    _write_network(made, output)


@command("fuse")
def fuse_command(
    network: NetworkArgument,
    grid: Annotated[str, typer.Option(help="Rows and columns of tiles, such as '2x2'.")],
    output: NetworkOutputOption,
    block: Annotated[
        list[str] | None,
        typer.Option(metavar="FIRST..LAST", help="Layers to fuse, with all between them; may be repeated."),
    ] = None,
    redundancy: Annotated[
        float, typer.Option(help="Without --block: the share of a block's FLOP that tiles may compute again.")
    ] = 0.25,
    dim: DimensionOption = None,
    cost: CostOption = None,
    allow_large: AllowLargeOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compute blocks of layers tile by tile, each from its own part of the block's input, and write it as a file."""
    from dnnopt.problem.transforms.fusing import fuse

    blocks = None
    if block:
        blocks = []
        for text in block:
            first, dots, last = text.partition("..")
            if not first or not dots or not last:
                raise InputError("FIRST..LAST, names of layers", field="--block", value=text)
            blocks.append((first, last))
    try:
        made = fuse(_network(network, dim, cost, allow_large), blocks, _grid(grid, "--grid"), redundancy=redundancy)
    except InputError as error:
        raise _of_option(error) from None
    _write_network(made, output)


def _network(target: str, dim: list[str] | None, cost: list[str] | None, allow_large: bool) -> Any:
    from dnnopt.problem.networks import Network

    found = read_named(target, dim, cost, allow_large)
    if not isinstance(found, Network):
        raise InputError("a network, not a problem", field="NETWORK", value=target)
    return found


def _parts(text: str) -> Any:
    """Return parts as they are typed: a number, shares, shares by names, rows and columns."""
    if "x" in text and "=" not in text:
        return _grid(text, "--parts")
    listed = text.split(",")
    if "=" not in text:
        return whole_number(text) if len(listed) == 1 else tuple(_share(part) for part in listed)
    found: dict[str, float] = {}
    for part in listed:
        name, equals, share = part.strip().rpartition("=")
        if not equals or not name or name in found:
            raise InputError("NAME=SHARE for each part, each name once", field="--parts", value=text)
        found[name] = _share(share)
    return found


def whole_number(text: str) -> int:
    try:
        return whole(text.strip(), 1)
    except InputError as error:
        raise error.within(field="--parts") from None


def _share(text: str) -> float:
    from dnnopt.base.units import parse_quantity

    try:
        return parse_quantity(text, "number")
    except InputError as error:
        raise error.within(field="--parts") from None


def _grid(text: str, option: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    try:
        return whole(rows, 1), whole(columns, 1)
    except InputError:
        raise InputError("rows and columns, such as '2x2'", field=option, value=text) from None


def _of_option(error: InputError) -> InputError:
    """Return the error of an argument as one of the option that gives it."""
    name, bracket, rest = error.field.partition("[")
    option = {"axis": "--axis", "parts": "--parts", "pair": "--pair", "grid": "--grid", "blocks": "--block"}.get(name)
    return InputError("", file=error.file, field=option or name + bracket + rest, problem=error.problem)


def _write_network(made: Transformed, output: Path) -> None:
    """Write the network, and say what is in it."""
    from dnnopt.problem.networks import write_network

    write_network(made.network, output)
    speak = tell if output.is_file() else say  # the file itself may be what is printed
    speak(visible(f"{output}: {made.network.summary()}"))
    speak(visible(f"before: {made.original.summary()}"))
    if made.redundancy > 1e-9:
        speak(f"{100 * made.redundancy:.3g} % of the FLOP are added")
