"""Reading of fitted pipelines: steps for the client, then an estimator."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import sklearn.pipeline

from skfhe.deployment._reading.reading import Reading
from skfhe.deployment._reading.transformers import read_steps
from skfhe.deployment._steps.after_steps import AfterSteps
from skfhe.exceptions import UnsupportedModelError

__all__ = ["read_pipeline"]


def read_pipeline(
    fitted: Any, read_predictor: Callable[[Any], Reading], *, trusted: Collection[str] = ()
) -> Reading:
    """Return the client's half of a fitted pipeline.

    Parameters
    ----------
    fitted : sklearn.pipeline.Pipeline
    read_predictor : callable
        Reads the last step.
    trusted : collection of str
        Full names of types that are kept in skops' format where the client cannot compute a step by itself.

    Returns
    -------
    Reading

    Raises
    ------
    UnsupportedModelError
        If a step is neither computed by the client nor trusted, or the last step is no estimator.
    """
    if type(fitted) is not sklearn.pipeline.Pipeline:
        raise UnsupportedModelError(
            f"{type(fitted).__name__} is a subclass of Pipeline, and may mean something else. "
            "Make a plain Pipeline of its fitted steps: Pipeline(fitted.steps)."
        )
    *_, (name, last) = fitted.steps
    if last is None or last == "passthrough":
        raise UnsupportedModelError(
            f"The last step {name!r} of the pipeline is no estimator: there is nothing to encrypt."
        )
    reading = read_predictor(last)
    before = fitted[:-1]
    if all(step is None or step == "passthrough" for _, step in before.steps):
        return reading
    return Reading(AfterSteps(read_steps(before, trusted=trusted), reading.predictor), reading.members)
