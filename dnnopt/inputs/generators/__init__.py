"""Seeded generators of problems: the same recipe gives the same file, byte for byte, on every machine.

Everything that is written comes from whole numbers: random ones from `Stream`, sizes and rates from integer arithmetic,
and fractions from one division of whole numbers each. ``docs/generators.md`` defines every knob.
"""

from dnnopt.inputs.generators.generate import VERSION, Generated, generate
from dnnopt.inputs.generators.networks import KINDS
from dnnopt.inputs.generators.platforms import TOPOLOGIES
from dnnopt.inputs.generators.recipe import Recipe

__all__ = ["KINDS", "TOPOLOGIES", "VERSION", "Generated", "Recipe", "generate"]
