"""Formulations of partitioning problems: mixed-integer linear (`milp`) and constraint programming (`cp`).

The folder lies beside the package and is imported as ``dnnopt.formulations``. Under any other name its classes would
exist twice, so that is refused.
"""

if __name__ != "dnnopt.formulations":
    raise ImportError(
        f"this folder was imported as {__name__!r}; its only name is 'dnnopt.formulations'", name=__name__
    )
