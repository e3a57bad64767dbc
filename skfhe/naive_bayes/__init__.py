"""Naive Bayes classifiers whose predictions run on encrypted data."""

from skfhe.naive_bayes._discrete import BernoulliNB, CategoricalNB, ComplementNB, MultinomialNB
from skfhe.naive_bayes._gaussian import GaussianNB

__all__ = ["BernoulliNB", "CategoricalNB", "ComplementNB", "GaussianNB", "MultinomialNB"]
