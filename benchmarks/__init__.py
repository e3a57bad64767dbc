"""Benchmarks: each module prints figures that the documentation quotes, and ``--help`` says how it is run.

``engine``
    What lookups, ciphertexts, threads and error rates are like, whatever model they serve.
``networks``
    Neural networks, trained here or imported: accuracy, accumulators, operators, speed of training.
``tabular``
    Linear and tree models: accuracy, speed, fits, and what scikit-learn's own tests say of them.
``deployment``
    Two machines: servers under load and faults, what they need, what travels, who learns what.
``jobs``
    Real tables and MNIST: what is reached within a budget of seconds a row.
``peers``
    The same beside other libraries, whose part runs in an environment of its own.

What all share: ``datasets``, and ``measure`` for timing and for the files in ``results/``.
"""
