"""The one place that imports concrete.

concrete-python announces the end of ``pkg_resources`` at import, which a user of skfhe can do nothing
about; the warning is silenced for that import alone.
"""

import atexit
import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from concrete import compiler, fhe
    from concrete.fhe.compilation.module_compiler import FunctionDef, ModuleCompiler
    from concrete.fhe.dtypes import Integer
    from concrete.fhe.representation import Graph, GraphProcessor, Operation

__all__ = [
    "FunctionDef",
    "Graph",
    "GraphProcessor",
    "Integer",
    "ModuleCompiler",
    "Operation",
    "fhe",
    "keep_exit_status",
]


def keep_exit_status(configuration: "fhe.Configuration") -> None:
    """Let the process end with its own exit status after an encrypted run.

    The engine shuts its dataflow runtime down when Python exits, and once anything has run encrypted that
    ends the process with status 0, whatever the program said: a failed test run or script would look like a
    success. The shutdown is needed only where that runtime is used.
    """
    if not (configuration.dataflow_parallelize or configuration.auto_parallelize):
        atexit.unregister(compiler._terminate_df_parallelization)
