"""Radial kernels by a lookup a support vector: scores near the float model's, the same integers encrypted."""

import json
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from skfhe import svm
from skfhe._radial import RadialCalibration, RadialScores, lower, lower_radial
from skfhe._radial.distances import best_caps
from skfhe.deployment._values import from_values, to_values
from skfhe.encoding import Values
from skfhe.exceptions import CostWarning, ToleranceWarning


def described(machine):
    """Return the scores of a fitted original."""
    return getattr(svm, type(machine).__name__)(**machine.get_params())._describe(machine)


def lowered(machine, X, **params):
    """Lower without the warnings, which one test is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (CostWarning, ToleranceWarning))
        return lower_radial(described(machine), RadialCalibration.on(X, **params))


def test_iris_keeps_its_classes_at_six_bits(iris):
    X, X_test, y, _ = train_test_split(*iris, stratify=iris[1], random_state=0)
    machine = SVC().fit(X, y)
    model = lowered(machine, X)
    # one lookup for each vector and score that it has a coefficient for
    assert model.cost.n_lookups == np.count_nonzero(described(machine).dual)
    assert model.program.accumulator_bits == [8]  # which are rounded to six, exactly
    np.testing.assert_array_equal(model.head.predict(model.scores(X_test)), machine.predict(X_test))
    assert (model.head.predict(model.scores(X)) == machine.predict(X)).mean() > 0.95


@pytest.mark.parametrize("cls", [SVC, NuSVC, SVR, NuSVR, OneClassSVM], ids=lambda cls: cls.__name__)
def test_scores_follow_those_of_the_original(cls, iris):
    X, y = iris[0], iris[1] > 0
    machine = cls().fit(X, y)
    name = "decision_function" if hasattr(machine, "decision_function") else "predict"
    expected = getattr(machine, name)(X)
    np.testing.assert_allclose(described(machine).scores(X)[:, 0], expected, atol=1e-9)
    errors = {}
    for n_bits in (5, 7):
        model = lowered(machine, X, kernel_bits=n_bits)
        errors[n_bits] = np.sqrt(np.square(model.scores(X)[:, 0] - expected).mean()) / expected.std()
        sure = np.abs(model.scores(X)[:, 0]) > 0.3 * expected.std()
        if name == "decision_function":
            np.testing.assert_array_equal(model.head.predict(model.scores(X))[sure], machine.predict(X)[sure])
    assert errors[7] < 0.8 * errors[5]


def test_features_far_smaller_than_others_are_not_sent_and_watched_all_the_same(iris):
    """They make no difference to distances, unless a row is far beyond what training had."""
    X, y = np.column_stack([iris[0], 1e-6 * iris[0][:, 0]]), iris[1] > 1
    model = lowered(SVC().fit(X, y), X, kernel_bits=5)
    assert 4 not in model.encoder.features
    assert not model.encoder.watch.describe(X, None)
    X[0, 4] = 50.0
    assert "feature 4 is 50" in model.encoder.watch.describe(X, None)


def test_no_row_whatever_leaves_the_intervals_of_the_program(iris):
    """They are proven from the grids: a row that is clipped reads the last cell, and none beyond."""
    model = lowered(SVC(gamma=1.0).fit(iris[0], iris[1] > 0), iris[0], kernel_bits=4)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4)) * 10.0 ** rng.integers(-3, 9, (300, 1))
    assert np.isfinite(model.scores(rows)).all()


def test_caps_tell_distances_apart_where_kernels_are_not_zero(monkeypatch):
    """A tail makes the largest distance a multiple of those that matter, and no levels go to it."""
    rng = np.random.default_rng(0)
    X = np.exp(1.5 * rng.normal(size=(200, 6)))
    machine = SVC(gamma=0.05).fit(X, X[:, 0] > X[:, 1])
    scores, calibration = described(machine), RadialCalibration.on(X)
    ends = np.stack([calibration.low, calibration.high])
    caps = best_caps(scores, ends, X, 6)
    assert (
        np.exp(-scores.gamma * caps) < 0.5
    ).all()  # a feature as far as that takes half of a kernel at least
    assert np.median(caps) < 0.1 * np.square(ends[1] - ends[0]).max()
    expected = machine.decision_function(X)
    off = []
    for allowed in (caps, np.full(len(caps), np.square(ends[1] - ends[0]).max())):
        monkeypatch.setattr(lower, "best_caps", lambda *_, allowed=allowed: allowed)
        off.append(np.square(lowered(machine, X).scores(X)[:, 0] - expected).mean())
    assert off[0] < 0.25 * off[1]


def test_what_is_dear_and_what_is_coarse_is_warned_of(iris):
    X, y = iris
    with (
        pytest.warns(CostWarning, match=r"\d+ support vectors take \d+ lookups of 3 bits, about [\d.]+ s"),
        pytest.warns(
            ToleranceWarning,
            match="rows like those of training .* have 8 levels; kernel_bits=4 has twice as many",
        ),
    ):
        lower_radial(described(SVC().fit(X, y)), RadialCalibration.on(X, kernel_bits=3))
    with pytest.warns(ToleranceWarning, match="are off by .* standard deviations"):
        lower_radial(described(SVR(epsilon=0.5).fit(X, y)), RadialCalibration.on(X, kernel_bits=3))


@pytest.mark.parametrize("kernel_bits", [1, 9, 6.0, True, None])
def test_wrong_kernel_bits_say_what_is_expected(kernel_bits, iris):
    with pytest.raises(ValueError, match="kernel_bits must be an int from 2 to 8"):
        RadialCalibration.on(iris[0], kernel_bits=kernel_bits)


def test_distances_beyond_the_largest_float_are_refused(iris):
    scores = described(SVC().fit(*iris))
    with pytest.raises(ValueError, match="exceed the largest float"):
        lower_radial(scores, RadialCalibration.on(iris[0] * 1e160))


def test_rows_that_training_leaves_undecided_count_as_either(iris):
    """Those on the boundary of a one-class machine, to whose sign nothing else could agree."""
    X, _ = iris
    machine = OneClassSVM(nu=0.1).fit(X)
    scores = described(machine)
    assert scores.tolerance == machine.tol
    near = np.abs(scores.scores(X)) <= machine.tol
    assert 0 < near.sum() < 0.2 * len(X)


def test_rows_that_are_all_alike_and_sparse_ones(iris):
    alike = RadialScores(np.ones((1, 1)), np.ones((1, 2)), np.zeros(1), 1.0, Values())
    model = lower_radial(alike, RadialCalibration.on(np.ones((3, 2)), kernel_bits=2))
    np.testing.assert_allclose(model.scores(np.ones((3, 2))), 1.0)
    X, y = iris
    machine = SVC().fit(csr_matrix(X), y > 0)
    np.testing.assert_array_equal(
        lowered(machine, csr_matrix(X), kernel_bits=4).scores(X), lowered(machine, X, kernel_bits=4).scores(X)
    )


def test_an_encoder_from_a_file_gives_the_same_bits(iris):
    encoder = lowered(SVC().fit(iris[0], iris[1] > 0), iris[0], kernel_bits=4).encoder
    values, arrays = to_values(encoder)
    read = from_values(json.loads(json.dumps(values)), arrays, "Encoder")
    np.testing.assert_array_equal(read.encode(iris[0])[0], encoder.encode(iris[0])[0])
    with pytest.raises(ValueError, match="a place and a boundary of each bit"):
        type(encoder)(encoder.levels, encoder.positions, encoder.boundaries[:1])
    with pytest.raises(ValueError, match="bits are of 4 features"):
        type(encoder)(encoder.levels, encoder.positions + 4, encoder.boundaries)
