"""The estimators of other libraries: how ours inherit from them, hold them, and convert them.

The *original* of an estimator is the library's class that trains it; the estimator's class names it in
``_original``, and lists in ``_own_params`` the parameters that it has beside the original's. The original
trains in an object of its own class, which never sees our methods. There are two ways to come by what it has
learnt:

inherited
    Our class inherits from the original, as all do whose original is of scikit-learn or LightGBM. What that
    has learnt is taken over attribute by attribute, so that everything of it is there. See ``inherited``.
held
    Our class has the parameters of the original and keeps the fitted one in ``model_``. That is for originals
    that do not bear inheritance, as those of XGBoost and CatBoost. See ``held``.

A class's ``_adopt`` does the one or the other. Training ends with it, and so does converting a fitted
original (``conversion``). ``signatures`` says what an ``__init__`` takes, ``fit_arguments`` checks what
``fit`` was given, ``docstrings`` fills in what docstrings say alike, and ``compat`` has the private names of
scikit-learn.

Add an estimator
----------------
An estimator of a family that is there is a class in the room that is called as the module of its original::

    @documented(LINEAR)
    class RidgeCV(LinearPredictorMixin, linear_model.RidgeCV):
        ...  # a docstring like those beside it: a summary, the sections to be filled in, an example

        _original = linear_model.RidgeCV
        __init__ = parameters_of(linear_model.RidgeCV, n_bits=8, range_margin=7.5)
        fit = method_of(linear_model.RidgeCV.fit)

1. Its name is the original's, and the room's face lists it in ``__all__``. So the tests of all estimators
   find it, those of scikit-learn's contract among them, and so does `conversion.estimator_for`.
2. The mixin of the family comes before the original. A tree or an ensemble implements ``_describe``, which
   reads the fitted original; a linear model is read from ``coef_`` and ``intercept_`` already.
3. Every public method of the original that trains becomes one of `inherited.method_of`. One that evaluates
   the float model has to be one of ours, or not to be there.
4. What several classes share is a mixin before that of the family. No class is more than two of ours away
   from the library's. Methods are written in a class and not assigned to it, but for `inherited.method_of`,
   which keeps their names: a pickled method is found by its name.
5. An original that does not bear inheritance is held: `held.HeldOriginalMixin` comes before the family's
   mixin, `sklearn.base.BaseEstimator` last, and ``__init__`` is one of `held.storing`.
6. A library that scikit-learn does not bring is an extra of its own, loaded when its estimator is first used,
   as in ``skfhe.boosting``; `conversion.ROOMS` says in which room its estimators are.

7. Its tests: a small one goes among the examples of the family, ``tests/_linear/examples.py`` or
   ``tests/_trees/examples.py``, where it is compared with its original and encrypted; one test there says
   which estimator has no example. What is its own is tested in the folder of its room.
8. Its half for a client is read by ``skfhe/deployment/_reading/estimators.py``, of which a test says whether
   it predicts alike; rows that are converted in a way of their own get a class beside those of
   ``skfhe/deployment/_library_rows.py``.
9. The tables of the README and of the family's page in ``docs`` name it, and the changelog does.

A new family has a shared room with an underscore, for its mixin and for what its docstrings say alike. The
mixin implements `skfhe.base.Trainable`: it trains an object of `inherited.as_original`, describes and lowers
what that has learnt to an `EncryptedModel`, and takes it over by `inherited.adopt`. Encoders, decoders and
heads are those of `skfhe.encoding` where these will do. The table of imports in
``tests/test_architecture.py`` gets a line for each new room.
"""
