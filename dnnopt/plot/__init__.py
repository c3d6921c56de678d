"""Pictures of networks, plans, runs and comparisons, as ``dnnopt.plot.placement(result)``.

Each function returns a matplotlib Figure (``figure.savefig("name.pdf")``), or draws on the axes given. matplotlib comes
with ``pip install 'dnnopt[plot]'``; it is imported when the first picture is drawn.
"""
