"""Trees on quantized features."""

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skfhe.ensemble import RandomForestClassifier
from skfhe.tree import DecisionTreeClassifier
from tests._trees.examples import CLASSIFIERS, FEW, REGRESSORS, name, scores_of
from tests.with_originals import original_of


@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=name)
def test_quantized_model_is_the_original_trained_on_levels(estimator, iris, diabetes):
    X, y = iris if is_classifier(estimator) else diabetes
    model = clone(estimator).set_params(n_bits=3).fit(X, y)
    quantizer = model._level_quantizer
    represented = quantizer.dequantize(quantizer.quantize(X))
    original = original_of(estimator).fit(represented, y)
    difference = np.abs(scores_of(model, X) - scores_of(original, represented))
    assert difference.max() <= model.score_error_ + 1e-9
    (sent,) = model.program_.inputs
    assert (model.program_.values[sent].type.min, model.program_.values[sent].type.max) == (0, 1)


def test_quantized_accuracy_at_4_bits():
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    losses = []
    for estimator in CLASSIFIERS:
        exact, quantized = clone(estimator), clone(estimator).set_params(n_bits=4)
        scores = [model.fit(X_train, y_train).score(X_test, y_test) for model in (exact, quantized)]
        losses.append(scores[0] - scores[1])
    assert np.mean(losses) < 0.02


def test_missing_values_have_a_level_where_training_had_some(iris):
    X, y = iris
    holes = X.copy()
    holes[::7, 2] = np.nan
    model = DecisionTreeClassifier(max_depth=3, n_bits=3, random_state=0).fit(holes, y)
    assert model.score(holes, y) > 0.8
    holes[0, 1] = np.nan
    with pytest.raises(ValueError, match=r"features \[1, 2\] have missing values, and had none in training"):
        RandomForestClassifier(n_bits=3, **FEW).fit(X, y).predict(holes)


@pytest.mark.parametrize("n_bits", [0, 9, 3.0, True, "3"])
def test_wrong_n_bits_says_what_is_expected(n_bits, iris):
    with pytest.raises(ValueError, match="n_bits must be None or an int from 1 to 8"):
        DecisionTreeClassifier(n_bits=n_bits, random_state=0).fit(*iris)
