"""What is looked at in a picture: where its texts, its legend and its drawing lie."""

from itertools import combinations

_ROUNDING = 1.0  # pixels


def faults(figure, least_share=0.0):
    """Return what is wrong: what leaves the figure, sizes on each other, and a drawing that is too narrow."""
    figure.draw_without_rendering()
    renderer, whole = figure._get_renderer(), figure.bbox
    found = []
    for axes in figure.axes:
        for artist in _written(axes):
            box = artist.get_window_extent(renderer)
            outside = min(box.x0, box.y0, whole.x1 - box.x1, whole.y1 - box.y1)
            if outside < -_ROUNDING:
                found.append(f"{artist} leaves the figure by {-outside:.0f} pixels")
        sizes = {text: text.get_window_extent(renderer) for text in axes.texts if is_size(text)}
        found += [f"{a} lies on {b}" for a, b in combinations(sizes, 2) if sizes[a].overlaps(sizes[b])]
    widest = max(axes.get_window_extent(renderer).width for axes in figure.axes) / whole.width
    if widest < least_share:
        found.append(f"the drawing has {100 * widest:.0f} % of the width")
    return found


def is_size(text):
    """Return whether a text is the size of a tensor that is sent."""
    return text.get_fontweight() == "bold" and text.get_text().endswith("B")


def _written(axes):
    """Yield the texts of axes, with what is written at their sides, and the legend."""
    yield from axes.texts
    yield from (title for title in (axes.title, axes._left_title, axes._right_title) if title.get_text())
    if axes.get_legend():
        yield axes.get_legend()
    if axes.axison:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                if min(low, high) <= tick.get_loc() <= max(low, high) and tick.label1.get_visible():
                    yield tick.label1
            if axis.label.get_text():
                yield axis.label
