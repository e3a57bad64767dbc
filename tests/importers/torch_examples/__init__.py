"""A network for each way of calling each operator of the table in torch."""

import torch

from tests.importers.torch_examples.example import RARE, Example, Function, errors, fresh_rows, rows
from tests.importers.torch_examples.of_arithmetic import of_arithmetic
from tests.importers.torch_examples.of_functions import of_activations, of_functions
from tests.importers.torch_examples.of_layers import of_layers
from tests.importers.torch_examples.of_movement import of_movement
from tests.importers.torch_examples.of_parts import of_parts

__all__ = ["EXAMPLES", "RARE", "Example", "Function", "errors", "fresh_rows", "rows"]


def _all() -> dict[str, list[Example]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {
            **of_layers(),
            **of_movement(),
            **of_arithmetic(),
            **of_functions(),
            **of_activations(),
            **of_parts(),
        }


EXAMPLES = _all()
