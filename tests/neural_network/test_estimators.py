import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import skfhe
from skfhe.exceptions import AccumulatorBudgetError, NotCompiledError
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.program import run

QUICK = {"max_epochs": 5, "random_state": 0}
BOTH = [NeuralNetClassifier, NeuralNetRegressor]
BOUNDED = {"module__accumulator": "bounded"}
KINDS = {"wrapping": 3, "bounded": 4}
"""Kinds of accumulators, and the bits that lookups read of them where none are given."""


@parametrize_with_checks([NeuralNetClassifier(), NeuralNetRegressor(), NeuralNetClassifier(**BOUNDED)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


# Encrypted predictions


def test_encrypted_classes_and_probabilities_equal_the_clear_ones(classifier, iris):
    X = iris[0][::15]
    np.testing.assert_array_equal(classifier.predict(X, fhe="execute"), classifier.predict(X))
    np.testing.assert_array_equal(
        classifier.predict_proba(X[:2], fhe="execute"), classifier.predict_proba(X[:2])
    )


def test_encrypted_integers_equal_the_program(classifier, iris):
    inputs = classifier.encoder_.encode(iris[0][::15])
    encrypted = classifier.fhe_circuit_.execute(*inputs)
    for part, clear in zip(encrypted, run(classifier.program_, *inputs), strict=True):
        np.testing.assert_array_equal(part, clear)


def test_encrypted_regression_of_two_targets(regressor, diabetes):
    X = diabetes[0][:3]
    encrypted = regressor.predict(X, fhe="execute")
    assert encrypted.shape == (3, 2)
    np.testing.assert_array_equal(encrypted, regressor.predict(X))


def test_inputs_beyond_the_training_range_are_clipped_and_run_encrypted(classifier):
    """The quantizer clips them, so no accumulator can leave its interval."""
    far = np.array([[1e9, -1e9, 1e9, -1e9], [-1e9, 1e9, -1e9, 1e9]])
    np.testing.assert_array_equal(classifier.predict(far, fhe="execute"), classifier.predict(far))
    seen = classifier.encoder_.thresholds
    edge = np.array([max(seen.thresholds[seen.features == f], default=0) + 1 for f in range(4)])
    for far, near in zip(
        *(classifier.encoder_.encode(x) for x in (np.full((1, 4), 1e9), edge[None, :])), strict=True
    ):
        np.testing.assert_array_equal(far, near)


@pytest.mark.parametrize("options", [{}, {"module__n_layers": 1}, {"module__n_layers": 3}])
def test_outputs_fit_and_inputs_are_few(iris, options):
    """The two guarantees beside the accumulators': the output's width, and the thresholds that are sent."""
    X, y = iris
    model = NeuralNetClassifier(
        module__n_output_bits=5, module__n_thresholds_per_neuron=3, **options, **QUICK
    )
    model.fit(X, y)
    assert model.output_bits_[0] <= 5
    if model.module_.hidden:
        assert model.encoder_.n_bits <= 3 * model.module_.hidden[0].linear.out_features


def test_training_goes_on_after_the_inputs_were_cut(iris):
    """`partial_fit` and pickling know which inputs were left."""
    X, y = iris
    model = NeuralNetClassifier(**QUICK).fit(X, y)
    kept = model.module_.kept_bits
    assert len(kept) == 8 * 2 < len(model.module_.encoder.thresholds)
    for one in (model, pickle.loads(pickle.dumps(model))):
        before = one.predict_proba(X)
        one.partial_fit(X, y)
        assert one.module_.kept_bits.tolist() == kept.tolist()
        assert not np.array_equal(one.predict_proba(X), before)


@pytest.mark.parametrize("estimator", BOTH)
def test_a_network_without_skip_connection_runs_encrypted(estimator, iris):
    """One output, exactly, after a pickle, too."""
    X, y = iris
    model = estimator(module__skip_connection=False, module__n_hidden_neurons_multiplier=0.25, **QUICK)
    model.fit(X, y)
    assert len(model.output_bits_) == 1
    assert 1 <= model.cost_.n_lookups <= 2
    model.compile()
    model = pickle.loads(pickle.dumps(model))
    inputs = model.encoder_.encode(X[::19])
    np.testing.assert_array_equal(model.fhe_circuit_.execute(*inputs)[0], run(model.program_, *inputs)[0])
    np.testing.assert_array_equal(model.predict(X[:2], fhe="execute"), model.predict(X[:2]))
    np.testing.assert_array_equal(model.predict(X, fhe="simulate"), model.predict(X))


def test_a_skip_connection_learns_what_two_neurons_cannot():
    """A linear function of 16 features: two neurons see a few thresholds, the levels carry all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 16))
    y = X @ np.linspace(-1, 1, 16)
    options = {"module__n_hidden_neurons_multiplier": 0.25, "max_epochs": 30, "random_state": 0}
    narrow, skipping = (
        NeuralNetRegressor(module__skip_connection=skip, **options).fit(X[:300], y[:300])
        for skip in (False, True)
    )
    assert skipping.score(X[300:], y[300:]) > 0.95 > narrow.score(X[300:], y[300:])


def test_simulation_at_the_default_rate_equals_clear(classifier, iris):
    np.testing.assert_array_equal(classifier.predict(iris[0], fhe="simulate"), classifier.predict(iris[0]))


def test_simulation_encrypts_nothing(classifier, iris, monkeypatch):
    monkeypatch.setattr(type(classifier.fhe_circuit_), "execute", None)
    assert len(classifier.predict(iris[0][:3], fhe="simulate")) == 3


def test_a_large_error_rate_shows_in_simulation(iris):
    X, y = iris
    model = NeuralNetClassifier(**QUICK).fit(X, y)
    model.compile(p_error=0.4)
    assert (model.predict_proba(X, fhe="simulate") != model.predict_proba(X)).any()
    assert model.cost_.complexity < NeuralNetClassifier(**QUICK).fit(X, y).cost_.complexity


def test_approximate_rounding_stays_within_one_rounded_unit(iris):
    """An accumulator of 5 bits rounded to 3 is off by one cell at most, so its lookup reads a neighbour.

    Rounding up can overflow 5 bits, so 4 bits would be read in the end, but for the circle, which has room.
    """
    X, y = iris
    rounding = {"n_bits": 3, "method": "approximate"}
    wide = {"module__n_accum_bits": 5, "module__n_thresholds_per_neuron": 16}
    model = NeuralNetClassifier(rounding_threshold_bits=rounding, **wide, **QUICK)
    model.fit(X, y).compile()
    assert max(model.accumulator_bits_) <= 5
    assert set(model.cost_.lookups) == {3}
    (position,) = model.program_.lookups
    tables = model.program_.values[position].op.tables
    jump = np.abs(np.diff(tables, axis=1, append=tables[:, :1])).max(axis=1)
    output = model.program_.values[model.program_.outputs[0]]
    bound = np.abs(output.op.weight.T) @ jump
    inputs = model.encoder_.encode(X[:6])
    encrypted, clear = model.fhe_circuit_.execute(*inputs), run(model.program_, *inputs)
    assert np.all(np.abs(encrypted[0] - clear[0]) <= bound)
    np.testing.assert_array_equal(encrypted[1], clear[1])


def test_exact_rounding_computes_the_clear_integers(iris):
    """Accumulators of 5 bits rounded to 3, encrypted: 3 bits are read, and no cell but the right one."""
    X, y = iris
    wide = {"module__n_accum_bits": 5, "module__n_thresholds_per_neuron": 16}
    model = NeuralNetClassifier(rounding_threshold_bits=3, **wide, **QUICK).fit(X, y)
    assert model.accumulator_bits_ == [5]
    assert set(model.cost_.lookups) == {3}
    model.compile()
    inputs = model.encoder_.encode(X[:4])
    encrypted, clear = model.fhe_circuit_.execute(*inputs), run(model.program_, *inputs)
    for ours, exact in zip(encrypted, clear, strict=True):
        np.testing.assert_array_equal(ours, exact)


# Training


def test_accuracy_on_held_out_iris(iris):
    scores = cross_val_score(NeuralNetClassifier(random_state=0), *iris, cv=3)
    assert scores.mean() > 0.92


@pytest.mark.parametrize("kind", KINDS)
def test_digits_at_narrow_accumulators(kind):
    X, y = load_digits(return_X_y=True)
    model = NeuralNetClassifier(module__accumulator=kind, random_state=0, max_epochs=15)
    model.fit(X[:1300], y[:1300])
    assert model.accumulator_bits_ == [KINDS[kind]]
    assert model.cost_.n_lookups <= {"wrapping": 13, "bounded": 19}[kind]
    assert model.score(X[1300:], y[1300:]) > 0.88


@pytest.mark.parametrize("estimator", BOTH)
def test_same_seed_same_program_to_the_bit(estimator, iris):
    X, y = iris
    first, second = (estimator(**QUICK).fit(X, y).program_ for _ in range(2))
    for a, b in zip(first.values, second.values, strict=True):
        for name, value in vars(a.op).items():
            np.testing.assert_array_equal(value, getattr(b.op, name))


def test_the_number_of_threads_does_not_matter(iris):
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = NeuralNetClassifier(**QUICK).fit(*iris).predict_proba(iris[0])
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        one = NeuralNetClassifier(**QUICK).fit(*iris).predict_proba(iris[0])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(one, two)


def test_fit_leaves_the_global_random_state_alone(iris):
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    NeuralNetClassifier(**QUICK).fit(*iris)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("estimator", BOTH)
def test_weights_mean_repetitions(estimator, iris):
    """Equal rows are merged before training, so a weight of 3 and three equal rows train alike."""
    X, y = iris
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = estimator(**QUICK).fit(X, y, sample_weight=weight)
    repeated = estimator(**QUICK).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


def test_class_weights_shift_predictions(iris):
    import torch

    X, y = iris
    heavy = torch.tensor([1.0, 1.0, 50.0])
    plain = NeuralNetClassifier(max_epochs=30, random_state=0).fit(X, y)
    weighted = NeuralNetClassifier(max_epochs=30, random_state=0, criterion__weight=heavy).fit(X, y)
    assert (weighted.predict(X) == 2).sum() >= (plain.predict(X) == 2).sum()
    assert (weighted.predict_proba(X)[:, 2]).mean() > (plain.predict_proba(X)[:, 2]).mean()


def test_partial_fit_improves_and_keeps_the_constraint(iris):
    X, y = iris
    model = NeuralNetClassifier(random_state=0)
    with pytest.raises(ValueError, match="classes must be given"):
        model.partial_fit(X, y)
    model.partial_fit(X, y, classes=[0, 1, 2])
    first = model.score(X, y)
    for _ in range(40):
        model.partial_fit(X, y)
        assert max(model.accumulator_bits_) <= 4
    assert model.score(X, y) > max(first, 0.85)
    with pytest.raises(ValueError, match=r"labels \[7\]"):
        model.partial_fit(X, np.full(len(X), 7))


def test_regression_learns():
    X, y = make_regression(300, 5, noise=1.0, random_state=0)
    assert NeuralNetRegressor(random_state=0).fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.6


def test_binary_labels_of_any_type(iris):
    X, y = iris
    names = np.array(["no", "yes"])[(y == 2).astype(int)]
    model = NeuralNetClassifier(max_epochs=20, random_state=0).fit(X, names)
    assert set(model.predict(X)) == {"no", "yes"}
    assert model.predict_proba(X).shape == (len(X), 2)


@pytest.mark.parametrize("n_accum_bits", [3, 6])
@pytest.mark.parametrize("n_w_bits", [2, 4])
def test_pruning_factor_bounds_every_neuron(iris, n_accum_bits, n_w_bits):
    model = NeuralNetClassifier(
        module__n_accum_bits=n_accum_bits, module__n_w_bits=n_w_bits, module__n_layers=3,
        module__n_a_bits=2, **BOUNDED, **QUICK,
    ).fit(*iris)  # fmt: skip
    assert model.pruning_factor_ == 2**n_accum_bits - 1
    assert model.module_.budgets == [2**n_accum_bits - 1, (2**n_accum_bits - 1) // 3]
    for layer, budget in zip(model.module_.hidden, model.module_.budgets, strict=True):
        integers = layer.linear.quant_weight().int()
        assert (integers != 0).sum(dim=1).max() <= budget
        assert integers.abs().sum(dim=1).max() <= budget
    assert max(model.accumulator_bits_) <= n_accum_bits


# scikit-learn around it


def test_grid_search_over_bits(iris):
    grid = {"module__n_w_bits": [2, 3], "module__n_a_bits": [2], "module__n_accum_bits": [3, 4]}
    search = GridSearchCV(NeuralNetClassifier(**QUICK), grid, cv=2).fit(*iris)
    assert len(search.cv_results_["params"]) == 4
    skfhe.compile(search)
    assert search.best_estimator_.accumulator_bits_[0] <= search.best_params_["module__n_accum_bits"]


def test_open_ended_parameters_survive_clone_and_set_params():
    model = NeuralNetClassifier(optimizer__weight_decay=0.1)
    assert clone(model).get_params()["optimizer__weight_decay"] == 0.1
    model.set_params(optimizer__weight_decay=0.2, module__n_w_bits=3)
    assert model.get_params()["optimizer__weight_decay"] == 0.2
    assert model.module__n_w_bits == 3
    with pytest.raises(ValueError, match="did you mean 'max_epochs'"):
        model.set_params(max_epoch=3)


def test_pipeline_compiles_and_predicts_encrypted(iris):
    X, y = iris
    pipe = make_pipeline(StandardScaler(), NeuralNetClassifier(**QUICK)).fit(X, y)
    circuit = skfhe.compile(pipe, X)
    assert pipe[-1].fhe_circuit_ is circuit
    np.testing.assert_array_equal(pipe.predict(X[:2], fhe="execute"), pipe.predict(X[:2]))
    with pytest.raises(TypeError, match="only estimators of skfhe"):
        skfhe.compile(make_pipeline(StandardScaler()))
    with pytest.raises(NotFittedError):
        skfhe.compile(GridSearchCV(NeuralNetClassifier(), {}))


def test_pandas_names_are_kept_and_checked(iris):
    X = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    model = NeuralNetClassifier(**QUICK).fit(X, iris[1])
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(X), model.predict(X.to_numpy()))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.rename(columns={"a": "z"}))


def test_a_compiled_estimator_pickles_without_keys(classifier, iris):
    text = pickle.dumps(classifier)
    assert len(text) < 200_000  # the evaluation keys alone take over 100 MB
    assert hasattr(classifier, "net_")  # pickling takes nothing away
    loaded = pickle.loads(text)
    X = iris[0][::40]
    np.testing.assert_array_equal(loaded.predict(X, fhe="execute"), classifier.predict(X))
    loaded.partial_fit(*iris)


def test_parameters_changed_after_fit_wait_for_the_next_fit(iris):
    """The network keeps what it was made with: it still pickles and predicts; only fit makes another."""
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    before = model.predict_proba(iris[0])
    model.set_params(module__n_layers=3, module__n_accum_bits=2)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(iris[0]), before)
    with pytest.raises(ValueError, match="module__n_accum_bits, module__n_layers changed"):
        model.partial_fit(*iris)
    assert max(model.fit(*iris).accumulator_bits_) <= 2


@pytest.mark.parametrize("estimator", BOTH)
def test_a_failed_fit_leaves_the_fitted_model_alone(estimator, iris):
    X, y = iris
    model = estimator(**BOUNDED, **QUICK).fit(X, y)
    before = model.predict(X)
    model.set_params(module__n_layers=3, module__n_accum_bits=1)
    with pytest.raises(AccumulatorBudgetError):
        model.fit(X, y + 10)
    np.testing.assert_array_equal(model.predict(X), before)


def test_partial_fit_of_a_regressor_learns_and_refuses_other_targets():
    X, y = make_regression(300, 5, noise=1.0, random_state=0)
    model = NeuralNetRegressor(random_state=0)
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.5
    with pytest.raises(ValueError, match=r"2 target\(s\).* fitted with 1"):
        model.partial_fit(X, np.column_stack([y, y]))


def test_fit_drops_the_circuit(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    model.compile()
    model.fit(*iris)
    assert not hasattr(model, "fhe_circuit_")
    with pytest.raises(NotCompiledError):
        model.predict(iris[0], fhe="execute")


# Bad input


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("module__n_w_bits", 0),
        ("module__n_w_bits", 2.5),
        ("module__n_a_bits", 0),
        ("module__n_a_bits", "3"),
        ("module__accumulator", "modulo"),
        ("module__n_accum_bits", 0),
        ("module__n_accum_bits", 17),
        ("module__n_layers", 0),
        ("module__n_hidden_neurons_multiplier", 0),
        ("module__activation_function", nn.Softmax),
        ("rounding_threshold_bits", 0),
        ("rounding_threshold_bits", {"n_bits": 3, "method": "roughly"}),
        ("max_epochs", 0),
        ("lr", -1.0),
        ("lr_schedule", "sine"),
        ("batch_size", 0),
        ("criterion", nn.Linear),
        ("criterion__reduction", "mean"),
    ],
)
def test_bad_parameters_are_named(estimator, name, value, iris):
    with pytest.raises(ValueError, match=name):
        estimator(**{name: value}).fit(*iris)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_epoch", "did you mean 'max_epochs'"),
        ("module__n_wbits", "did you mean 'module__n_w_bits'"),
        ("n_accum_bits", "did you mean 'module__n_accum_bits'"),
        ("n_bits", None),
        ("hidden_layer_sizes", None),
    ],
)
def test_unknown_parameters_are_refused_at_once_and_like_names_are_named(name, hint):
    with pytest.raises(TypeError, match=f"no parameter '{name}'") as refusal:
        NeuralNetClassifier(**{name: 3})
    assert ("did you mean" in str(refusal.value)) == bool(hint)
    assert (hint or "") in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer__weight_decy": 0.1}, "AdamW has no parameter 'weight_decy'"),
        ({"criterion__wieght": [1, 2, 3]}, "CrossEntropyLoss has no parameter 'wieght'"),
        ({"iterator_train__shufle": True}, "DataLoader has no parameter 'shufle'"),
        ({"iterator_train__collate_fn": len}, "iterator_train__collate_fn cannot be set"),
        ({"criterion__weight": [1.0, 2.0]}, "one number for each of the 3 classes"),
        ({"criterion__weight": "high"}, "one number a class"),
    ],
)
def test_parameters_that_are_passed_on_are_checked_before_training(options, message, iris):
    with pytest.raises(ValueError, match=message):
        NeuralNetClassifier(**options).fit(*iris)


@pytest.mark.parametrize("estimator", BOTH)
def test_a_width_that_no_network_can_meet_names_the_layer_and_the_remedy(estimator, iris):
    model = estimator(module__n_layers=3, module__n_a_bits=3, module__n_accum_bits=2, **BOUNDED)
    with pytest.raises(AccumulatorBudgetError, match=r"hidden layer 2.*smallest.* 3"):
        model.fit(*iris)
    assert estimator(module__n_layers=3, module__n_accum_bits=3, **BOUNDED, **QUICK).fit(*iris).program_
    with pytest.raises(AccumulatorBudgetError, match=r"output layer.*smallest module__n_output_bits.* 3"):
        estimator(module__n_output_bits=2).fit(*iris)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(estimator, bad, iris):
    X = iris[0].copy()
    X[3, 1] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        estimator(**QUICK).fit(X, iris[1])


def test_data_errors(classifier, iris):
    X, y = iris
    with pytest.raises(ValueError, match="features"):
        classifier.predict(X[:, :3])
    with pytest.raises(ValueError, match="1 class"):
        NeuralNetClassifier(**QUICK).fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="0 sample"):
        NeuralNetClassifier(**QUICK).fit(X[:0], y[:0])
    with pytest.raises(ValueError, match="zero"):
        NeuralNetClassifier(**QUICK).fit(X, y, sample_weight=np.zeros(len(X)))
    with pytest.raises(ValueError, match="1 class"):
        NeuralNetClassifier(**QUICK).fit(X, y, sample_weight=(y == 1).astype(float))


def test_state_errors(iris):
    X, y = iris
    for call in (lambda m: m.predict(X), lambda m: m.compile(), lambda m: m.cost_):
        with pytest.raises(NotFittedError):
            call(NeuralNetClassifier())
    model = NeuralNetClassifier(**QUICK).fit(X, y)
    for mode in ("simulate", "execute"):
        with pytest.raises(NotCompiledError, match="call compile"):
            model.predict(X, fhe=mode)
    with pytest.raises(ValueError, match="fhe must be one of 'disable', 'simulate', 'execute', got 'on'"):
        model.predict(X, fhe="on")


def test_compile_errors(iris):
    model = NeuralNetClassifier(**QUICK).fit(*iris)
    with pytest.raises(ValueError, match="both given"):
        model.compile(p_error=0.1, global_p_error=0.1)
    with pytest.raises(ValueError, match="must lie in"):
        model.compile(p_error=1.5)
    with pytest.raises(ValueError, match="features"):
        model.compile(iris[0][:, :2])
    assert not hasattr(model, "fhe_circuit_")
