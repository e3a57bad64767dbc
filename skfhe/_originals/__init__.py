"""The estimators of other libraries: how ours inherit from them, hold them, and convert them.

The *original* of an estimator is the library's class that trains it; the estimator's class names it in
``_original``, and lists in ``_own_params`` the parameters that it has beside the original's. The original
trains in an object of its own class, which never sees our methods. There are two ways to come by what it has
learnt:

inherited
    Our class inherits from the original, as all of scikit-learn's and LightGBM's. What the original has
    learnt is taken over attribute by attribute, so that everything of it is there. See `inherited`.
held
    Our class has the parameters of the original and keeps the fitted one in ``model_``, where the original's
    class does not bear inheritance, as XGBoost's and CatBoost's. See `held`.

A class's ``_adopt`` is the one or the other. Training ends with it, and so does converting a fitted original
(`conversion`). `signatures` says what an ``__init__`` takes, `fit_arguments` checks what ``fit`` was given,
`docstrings` fills in what estimators say alike, and `compat` has every private name of scikit-learn.
"""
