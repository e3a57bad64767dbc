"""Pictures of what encryption costs, and of what it does to predictions, in scikit-learn's manner.

Each display is made by ``from_estimator``, has what it shows as attributes, and is drawn by ``plot``. They
take fitted estimators, pipelines that end in one, searches, and `skfhe.importers.QuantizedModule`. matplotlib
is needed for them: ``pip install "skfhe[plot]"``.
"""

from skfhe.inspection._accumulators import AccumulatorDisplay
from skfhe.inspection._agreement import AgreementDisplay
from skfhe.inspection._cost import CostDisplay
from skfhe.inspection._decision_boundary import DecisionBoundaryDisplay
from skfhe.inspection._pareto import ParetoDisplay
from skfhe.inspection._program import ProgramDisplay
from skfhe.inspection._request import RequestDisplay

__all__ = [
    "AccumulatorDisplay",
    "AgreementDisplay",
    "CostDisplay",
    "DecisionBoundaryDisplay",
    "ParetoDisplay",
    "ProgramDisplay",
    "RequestDisplay",
]
