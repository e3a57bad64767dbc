"""Searches for the cheapest evaluation that keeps the score."""

from skfhe.model_selection._searches import ErrorRateSearch, RoundingSearch

__all__ = ["ErrorRateSearch", "RoundingSearch"]
