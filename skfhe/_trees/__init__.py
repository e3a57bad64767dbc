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
``leaf_covers``, ``threshold_covers``
    Other ways to cover trees: leaf by leaf, with digits as signs, and those of two values by thresholds.
``ensemble_cover``
    The lookups of a whole ensemble, of one width, those of equal indices together.
``cover_plan``
    Their width and the precision of the leaf values, the cheapest by the cost model. A `CoverPlan` holds
    the outcome.
``indicators``, ``indicator_plan``
    For several scores: lookups that say which leaf is reached, digits of leaf values as weights after them,
    and when that is faster than looking leaf values up.
``leaf_numbers``
    For ``leaves="index"``: plans that number the leaf of each tree.
``cover_program``
    The program of a plan.
"""
