"""Bars and records: what they say, when they are silent, and what they never say."""

import logging
import re
from contextlib import suppress

import numpy as np
import torch
import tqdm.auto

import skfhe
from skfhe._telling import progress
from skfhe.circuit import compile_program
from skfhe.linear_model import LogisticRegression
from skfhe.model_selection import ErrorRateSearch, ParetoSearchCV
from skfhe.neural_network import NeuralNetClassifier

SMALL = {"max_epochs": 3, "random_state": 0}


def bars(text):
    """Return what stands before each bar that was shown, and how far it came."""
    last = {}
    for line in re.split(r"[\r\n]+", text):
        found = re.search(r"([a-zA-Z][^|:]*): *(?:(\d+)%\||(\d+)([a-z]+) \[)", line)
        if found:
            last[found[1]] = found[2] or f"{found[3]} {found[4]}"
    return last


def test_nothing_is_shown_or_loaded_unless_it_is_asked_for(monkeypatch, classifier, iris, capsys):
    def refuse(*args, **options):
        raise AssertionError("a bar was made")

    monkeypatch.setattr(tqdm.auto, "tqdm", refuse)
    NeuralNetClassifier(**SMALL).fit(*iris)
    classifier.predict(iris[0][:1], fhe="execute")
    assert capsys.readouterr() == ("", "")


def test_what_takes_long_shows_a_bar(small_program, iris, capsys, monkeypatch):
    """Training, searches, compiling, keys and rows; estimates are said to be such."""
    X, y = iris
    with skfhe.config_context(progress=True):
        NeuralNetClassifier(**SMALL).fit(X, y)
        ParetoSearchCV(LogisticRegression(max_iter=200), {"n_bits": [3, 4]}, cv=2).fit(X, y)
        circuit = compile_program(small_program, batch_sizes=(1, 4))
        circuit.execute(np.zeros((5, 6), dtype=np.int64))
    shown = bars(capsys.readouterr().err)
    assert shown["training NeuralNetClassifier"] == shown["candidates"] == shown["compiling"] == "100"
    assert shown["keys, about a second"] == shown["encrypted rows"] == "100"
    monkeypatch.setattr(ErrorRateSearch, "_candidates", lambda self, model: [2.0**-40, 2.0**-20])
    with skfhe.config_context(progress=True):
        logistic = LogisticRegression(max_iter=200).fit(X, y)
        ErrorRateSearch(logistic, n_repeats=1, random_state=0).fit(X, y)
        net = torch.nn.Sequential(torch.nn.Linear(4, 2))
        skfhe.compile_torch_model(net, X.astype(np.float32))
    shown = bars(capsys.readouterr().err)
    assert shown["p_error tried"].endswith("candidate")
    assert shown["settings tried"].endswith("setting")


def test_a_call_can_ask_for_bars_by_itself(small_program, iris, capsys):
    model = LogisticRegression(max_iter=200).fit(*iris)
    model.compile(verbose=True)
    model.predict(iris[0][:9], fhe="execute")
    shown = bars(capsys.readouterr().err)
    assert shown == {"compiling": "100", "encrypted rows": "100", "keys": "100"} or shown == {
        "compiling": "100",
        "encrypted rows": "100",
    }
    assert not skfhe.get_config()["progress"]


def test_a_bar_ends_with_what_it_counts(capsys):
    """An error within the block is the block's, and the bar is left as it is."""
    with suppress(ZeroDivisionError), skfhe.config_context(progress=True), progress("trial", 2) as done:
        done(1)
        1 / 0  # noqa: B018
    assert bars(capsys.readouterr().err) == {"trial": "50"}


def test_where_nothing_can_be_shown_work_goes_on(monkeypatch):
    """Services are often started without standard error."""
    monkeypatch.setattr("sys.stderr", None)
    with skfhe.config_context(progress=True), progress("trial", 2) as done:
        done(2)


def test_nobody_hears_of_it_who_has_not_configured_logging(iris, capfd):
    logger = logging.getLogger("skfhe")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert not logger.isEnabledFor(logging.INFO)
    LogisticRegression(max_iter=200).fit(*iris)
    assert capfd.readouterr() == ("", "")


def test_records_say_what_was_done_and_hold_no_row_and_no_key(small_program, iris, caplog):
    """Read are all that a run leaves, from training to decryption: texts, and what they were made of."""
    X, y = iris
    X = X + np.linspace(0.0123456, 0.0654321, X.size).reshape(X.shape)  # values that nothing else has
    caplog.set_level(logging.DEBUG, logger="skfhe")
    network = NeuralNetClassifier(**SMALL).fit(X, y)
    assert network.n_iter_ == 3
    model = LogisticRegression(max_iter=200).fit(X, y)
    circuit = model.compile()
    scores = model.predict_proba(X[:2], fhe="execute")
    with_lookups = compile_program(small_program, batch_sizes=(1,))
    with_lookups.execute(np.ones((1, 6), dtype=np.int64))
    records = [record for record in caplog.records if record.name.startswith("skfhe")]
    texts = [record.getMessage() for record in records]
    begun = ("NeuralNetClassifier.fit: trained 3 epochs and lowered in", "LogisticRegression.fit: trained")
    begun += ("compiled in", "generated 1 sets of keys", "encrypted 2 rows", "evaluated 2 encrypted rows")
    begun += ("decrypted 2 rows",)
    for start in begun:
        assert any(text.startswith(start) for text in texts), (start, texts)
    assert {record.levelno for record in records} == {logging.INFO}
    said = "\n".join([*texts, *(repr(record.args) for record in records)])
    for value in [*X[:2].ravel(), *scores.ravel()]:
        assert not any(f"{value:.{digits}f}" in said for digits in (4, 5, 6))
    for each in (circuit, with_lookups):
        for words in (each.session.secret_keys.of(part.parameters) for part in each.compiled.specs.parts):
            bits = "".join(str(bit) for key in words for bit in key[:24])
            assert bits[:24] not in said
    for record in records:
        assert all(isinstance(value, int | float | str | list) for value in record.args)
        assert record.exc_info is None


def test_numbers_are_made_for_the_log_alone(monkeypatch, iris):
    """Costs are not computed for a record that nobody reads."""
    monkeypatch.setattr(LogisticRegression, "cost_", property(lambda self: 1 / 0))
    LogisticRegression(max_iter=200).fit(*iris)
