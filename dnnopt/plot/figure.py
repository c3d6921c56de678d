"""The figure that plots are drawn on. Needs matplotlib; all other modules of `dnnopt.plot` import it when they draw."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Drawing(Figure):
    """A matplotlib Figure that notebooks show and pyplot does not know: none is left open."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=80, bbox_inches="tight")
        return stream.getvalue()
