import numpy as np
import pytest
import torch
from torch import nn

from skfhe.neural_network.training import BudgetAnnealing, ClassifierNet, RegressorNet, merge_equal_rows


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


def test_merging_adds_up_weights_and_drops_rows_of_none():
    X = np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    y = np.array([1, 0, 1, 0])
    merged = merge_equal_rows(X, y, np.array([1.0, 0.0, 2.0, 4.0]))
    for found, expected in zip(merged, ([[1, 2], [1, 2]], [0, 1], [4, 3]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_annealing_ends_with_the_full_constraint():
    class Module:
        shares = []
        hidden = []

        def relax(self, share):
            self.shares.append(share)

    class Net:
        max_epochs, history, module_ = 8, [], Module()

    annealing = BudgetAnnealing(n_inputs=3, share=0.5)
    for _ in range(8):
        Net.history.append(None)
        annealing.on_epoch_begin(Net)
    assert Module.shares == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
