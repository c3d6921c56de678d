"""The published approaches: what each decides in the survey's five dimensions, its problem, its algorithm, its figures.

To add one is to add a file to `published`, or to `register` it.
"""

from dnnopt.approaches.approach import Approach, Claim
from dnnopt.approaches.classifying import Classification, Classified, Match, classification, classify
from dnnopt.approaches.dimensions import DIMENSIONS, Dimension
from dnnopt.approaches.own_gaps import OwnGap, OwnGaps, own_gaps
from dnnopt.approaches.registry import approach_named, published, register
from dnnopt.approaches.scope import as_seen, plan_for
from dnnopt.approaches.score_table import ApproachScore, Scores
from dnnopt.approaches.scores import read_scores, score
from dnnopt.approaches.trial import Trial, try_approach

__all__ = [
    "DIMENSIONS",
    "Approach",
    "ApproachScore",
    "Claim",
    "Classification",
    "Classified",
    "Dimension",
    "Match",
    "OwnGap",
    "OwnGaps",
    "Scores",
    "Trial",
    "approach_named",
    "as_seen",
    "classification",
    "classify",
    "own_gaps",
    "plan_for",
    "published",
    "read_scores",
    "register",
    "score",
    "try_approach",
]
