"""A trained network on real data, and what it is compiled to."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from skfhe import compile_torch_model


def train(net, X, y, n_steps=200):
    """Train a classifier on all rows."""
    rows, targets = torch.from_numpy(X).float(), torch.from_numpy(y)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(n_steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(rows), targets).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="session")
def iris():
    """Standardized Iris."""
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.fixture(scope="session")
def iris_net(iris):
    """A float network on Iris, whose training accuracy is 0.98 or more."""
    torch.manual_seed(0)
    net = train(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), *iris)
    X, y = iris
    assert np.mean(net(torch.from_numpy(X).float()).argmax(dim=1).numpy() == y) >= 0.98
    return net


@pytest.fixture(scope="session")
def iris_module(iris_net, iris):
    """That network with integers of 2 bits, compiled; its lookups read 4."""
    return compile_torch_model(iris_net, iris[0], n_bits=2)
