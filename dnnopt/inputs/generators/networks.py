"""Kinds of networks. Each is a function that adds layers to a draft until there are (at least) as many as asked for."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from dnnopt.inputs.generators.draft import ELEMENT, IMAGE, RAW, Draft, Map, Tied, add_up, concatenate, convolve, resize
from dnnopt.inputs.generators.stream import Stream

_MOST_CHANNELS = 512
_SMALLEST_SIDE = 7


def _image(draft: Draft) -> Map:
    channels, side = IMAGE
    draft.raw = ELEMENT * channels * side**2
    return Map(RAW, channels, side)


def _step(draft: Draft, stream: Stream, one: Map, *, shrink: bool = True) -> Map:
    """Add a convolution with a random kernel and width, which may halve the side."""
    width = max(one.channels, 16) * stream.choice((1, 1, 2))
    stride = 2 if stream.below(4) == 0 and shrink and one.side > _SMALLEST_SIDE else 1
    return convolve(draft, [one], min(width, _MOST_CHANNELS), stream.choice((1, 3, 3)), stride)


def _stem(draft: Draft, stream: Stream) -> Map:
    """Add a first convolution that halves the image's side."""
    return convolve(draft, [_image(draft)], stream.choice((16, 32, 64)), kernel=7, stride=2)


def chain(draft: Draft, stream: Stream, size: int) -> None:
    """One layer after the other."""
    one = _stem(draft, stream)
    for _ in range(size - 1):
        one = _step(draft, stream, one)


def series_parallel(draft: Draft, stream: Stream, size: int) -> None:
    """Parts one after the other or side by side, and so on inside them; what runs side by side is concatenated."""

    def part(one: Map, count: int, top: bool) -> Map:
        if count == 1:
            return _step(draft, stream, one, shrink=top)
        if count >= 3 and stream.below(2) == 0:
            branches = stream.split(count - 1, stream.between(2, min(4, count - 1)))
            return concatenate(draft, [part(one, branch, False) for branch in branches])
        first = stream.between(1, count - 1)
        return part(part(one, first, top), count - first, top)

    one = _stem(draft, stream)
    if size > 1:
        part(one, size - 1, True)


