"""From fitted estimators, modules and pipelines to what each machine needs of them.

The only side of the room that knows scikit-learn: `read_predictor` is imported by `skfhe.deployment.save`.
"""

from skfhe.deployment._reading.fitted import read_predictor
from skfhe.deployment._reading.reading import Reading

__all__ = ["Reading", "read_predictor"]
