"""Networks of series: recurrent layers, their cells, and integers that stand for words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.specimen import Network, function, network

SERIES = (3, 2)
"""Steps of a row, and features of each."""


class LastState(nn.Module):
    """What a linear layer says of a recurrent layer's last output."""

    def __init__(self, layer: nn.Module, n_read: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(n_read, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class StepsFirst(nn.Module):
    """A recurrent layer that takes the steps first; returns its outputs, rows first again, and its state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(2, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outputs, (hidden, _) = self.layer(x.transpose(0, 1))
        return outputs.transpose(0, 1), hidden[-1]


class Cells(nn.Module):
    """A cell, step by step, with a state that starts at zero."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.size(0), self.cell.hidden_size)
        given = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        for step in x.unbind(dim=1):
            given = self.cell(step, given)
        return given[0] if isinstance(given, tuple) else given


class Elman(nn.Module):
    """A recurrent network written out, which returns all of its states."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.state = nn.Linear(2, 3), nn.Linear(3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        state, states = torch.zeros(x.shape[0], 3, dtype=x.dtype), []
        for i in range(x.shape[1]):
            state = torch.tanh(self.step(x[:, i]) + self.state(state))
            states.append(state)
        return torch.stack(states, dim=1)


class Words(nn.Module):
    """An embedding of integers, and a network of its rows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.embedding, self.inner = nn.Embedding(5, 3), inner

    def forward(self, words: Tensor) -> Tensor:
        return self.inner(self.embedding(words))


class MeanOfSteps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean(dim=1))


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        rows = functional.one_hot(x.long(), 5).flatten(1)
        return self.head(rows.to(self.head.weight.dtype))


class ConvolvedThenRecurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv1d(2, 2, 2), nn.GRU(2, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.conv(x.mT)).mT)[1].squeeze(0)


def smoothed(x: Tensor) -> Tensor:
    """Exponential smoothing, and sums so far."""
    level, levels = x[:, 0], []
    for i in range(x.shape[1]):
        level = 0.6 * level + 0.4 * x[:, i]
        levels.append(level)
    return torch.relu(torch.stack(levels, dim=-1) - x.cumsum(dim=1) / 4)


def recurrent() -> list[Network]:
    first, bound = {"batch_first": True}, {"bound": 0.4}
    words = {"integers": 5}
    return [
        network("LSTM", lambda: LastState(nn.LSTM(2, 2, **first), 2), SERIES, **bound, slow=True),
        network("GRU", lambda: LastState(nn.GRU(2, 2, **first), 2), SERIES, **bound, slow=True),
        network("RNN", lambda: LastState(nn.RNN(2, 3, **first), 3), SERIES, **bound),
        network(
            "RNN of ReLUs",
            lambda: LastState(nn.RNN(2, 3, nonlinearity="relu", **first), 3),
            SERIES,
            **bound,
            slow=True,
        ),
        network(
            "LSTM, two ways",
            lambda: LastState(nn.LSTM(2, 2, bidirectional=True, **first), 4),
            SERIES,
            slow=True,
            **bound,
        ),
        network(
            "GRU of two layers", lambda: LastState(nn.GRU(2, 2, 2, **first), 2), SERIES, slow=True, **bound
        ),
        network(
            "LSTM with a projection",
            lambda: LastState(nn.LSTM(2, 3, proj_size=2, **first), 2),
            SERIES,
            slow=True,
            **bound,
        ),
        network("LSTM, steps first", StepsFirst, SERIES, **bound, slow=True),
        network("LSTMCell", lambda: Cells(nn.LSTMCell(2, 2)), SERIES, **bound, slow=True),
        network("GRUCell", lambda: Cells(nn.GRUCell(2, 2)), SERIES, **bound, slow=True),
        network("RNNCell", lambda: Cells(nn.RNNCell(2, 3)), SERIES, **bound),
        network("recurrence by hand", Elman, SERIES, **bound),
        network("convolution, then GRU", ConvolvedThenRecurrent, SERIES, **bound, slow=True),
        network("embedding, averaged", lambda: Words(MeanOfSteps()), (3,), bound=0.2, **words),
        network(
            "embedding, flattened", lambda: Words(nn.Sequential(nn.Flatten(), nn.Linear(6, 2))), (2,), **words
        ),
        network(
            "embedding, then GRU",
            lambda: Words(LastState(nn.GRU(3, 2, **first), 2)),
            (2,),
            **bound,
            **words,
            slow=True,
        ),
        network("one-hot rows", OneHot, (2,), **words),
        network("smoothing", function(smoothed), (4,)),
    ]
