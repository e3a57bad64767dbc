"""Naive Bayes classifiers whose predictions run on encrypted data."""

from skfhe.naive_bayes._discrete import BernoulliNB, CategoricalNB, ComplementNB, MultinomialNB

__all__ = ["BernoulliNB", "CategoricalNB", "ComplementNB", "MultinomialNB"]
