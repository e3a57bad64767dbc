"""Stand-ins for what tests count: circuits that compute in the clear, and estimators that keep a log."""

import os
from types import SimpleNamespace

from skfhe.linear_model import LogisticRegression
from skfhe.program import run_batched


class CountedCircuit:
    """A circuit that evaluates in the clear and counts how often it is asked to do it encrypted."""

    def __init__(self, program, error_rate, configuration=None):
        self.program, self.error_rate = program, error_rate
        self.calls, self.shared, self.verbose = [], None, False
        self.cost = SimpleNamespace()

    def execute(self, *inputs):
        self.calls.append(len(inputs[0]))
        return run_batched(self.program, *inputs)

    def share(self, common):
        self.shared = common


class Logged(LogisticRegression):
    """Writes into a file, from whatever process, how it evaluates rows, and under whose keys."""

    def _scores_of_rows(self, rows, fhe):
        scores = super()._scores_of_rows(rows, fhe)
        key = id(self.fhe_circuit_.session.secret_keys)
        with open(os.environ["SKFHE_TEST_LOG"], "a") as log:
            print(os.getpid(), self._resolved(fhe), key, file=log)
        return scores
