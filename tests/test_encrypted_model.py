"""One machinery evaluates a program between its edges, for estimators and imported networks alike."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from torch import nn

from skfhe.base import NotCompiledEstimatorError
from skfhe.cost import ErrorRate
from skfhe.encoding import AffineDecoder, AffineEncoder, AffineQuantizer, Values
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import CompilationError, NotCompiledError
from skfhe.importers import quantize_torch_model
from skfhe.linear_model import LogisticRegression
from skfhe.neural_network import NeuralNetClassifier
from skfhe.program import ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier


def model_of(weight, head=None):
    """A program of one product, of integers from -8 to 7 that stand for halves."""
    quantizer = AffineQuantizer(n_bits=4, signed=True, scale=0.5)
    builder = ProgramBuilder()
    x = builder.input(np.full(len(weight), -8), np.full(len(weight), 7), label="features")
    y = builder.add(
        ops.Linear(np.asarray(weight), np.zeros(len(weight[0]), dtype=np.int64)), x, label="scores"
    )
    decoder = AffineDecoder(np.full(len(weight[0]), 0.5), np.zeros(len(weight[0])))
    return EncryptedModel(AffineEncoder([(0, quantizer)]), builder.finish(y), decoder, head)


def test_all_modes_give_the_same_scores():
    model = model_of([[1, 2], [-3, 1]], Values()).compiled(ErrorRate())
    X = np.array([[1.0, -1.0], [0.5, 3.5], [-4.0, 0.0]])
    clear = model.scores(X)
    np.testing.assert_array_equal(clear, X @ [[1, 2], [-3, 1]])
    for fhe in ("simulate", "execute"):
        np.testing.assert_array_equal(model.scores(X, fhe=fhe), clear)


def test_compiling_leaves_the_model_as_it_was():
    """So a copy of an estimator that is compiled anew does not change the one that it was copied from."""
    model = model_of([[1]])
    compiled = model.compiled(ErrorRate(2.0**-20))
    assert model.circuit is None
    assert compiled.circuit.error_rate == ErrorRate(2.0**-20)
    assert compiled.program is model.program
    fitted = DecisionTreeClassifier(max_depth=2).fit(*load_iris(return_X_y=True))
    other = copy.copy(fitted)
    other.compile()
    assert hasattr(other, "fhe_circuit_")
    assert not hasattr(fitted, "fhe_circuit_")


def test_what_needs_a_circuit_says_so_before_anything_is_encoded():
    model = model_of([[1]])
    with pytest.raises(NotCompiledError, match="call compile"):
        model.scores("no rows", fhe="execute")
    with pytest.raises(ValueError, match="fhe must be one of"):
        model.scores("no rows", fhe="encrypt")


def test_a_program_that_does_not_compile_says_what_to_turn():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**17 - 1), label="wide")
    y = builder.add(ops.Lookup(np.arange(2**17)[None] % 2, np.zeros(1, dtype=np.int64)), x, label="wide")
    model = EncryptedModel(model_of([[1]]).encoder, builder.finish(y), model_of([[1]]).decoder)
    with pytest.raises(CompilationError, match=r"reads 17 bits.*; lower the bits"):
        model.compiled(ErrorRate(), advice="lower the bits")


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        DecisionTreeClassifier(max_depth=2),
        NeuralNetClassifier(max_epochs=1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_every_family_has_its_edges_under_the_same_names(estimator):
    """Encoder, program, decoder and head in turn are what `predict` does."""
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    for name in ("encoder_", "program_", "decoder_", "head_", "fhe_circuit_"):
        assert not hasattr(estimator, name)
    model = estimator.fit(X, y)
    outputs = EncryptedModel(model.encoder_, model.program_, model.decoder_).evaluate(
        *model.encoder_.encode(X)
    )
    scores = model.decoder_.decode(*outputs)
    np.testing.assert_array_equal(model.head_.predict(scores), model.predict(X))
    np.testing.assert_array_equal(model.head_.predict_proba(scores), model.predict_proba(X))
    with pytest.raises(NotCompiledEstimatorError, match=f"this {type(model).__name__} has none") as error:
        model.predict(X, fhe="execute")
    assert isinstance(error.value, NotFittedError)


def test_an_imported_network_is_the_same_machinery():
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(60, 3))
    module = quantize_torch_model(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)), X, n_bits=3)
    model = EncryptedModel(module.encoder_, module.program_, module.decoder_)
    (found,) = model.scores(X)
    np.testing.assert_array_equal(found, module.forward(X))
    loaded = pickle.loads(pickle.dumps(module))
    np.testing.assert_array_equal(loaded.forward(X), module.forward(X))
    assert not hasattr(module, "fhe_circuit_")
