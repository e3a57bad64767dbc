"""Small Brevitas networks that several tests read."""

from typing import Any

import torch
from torch import nn

from skfhe.encoding import ThresholdEncoder
from skfhe.neural_network._budgeted_mlp import BudgetedMLP


def small_network(encoder: ThresholdEncoder, **options: Any) -> BudgetedMLP:
    """Return an untrained network of three outputs on the encoding ``encoder``."""
    defaults = {
        "n_outputs": 3,
        "n_hidden": 7,
        "n_layers": 2,
        "n_w_bits": 2,
        "n_a_bits": 2,
        "n_accum_bits": 4,
        "n_output_w_bits": 3,
        "n_output_bits": 6,
        "activation_function": nn.ReLU,
        "input_noise": 0.0,
        "skip_connection": True,
    }
    return BudgetedMLP(
        torch.as_tensor(encoder.features),
        torch.as_tensor(encoder.thresholds),
        torch.as_tensor(encoder.level_weights),
        **defaults | options,
    )
