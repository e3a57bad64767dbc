"""What is read of a fitted explainable boosting machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.additive._description import Additive, Bins, Term
from skfhe.encoding import Head, NamedCategories
from skfhe.exceptions import UnsupportedModelError

__all__ = ["described", "has_own_names", "named_categories"]


def described(fitted: Any, heads: dict[str, Head]) -> Additive:
    """Return a fitted original as its intercept and tables.

    Raises
    ------
    UnsupportedModelError
        If it has a link or a term that no program has.
    """
    if fitted.link_ not in heads:
        raise UnsupportedModelError(
            f"link_={fitted.link_!r} of this {type(fitted).__name__} cannot be evaluated; expected one of "
            f"{', '.join(sorted(heads))}"
        )
    wide = [
        name
        for name, features in zip(fitted.term_names_, fitted.term_features_, strict=True)
        if len(features) > 2
    ]
    if wide:
        raise UnsupportedModelError(
            f"{len(wide)} term(s) read more than two features: {', '.join(wide[:3])}; train with "
            "interactions of two, or leave these out by remove_terms"
        )
    intercept = np.atleast_1d(np.asarray(fitted.intercept_, dtype=np.float64))
    categories = named_categories(fitted)
    terms = []
    for features, scores, weights in zip(
        fitted.term_features_, fitted.term_scores_, fitted.bin_weights_, strict=True
    ):
        bins = tuple(_bins(fitted, feature, len(features), categories) for feature in features)
        shape = (*(each.n_bins for each in bins), len(intercept))
        table = np.asarray(scores, dtype=np.float64).reshape(shape)
        terms.append(
            Term(
                tuple(int(feature) for feature in features),
                bins,
                table,
                np.asarray(weights, dtype=np.float64).reshape(shape[:-1]),
            )
        )
    names = [str(name) for name in fitted.feature_names_in_]
    return Additive(int(fitted.n_features_in_), names, terms, intercept, heads[fitted.link_])


def _bins(fitted: Any, feature: int, n_features: int, categories: NamedCategories) -> Bins:
    """Return the bins of a feature in terms of so many features."""
    levels = fitted.bins_[feature]
    found = levels[min(len(levels), n_features) - 1]
    known = categories.categories[feature]
    if known is None:
        return Bins(np.asarray(found, dtype=np.float64))
    # what only another level tells apart lies where what is not known does
    unknown = max(found.values(), default=0) + 1
    return Bins(None, np.array([found.get(text, unknown) for text in known.tolist()], dtype=np.int64))


def named_categories(fitted: Any) -> NamedCategories:
    """Return the categories of each feature, all of its levels of bins together."""
    found: list[Array | None] = []
    for kind, levels in zip(fitted.feature_types_in_, fitted.bins_, strict=True):
        if kind in ("nominal", "ordinal"):
            texts = dict.fromkeys(str(text) for level in levels for text in level)
            known = np.empty(len(texts), dtype=object)
            known[:] = list(texts)
            found.append(known)
        else:
            found.append(None)
    return NamedCategories(found)


def has_own_names(fitted: Any) -> bool:
    """Whether the features of a fitted original have names that it has not made up."""
    names = [str(name) for name in fitted.feature_names_in_]
    return names != [f"feature_{number:04}" for number in range(len(names))]
