"""The plan: every metric, formula, layer, rule tag, segment and tier rule as Ibis expressions.

Compiled once for a set of definitions, with everything that depends on the as-of as parameters.
"""

from .compiled import CompiledPlan, RankRules, compile_plan
from .parameters import Bounds, bounds_at

__all__ = ["Bounds", "CompiledPlan", "RankRules", "bounds_at", "compile_plan"]
