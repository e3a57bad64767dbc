"""One value of a float network."""

from dataclasses import dataclass

from torch import Tensor

from skfhe.network._operations import Operation

__all__ = ["Node"]


@dataclass(eq=False)
class Node:
    """One value of a network.

    Parameters
    ----------
    operation : Operation
    arguments : tuple of Node
    name : str
        The operator, as the user's framework calls it.
    label : str
        Where it stands in the network.
    reference : Tensor of float64, shape (n_rows, *row)
        Its floats on the calibration rows.
    readers : int, default=0
        How many arguments of other nodes it is.
    """

    operation: Operation
    arguments: tuple["Node", ...]
    name: str
    label: str
    reference: Tensor
    readers: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.reference.shape[1:])
