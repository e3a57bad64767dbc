"""What the gallery does before each example."""

import multiprocessing
from typing import Any


def start_by_spawn(gallery_conf: Any, name: str) -> None:
    """Have processes that an example starts be started as those of a script are.

    Examples run in workers of joblib, whose own way of starting processes others do not know.
    """
    multiprocessing.set_start_method("spawn", force=True)
