"""The one place that imports concrete.

concrete-python announces the end of ``pkg_resources`` at import, which a user of skfhe can do nothing
about; the warning is silenced for that import alone.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from concrete import fhe
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
]
