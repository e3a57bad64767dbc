import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

from skfhe.neural_network import NeuralNetClassifier
from skfhe.neural_network._training import Annealing, ClassifierNet, RegressorNet, prune_inputs


def loss(net, scores, y, weight):
    return net.initialize().get_loss(scores, y, X={"sample_weight": torch.as_tensor(weight)})


def net(cls, criterion, **options):
    return cls(
        nn.Linear,
        module__in_features=3,
        module__out_features=3,
        criterion=criterion,
        criterion__reduction="none",
        **options,
    )


def test_unit_weights_give_the_criterion_s_mean():
    """With class weights too, torch's own mean divides by the weights of the classes."""
    scores, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1])
    class_weight = torch.tensor([1.0, 2.0, 5.0])
    ours = loss(
        net(ClassifierNet, nn.CrossEntropyLoss, criterion__weight=class_weight), scores, y, np.ones(6)
    )
    torch.testing.assert_close(ours, nn.CrossEntropyLoss(weight=class_weight)(scores, y))
    scores, y = torch.randn(6, 2), torch.randn(6, 2)
    torch.testing.assert_close(
        loss(net(RegressorNet, nn.MSELoss), scores, y, np.ones(6)), nn.MSELoss()(scores, y)
    )


@pytest.mark.parametrize("weight", [[2.0, 0.0, 1.0], [0.5, 3.0, 1.0]])
def test_weights_weigh_the_rows(weight):
    scores, y = torch.randn(3, 2), torch.tensor([0, 1, 1])
    each = nn.CrossEntropyLoss(reduction="none")(scores, y).numpy()
    ours = loss(net(ClassifierNet, nn.CrossEntropyLoss), scores, y, weight)
    np.testing.assert_allclose(ours.numpy(), np.average(each, weights=weight), rtol=1e-6)


@pytest.mark.parametrize(("max_epochs", "annealed"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (60, 15)])
def test_a_quarter_of_the_epochs_anneals_and_one_at_least_follows(max_epochs, annealed):
    assert Annealing.of(max_epochs, n_inputs=3) == Annealing(annealed, 3)


class Recorder(Callback):
    """Writes down what a user's callback sees."""

    def __init__(self):
        self.seen = []

    def on_epoch_begin(self, net, **kwargs):
        layer = net.module_.hidden[0].linear
        quantizer = layer.weight_quant.tensor_quant
        bounded = hasattr(quantizer, "budget")
        settled = not bounded or quantizer.relaxed_budget == quantizer.budget
        self.seen.append((len(net.history), layer.in_features, settled))

    def on_epoch_end(self, net, **kwargs):
        assert list(net.history[:, "epoch"]) == list(range(1, len(net.history) + 1))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.gradients = getattr(self, "gradients", 0) + 1


@pytest.mark.parametrize("kind", ["bounded", "wrapping"])
def test_callbacks_are_called_from_when_the_constraint_holds_and_history_begins_there(iris, kind):
    """Whatever a callback monitors or keeps, it belongs to the network that training ends with."""
    recorder = Recorder()
    options = {"module__accumulator": kind, "max_epochs": 8, "callbacks": [recorder], "random_state": 0}
    model = NeuralNetClassifier(**options).fit(*iris)
    n_inputs = model.module_.hidden[0].linear.in_features
    assert n_inputs < len(model.module_.encoder.thresholds)
    assert recorder.seen == [(epoch, n_inputs, True) for epoch in range(1, 7)]
    assert recorder.gradients == 8 * 5
    assert len(model.net_.history) == 6
    assert len(model.net_.annealing_history) == 2
    assert model.n_iter_ == len(model.loss_curve_) == 8


@pytest.mark.parametrize("load_best", [False, True])
def test_early_stopping_of_skorch_counts_from_when_the_budgets_have_settled(load_best):
    """While budgets shrink the loss rises, which is no reason to stop, and weights of then fit no more."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    stopping = EarlyStopping(load_best=load_best)
    options = {"max_epochs": 40, "callbacks": [stopping], "train_split": ValidSplit(5), "random_state": 0}
    model = NeuralNetClassifier(**options).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.93
    assert model.n_iter_ >= 10 + stopping.patience
    assert model.encoder_.n_bits <= 8 * model.module_.output.in_features


def test_a_checkpoint_that_is_loaded_in_the_end_fits_the_network(iris, tmp_path):
    keep = Checkpoint(dirname=tmp_path, load_best=True)
    options = {"max_epochs": 12, "callbacks": [keep], "train_split": ValidSplit(3), "random_state": 0}
    model = NeuralNetClassifier(**options).fit(*iris)
    best = int(np.argmin(model.net_.history[:, "valid_loss"]))
    assert model.net_.history[best, "valid_loss_best"]
    weights = torch.load(tmp_path / "params.pt")
    torch.testing.assert_close(model.module_.state_dict(), weights)


def test_a_schedule_of_the_user_replaces_the_estimator_s(iris):
    schedule = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    model = NeuralNetClassifier(max_epochs=4, callbacks=[schedule], random_state=0).fit(*iris)
    assert model.net_.history[:, "event_lr"] == [0.01, 0.005, 0.0025]


def test_an_interrupted_training_warns_and_leaves_a_network_that_keeps_the_constraint(iris):
    class Interrupting(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        model = NeuralNetClassifier(max_epochs=8, callbacks=[Interrupting()], random_state=0).fit(*iris)
    assert max(model.accumulator_bits_) <= 4
    assert len(model.predict(iris[0])) == 150


# Optimizers


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("LBFGS", {"lr": 0.1, "batch_size": 200, "max_epochs": 12}),
        ("Adafactor", {"lr": 0.05}),
        ("Adagrad", {"lr": 0.05}),
        ("ASGD", {"lr": 0.3}),
        ("NAdam", {}),
        ("RMSprop", {}),
        ("SGD", {"lr": 0.1, "optimizer__momentum": 0.9}),
    ],
)
def test_every_kind_of_optimizer_survives_the_cut_of_the_inputs_and_learns(optimizer, options, iris):
    X, y = iris
    cls = getattr(torch.optim, optimizer)
    model = NeuralNetClassifier(**{"optimizer": cls, "max_epochs": 20, "random_state": 0} | options)
    assert model.fit(X, y).score(X, y) > 0.8
    assert model.encoder_.n_bits <= 16


@pytest.mark.parametrize("optimizer", ["AdamW", "Adafactor", "LBFGS"])
def test_state_that_cannot_be_cut_begins_anew_and_a_schedule_goes_on(optimizer, iris):
    model = NeuralNetClassifier(optimizer=getattr(torch.optim, optimizer), max_epochs=1, random_state=0)
    net = model.fit(*iris).net_
    weight = net.module_.hidden[0].linear.weight
    owner = net.optimizer_
    owner.param_groups[0]["lr"] = 0.125
    before = dict(owner.state[weight])
    kept = net.module_.rank_inputs(5)
    prune_inputs(net, 5)
    assert net.optimizer_ is owner
    assert owner.param_groups[0]["lr"] == 0.125
    if optimizer == "AdamW":
        torch.testing.assert_close(owner.state[weight]["exp_avg"], before["exp_avg"][:, kept])
    else:
        assert "row_var" not in owner.state[weight]
        assert "old_dirs" not in owner.state[owner.param_groups[0]["params"][0]]
