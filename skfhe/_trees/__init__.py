"""Decision trees as programs: what all tree estimators share, whichever library grew the trees.

From a fitted model to its program, file by file:

``estimator``
    The estimators' common part. A subclass describes its fitted original.
``description``
    What it describes it by: raw trees, a bias, a rule of comparison and a head. From there to the program
    and its edges.
``scikit_learn``
    Reads the trees of scikit-learn; those of the boosting libraries are read in ``skfhe.boosting``.
``ensemble``
    `RawTree` is a tree as a library describes it; `collect` numbers the different splits of several, which
    makes each a `Tree` of one `TreeEnsemble`. Splits themselves, what a row is encoded by, are of
    ``skfhe.encoding``.
``comparisons``
    For ``n_bits=k``: the ensemble on levels, and the fastest way to send these.
``answers``
    How a program answers splits on levels from what is sent of them.
``subtrees``, ``search``, ``cover``
    The fewest lookups for one tree. ``subtrees`` lists the parts that one lookup may read, ``search`` chooses
    among them by dynamic programming, and ``cover`` says what pieces and gates are and reads the choice.
``cover_plan``
    The lookups of a whole ensemble: their width and the precision of the leaf values, the cheapest by the
    cost model. A `CoverPlan` holds the outcome.
``cover_program``
    The program of a plan.
"""
