"""The published approaches: what each decides in the survey's five dimensions, its problem, its algorithm, its figures.

To add one is to add a file to `published`.
"""

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.classifying import Classification, Classified, Match, classification, classify
from dnnopt.approaches.dimensions import DIMENSIONS, Dimension
from dnnopt.approaches.registry import approach_named, published
from dnnopt.approaches.trial import Trial, try_approach

__all__ = [
    "DIMENSIONS",
    "Approach",
    "Claim",
    "Classification",
    "Classified",
    "Dimension",
    "Match",
    "Trial",
    "approach_named",
    "classification",
    "classify",
    "published",
    "try_approach",
]