def inception(draft: Draft, stream: Stream, size: int) -> None:
    """Modules of four branches, after GoogLeNet; every few modules the side is halved."""
    one = _stem(draft, stream)
    while len(draft.works) < size:
        if stream.below(3) == 0 and one.side > _SMALLEST_SIDE:
            one = resize(draft, one, "pool", -(-one.side // 2))
        widths = [32 * stream.between(1, 3) for _ in range(4)]
        straight = convolve(draft, [one], widths[0], kernel=1)
        middle = convolve(draft, [convolve(draft, [one], widths[1] // 2, kernel=1)], widths[1])
        deep = convolve(draft, [one], widths[2] // 2, kernel=1)
        for _ in range(2):
            deep = convolve(draft, [deep], widths[2])
        pooled = convolve(draft, [resize(draft, one, "pool", one.side)], widths[3], kernel=1)
        one = concatenate(draft, [straight, middle, deep, pooled])


def dense(draft: Draft, stream: Stream, size: int) -> None:
    """Blocks in which every layer uses all earlier ones of its block, after DenseNet; transitions between blocks."""
    one = _stem(draft, stream)
    growth = stream.choice((12, 24, 32))
    while len(draft.works) < size:
        maps = [one]
        for _ in range(stream.between(4, 8)):
            maps.append(convolve(draft, maps, growth))
        one = convolve(draft, maps, sum(one.channels for one in maps) // 2, kernel=1)
        if one.side > _SMALLEST_SIDE:
            one = resize(draft, one, "pool", -(-one.side // 2))


def encoder_decoder(draft: Draft, stream: Stream, size: int) -> None:
    """Levels down and up again, with a skip from each level of the encoder to the decoder, after U-Net."""
    levels = min(5, max(1, (size - 3) // 6))
    steps = max(1, -(-(size - 1 - 2 * levels) // (2 * levels + 1)))
    width = stream.choice((8, 16, 32))

    def block(maps: list[Map], channels: int) -> Map:
        one = convolve(draft, maps, channels)
        for _ in range(steps - 1):
            one = convolve(draft, [one], channels, stream.choice((1, 3)))
        return one

    one, skips = _image(draft), []
    for level in range(levels):
        one = block([one], width << level)
        skips.append(one)
        one = resize(draft, one, "pool", -(-one.side // 2))
    one = block([one], width << levels)
    for level in reversed(range(levels)):
        one = resize(draft, one, "upsample", skips[level].side)
        one = block([skips[level], one], width << level)
    convolve(draft, [one], stream.between(2, 20), kernel=1)


def transformer(draft: Draft, stream: Stream, size: int) -> None:
    """Blocks of attention and a feed-forward part, each with a residual connection."""
    tokens, width, heads = _widths(stream)
    draft.raw = ELEMENT * tokens * width
    _add_blocks(draft, RAW, tokens, width, heads, size)


def _widths(stream: Stream) -> tuple[int, int, int]:
    """Return the numbers of tokens, of features of each, and of heads."""
    return stream.choice((64, 128, 196)), 64 * stream.between(4, 12), stream.choice((4, 8))


def _add_blocks(draft: Draft, one: int, tokens: int, width: int, heads: int, size: int) -> int:
    """Add blocks of a transformer after a layer until there are so many layers; return the last one."""

    def linear(op: str, source: int, columns: int, rows: int) -> int:
        return draft.add(
            op,
            [source],
            flops=2 * tokens * columns * rows,
            weights=ELEMENT * columns * rows,
            out=ELEMENT * tokens * rows,
        )

    def small(op: str, sources: list[int], weights: int = 0, out: int = ELEMENT * tokens * width) -> int:
        return draft.add(op, sources, flops=4 * out // ELEMENT, weights=weights, out=out)

    while len(draft.works) < size:
        normal = small("norm", [one], weights=2 * ELEMENT * width)
        query, key, value = (linear(op, normal, width, width) for op in ("query", "key", "value"))
        maps = ELEMENT * heads * tokens**2
        scores = draft.add("scores", [query, key], flops=2 * tokens**2 * width, out=maps)
        weighed = small("softmax", [scores], out=maps)
        context = draft.add("context", [weighed, value], flops=2 * tokens**2 * width, out=ELEMENT * tokens * width)
        attended = small("add", [one, linear("project", context, width, width)])
        inner = linear("expand", small("norm", [attended], weights=2 * ELEMENT * width), width, 4 * width)
        active = small("gelu", [inner], out=4 * ELEMENT * tokens * width)
        one = small("add", [attended, linear("contract", active, 4 * width, width)])
    return one


def language_model(draft: Draft, stream: Stream, size: int) -> None:
    """A transformer that reads tokens and says how likely each next one is, by the weights that embed them: tied."""
    tokens, width, heads = _widths(stream)
    words = 1000 * stream.between(8, 50)
    draft.raw = ELEMENT * tokens
    features = ELEMENT * tokens * width
    embed = draft.add("embed", [RAW], flops=0, out=features, shared=features)
    one = _add_blocks(draft, embed, tokens, width, heads, size - 2)
    last = draft.add("norm", [one], flops=4 * width, weights=2 * ELEMENT * width, out=ELEMENT * width)
    table = ELEMENT * words * width
    head = draft.add("head", [last], flops=2 * words * width, out=ELEMENT * words, shared=table)
    draft.tied.append(Tied("embedding", table, (embed, head)))


def training(draft: Draft, stream: Stream, size: int) -> None:
    """A residual network's forward pass, its backward pass, and updates; those of one layer share a device.

    The backward layer of v takes what v took and the gradients of what v made, and does twice the work of v. The update
    takes the gradient of the weights, as many bytes as these, and holds two moments for each.
    """
    one = _stem(draft, stream)
    while sum(3 if work.weights else 2 for work in draft.works) < size:
        inner = convolve(draft, [_step(draft, stream, one)], one.channels)
        if inner.side == one.side:
            add_up(draft, [one, inner])
        one = Map(len(draft.works) - 1, inner.channels, inner.side)
    draft.answer = False
    forward = list(draft.works)
    users = draft.users()
    backward: dict[int, int] = {}
    for v in reversed(range(len(forward))):
        work = forward[v]
        gradients = [backward[w] for w in users.get(v, [])] or [v]
        sources = [*gradients, *(source for source in work.sources if source not in gradients)]
        backward[v] = draft.add(
            "grad", sources, flops=2 * work.flops, out=max(draft.size(source) for source in work.sources)
        )
        if work.weights:
            update = draft.add(
                "update", [backward[v]], flops=2 * work.weights, weights=2 * work.weights, out=work.weights
            )
            draft.together.append((v, backward[v], update))


def layered(draft: Draft, stream: Stream, size: int) -> None:
    """Levels of layers that use one to three outputs of earlier levels, at random; the last layer uses what is left."""
    draft.raw = ELEMENT * stream.between(10_000, 200_000)

    def add(op: str, sources: list[int]) -> None:
        weights = ELEMENT * stream.between(1_000, 1_000_000)
        flops = stream.between(1_000_000, 200_000_000)
        draft.add(op, sources, flops=flops, weights=weights, out=ELEMENT * stream.between(1_000, 200_000))

    width = isqrt(size) + 1
    levels: list[list[int]] = []
    while len(draft.works) < size - 1:
        level = []
        for _ in range(stream.between(1, min(width, size - 1 - len(draft.works)))):
            sources = [RAW]
            if levels:
                near = [v for earlier in levels[-3:] for v in earlier]
                wanted = stream.sample(near, min(len(near), stream.below(3)))
                sources = list(dict.fromkeys([stream.choice(levels[-1]), *wanted]))
            add("op", sources)
            level.append(len(draft.works) - 1)
        levels.append(level)
    used = draft.users()
    add("last", [v for v in range(len(draft.works)) if v not in used] or [RAW])


_Kind = Callable[[Draft, Stream, int], None]
KINDS: dict[str, _Kind] = {
    "chain": chain,
    "series-parallel": series_parallel,
    "inception": inception,
    "dense": dense,
    "encoder-decoder": encoder_decoder,
    "transformer": transformer,
    "language-model": language_model,
    "training": training,
    "layered": layered,
}


def draft_network(kind: str, name: str, size: int, stream: Stream) -> Draft:
    """Return a network of a kind with at least `size` layers (``chain``, ``series-parallel``, ``layered``: exactly)."""
    draft = Draft(name, raw=0)
    KINDS[kind](draft, stream, size)
    return draft
