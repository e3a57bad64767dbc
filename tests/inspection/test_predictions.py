"""Displays of predictions: fronts, agreement, boundaries."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfhe.cluster import KMeans
from skfhe.decomposition import PCA
from skfhe.exceptions import NotCompiledError
from skfhe.inspection import AgreementDisplay, DecisionBoundaryDisplay, ParetoDisplay
from skfhe.inspection._agreement import _bound
from skfhe.inspection._pareto import _front
from skfhe.linear_model import LogisticRegression
from skfhe.model_selection import ParetoSearchCV, cost_scorer
from skfhe.program import ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier
from tests.inspection.conftest import X, Y


def test_a_front_is_that_of_the_search():
    search = ParetoSearchCV(
        {"linear": LogisticRegression(max_iter=300), "tree": DecisionTreeClassifier(random_state=0)},
        {"linear": {"n_bits": [2, 8]}, "tree": {"max_depth": [2]}},
        cv=2,
        max_seconds=1.0,
    ).fit(X, Y)
    display = ParetoDisplay.from_estimator(search)
    np.testing.assert_array_equal(display.seconds, search.cv_results_["mean_seconds"])
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(display.front, search.front_["index"])
    assert display.names == ["linear", "linear", "tree"]
    assert (display.best, display.max_seconds) == (search.best_index_, 1.0)
    np.testing.assert_array_equal(display.line_.get_xdata(), search.front_["seconds"])
    np.testing.assert_array_equal(display.line_.get_ydata(), search.front_["score"])
    assert sum(len(points.get_offsets()) for points in display.points_) == 3
    assert display.ax_.get_xscale() == "log"


def test_a_search_of_scikit_learn_has_a_front_if_it_knows_costs():
    grid = {"max_depth": [1, 2, 3]}
    scoring = {"accuracy": "accuracy", "neg_seconds": cost_scorer}
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, scoring=scoring, refit=False, cv=2)
    display = ParetoDisplay.from_estimator(search.fit(X, Y))
    np.testing.assert_array_equal(display.seconds, -search.cv_results_["mean_test_neg_seconds"])
    assert display.score_name == "accuracy"
    seconds, score = display.seconds, display.score
    for at in range(3):
        better = (seconds <= seconds[at]) & (score >= score[at])
        beaten = (better & ((seconds < seconds[at]) | (score > score[at]))).any()
        assert (at in display.front) == (not beaten)
    with pytest.raises(ValueError, match="one of the search's metrics accuracy, got 'f1'"):
        ParetoDisplay.from_estimator(search, score_name="f1")
    plain = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1]}, cv=2).fit(X, Y)
    with pytest.raises(ValueError, match="no costs"):
        ParetoDisplay.from_estimator(plain)
    with pytest.raises(TypeError, match="fitted ParetoSearchCV"):
        ParetoDisplay.from_estimator(DecisionTreeClassifier())


@pytest.mark.parametrize(("seconds", "scale"), [([0.02, 0.021, 0.022], "linear"), ([0.02, 0.2], "log")])
def test_times_that_hardly_differ_have_ticks_that_can_be_read(seconds, scale):
    places = np.arange(len(seconds))
    display = ParetoDisplay(
        seconds=np.array(seconds), score=places / 10, front=places, names=["tree"] * len(places)
    ).plot()
    assert display.ax_.get_xscale() == scale


def test_of_candidates_that_cannot_be_compiled_it_is_said():
    display = ParetoDisplay(
        seconds=np.array([np.inf]), score=np.array([0.9]), front=np.array([], dtype=int), names=["tree"]
    ).plot()
    display.figure_.canvas.draw()
    assert [text.get_text() for text in display.ax_.texts] == ["no candidate can be compiled"]


def test_of_several_metrics_of_a_race_that_which_is_named_is_drawn():
    scoring = {"accuracy": "accuracy", "loss": "neg_log_loss"}
    search = ParetoSearchCV(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": [1, 2, 4]},
        scoring=scoring,
        refit="accuracy",
        cv=2,
    ).fit(X, Y)
    assert ParetoDisplay.from_estimator(search).ax_.get_ylabel() == "accuracy"
    display = ParetoDisplay.from_estimator(search, score_name="loss")
    assert display.ax_.get_ylabel() == "loss"
    np.testing.assert_array_equal(display.score, search.cv_results_["mean_test_loss"])
    np.testing.assert_array_equal(display.front, _front(display.seconds, display.score))
    with pytest.raises(ValueError, match="one of the search's metrics accuracy, loss, got 'f1'"):
        ParetoDisplay.from_estimator(search, score_name="f1")


def test_settings_tried_for_a_network_are_drawn_by_loss_and_seconds():
    class Setting:
        rounding = (4, "exact")

    class Tried:
        setting = Setting()

        def __init__(self, seconds, loss, taken=False):
            self.seconds, self.loss, self.taken = seconds, loss, taken

    class Module:
        quantization_ = (Tried(2.0, 0.1), Tried(1.0, 0.3), Tried(3.0, 0.02, True), Tried(4.0, 0.2))

    class Estimator:
        quantized_module_ = Module()

    around = ParetoDisplay.from_estimator(make_pipeline(StandardScaler(), Estimator()))
    display = ParetoDisplay.from_estimator(Module())
    np.testing.assert_array_equal(around.seconds, display.seconds)
    assert display.front.tolist() == [1, 0, 2]
    np.testing.assert_allclose(display.score, [0.9, 0.7, 0.98, 0.8])
    assert display.best == 2
    assert set(display.names) == {"exact rounding"}


def test_agreement_is_whole_without_errors_and_above_its_bound_with_them(tree):
    """A prediction can bear a wrong lookup, and is not wrong without one. The estimator stays as it was."""
    rates = [2.0**-2, 2.0**-40]
    display = AgreementDisplay.from_estimator(tree, X, p_errors=rates, n_repeats=3)
    np.testing.assert_array_equal(display.p_errors, sorted(rates))
    assert display.agreement.shape == (2, 3)
    assert display.agreement[0].tolist() == [1.0] * 3
    np.testing.assert_allclose(display.bound, (1 - np.sort(rates)) ** tree.cost_.n_lookups)
    spread = np.sqrt(0.25 * 0.75 / (3 * len(X)))
    assert display.agreement[1].mean() > display.bound[1] - 6 * spread
    assert display.seconds[0] == tree.cost_.seconds
    assert not hasattr(tree, "fhe_circuit_")
    np.testing.assert_array_equal(display.line_.get_ydata(), display.agreement.mean(axis=1))
    assert display.cost_ax_ is not None
    assert display.plot(show_cost=False).cost_ax_ is None


@pytest.mark.parametrize("wrong", ["0.1", 0.1, [], [2**-40, 2.0], [0.0], [[0.1, 0.2]], [float("nan")]])
def test_rates_are_checked_before_anything_is_simulated(tree, wrong, monkeypatch):
    monkeypatch.setattr(type(tree), "compile", None)
    with pytest.raises(ValueError, match="p_error"):
        AgreementDisplay.from_estimator(tree, X, p_errors=wrong)
    with pytest.raises(ValueError, match=r"n_repeats= at least 1, got None and 2\.5"):
        AgreementDisplay.from_estimator(tree, X, n_repeats=2.5)


def test_the_bound_counts_the_lookups_that_rounding_is_made_of():
    """Approximate rounding has none, and makes rows differ that no error has met."""

    def bound_of(rounding):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(3), np.full(3, 60), label="x")
        rounded = builder.add(rounding, x, label="rounded")
        table = ops.Lookup(np.arange(17)[None], np.array([0]), step=4)
        return _bound(builder.finish(builder.add(table, rounded, label="table")), np.array([2**-6]))

    assert bound_of(ops.Truncate(2)).tolist() == [(1 - 2**-6) ** (3 + 3 * 2)]
    assert bound_of(ops.Round(2, method="exact")).tolist() == [(1 - 2**-6) ** (3 + 3 * 2)]
    assert bound_of(ops.Round(2, method="approximate")) is None


def test_without_a_bound_there_is_no_line():
    ones = np.ones((2, 3))
    display = AgreementDisplay(
        p_errors=ones[:, 0] / 4, agreement=ones, bound=None, seconds=ones[:, 0], n_rows=1
    ).plot()
    assert display.bound_ is None
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "agreement",
        "seconds a row",
    ]
    assert display.ax_.get_title() == "1 row, simulated"


def test_boundaries_are_predictions_of_a_grid_in_each_mode(linear):
    display = DecisionBoundaryDisplay.from_estimator(linear, X[:, :2], grid_resolution=6, eps=0.5)
    assert list(display.response) == ["disable", "simulate", "execute"]
    grid = np.stack([display.xx0.ravel(), display.xx1.ravel()], axis=1)
    assert grid.min(axis=0).tolist() == (X[:, :2].min(axis=0) - 0.5).tolist()
    assert grid.max(axis=0).tolist() == (X[:, :2].max(axis=0) + 0.5).tolist()
    predicted = linear.predict(grid).reshape(6, 6)
    for mode, found in display.response.items():
        np.testing.assert_array_equal(display.classes[found.astype(int)], predicted)
        assert not display.differs[mode].any()
    assert display.ax_.shape == (3,)
    assert display.ax_[2].get_title() == "encrypted\n36 of 36 rows equal"


def test_boundaries_of_one_mode_have_one_axes(linear):
    _, ax = plt.subplots()
    display = DecisionBoundaryDisplay.from_estimator(
        linear, X[:, :2], fhe="disable", grid_resolution=4, ax=ax
    )
    assert display.ax_ is ax
    assert ax.get_title() == "LogisticRegression, in the clear"
    with pytest.raises(ValueError, match="1 modes to draw, and ax= has 2 axes"):
        display.plot(plt.subplots(1, 2)[1])


def test_boundaries_of_pipelines_and_frames_have_their_names():
    frame = pd.DataFrame(X[:, :2], columns=["long", "wide"])
    pipe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(frame, Y > 0)
    display = DecisionBoundaryDisplay.from_estimator(
        pipe, frame, fhe="disable", grid_resolution=4, response_method="predict_proba"
    )
    grid = pd.DataFrame({"long": display.xx0.ravel(), "wide": display.xx1.ravel()})
    np.testing.assert_array_equal(display.response["disable"].ravel(), pipe.predict_proba(grid)[:, 1])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("long", "wide")
    assert display.classes is None


def legend_of(display):
    """Return the names and the colours that are shown."""
    legend = display.figure_.axes[0].get_legend()
    return {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }


def test_clusters_are_told_apart_as_classes_are():
    model = KMeans(3, n_init=1, random_state=0).fit(X[:, :2])
    display = DecisionBoundaryDisplay.from_estimator(model, X[:, :2], fhe="disable", grid_resolution=5)
    assert display.classes.tolist() == [0, 1, 2]
    assert len(set(legend_of(display).values())) == 3


@pytest.mark.parametrize(("n_classes", "cmap"), [(3, None), (3, "viridis"), (9, None), (25, None)])
def test_every_class_has_a_colour_of_its_own_and_the_legend_tells_it(n_classes, cmap):
    found = np.arange(n_classes, dtype=float)[None]
    xx0, xx1 = np.meshgrid(np.arange(n_classes), [0.0])
    names = np.array([f"{i}, $ or \\frac{{$" for i in range(n_classes)])
    display = DecisionBoundaryDisplay(
        xx0=xx0, xx1=xx1, response={"disable": found}, classes=names, xlabel="$ $\\frac{$" + "x" * 99
    ).plot(**({} if cmap is None else {"cmap": cmap}))
    display.figure_.canvas.draw()
    colors = display.surface_[0].get_facecolors()
    assert len(np.unique(colors, axis=0)) == n_classes
    shown = legend_of(display)
    assert list(shown) == names.tolist()
    np.testing.assert_allclose(list(shown.values()), colors)


def test_boundaries_of_frames_that_are_not_of_pandas_are_asked_by_name():
    class Frame:
        def __init__(self, data):
            self.data = data
            self.columns = list(data)

        def __array__(self, dtype=None, copy=None):
            return np.stack(list(self.data.values()), axis=1).astype(dtype)

    class Asked(LogisticRegression):
        def predict(self, rows, fhe=None):
            assert isinstance(rows, Frame)
            return super().predict(np.asarray(rows, dtype=float), fhe=fhe)

    model = Asked(max_iter=300).fit(X[:, :2], Y)
    frame = Frame({"long": X[:, 0], "wide": X[:, 1]})
    display = DecisionBoundaryDisplay.from_estimator(model, frame, fhe="disable", grid_resolution=4)
    assert display.xlabel == "long"


def test_boundaries_that_cannot_be_drawn_are_refused(linear, tree):
    with pytest.raises(ValueError, match=r"two features, and X has the shape \(150, 4\)"):
        DecisionBoundaryDisplay.from_estimator(tree, X)
    with pytest.raises(ValueError, match="one or several different ones"):
        DecisionBoundaryDisplay.from_estimator(linear, X[:, :2], fhe="encrypted")
    with pytest.raises(ValueError, match="one number a row"):
        DecisionBoundaryDisplay.from_estimator(
            linear, X[:, :2], fhe="disable", grid_resolution=3, response_method="decision_function"
        )
    with pytest.raises(ValueError, match="PCA has no predict, nor anything else"):
        DecisionBoundaryDisplay.from_estimator(PCA(2).fit(X[:, :2]), X[:, :2], fhe="disable")
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match="grid_resolution="):
            DecisionBoundaryDisplay.from_estimator(linear, X[:, :2], grid_resolution=wrong)
    with pytest.raises(ValueError, match=r"shape \(0, 2\)"):
        DecisionBoundaryDisplay.from_estimator(linear, X[:0, :2])
    with pytest.raises(ValueError, match="got None"):
        DecisionBoundaryDisplay.from_estimator(linear, X[:, :2], fhe=None)
    fresh = LogisticRegression(max_iter=300).fit(X[:, :2], Y)
    with pytest.raises(NotCompiledError):
        DecisionBoundaryDisplay.from_estimator(fresh, X[:, :2], grid_resolution=3)
