"""Searches for the cheapest evaluation that keeps the score, and for the best score within a budget."""

from skfhe.model_selection._costs import cost_scorer
from skfhe.model_selection._pareto import ParetoSearchCV
from skfhe.model_selection._refit import refit_within
from skfhe.model_selection._searches import ErrorRateSearch, RoundingSearch

__all__ = ["ErrorRateSearch", "ParetoSearchCV", "RoundingSearch", "cost_scorer", "refit_within"]
