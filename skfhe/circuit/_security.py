"""What is checked of a circuit before anything is encrypted for it that goes elsewhere.

Whoever says how long masks are and how wide noise is could do so that he can read ciphertexts, or find out
secret keys from ciphertexts or evaluation keys, and then read what is encrypted for other models under the
same keys. So whoever gets the description of a circuit from others does not take it on trust.
"""

import json
from collections.abc import Iterator
from itertools import chain

from skfhe.circuit._specs import CircuitSpecs, PartSpecs
from skfhe.encryption import smallest_variance

__all__ = ["check_security"]

_SLACK = 1e-6
_LARGEST_VARIANCE = 2.0**-12
"""Noise is drawn in double precision, as a fraction of the modulus, of which whole numbers are dropped: the
wider it is, the less is left. At a variance of 1e300 the engine's key switch keys have none at all."""
_KINDS = ("lweBootstrapKeys", "lweKeyswitchKeys", "packingKeyswitchKeys")
_MOST_BITS = 64
"""Of a word that is decomposed."""


def check_security(specs: CircuitSpecs) -> None:
    """Raise an error unless what is encrypted for a circuit, keys among it, is secure.

    Each has the noise that the dimension of its key asks for at 128 bits of security, and no more than can be
    drawn. Keys have the dimensions of those that they lead from and to, for the engine trusts what is stated.

    Parameters
    ----------
    specs : CircuitSpecs

    Raises
    ------
    ValueError
        Saying what is not.
    """
    for part in specs.parts:
        try:
            encrypted = list(_encrypted(part))
            lacking = [
                (what, stated)
                for what, dimension, stated, variance in encrypted
                if dimension != stated
                or not smallest_variance(dimension) * (1 - _SLACK) <= variance <= _LARGEST_VARIANCE
            ]
            fits = _fits(part)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("the circuit's description of keys and ciphertexts cannot be read") from error
        if lacking:
            what, dimension = lacking[0]
            raise ValueError(
                f"the circuit is not secure: {what} of dimension {dimension} have less noise than 128 bits "
                "of security need, or more than can be drawn, and others could read them. Do not use the "
                "model, and ask where it is from"
            )
        if not fits:
            raise ValueError("the circuit's description of keys states sizes that do not fit each other")


def _encrypted(part: PartSpecs) -> Iterator[tuple[str, int, int, float]]:
    """Yield what is encrypted: name, dimension of the key, dimension as it is stated, variance."""
    keyset = json.loads(part.parameters)["keyset"]
    dimensions = {key["id"]: key["params"]["lweDimension"] for key in keyset["lweSecretKeys"]}
    for form in part.forms("inputs"):
        yield "ciphertexts", dimensions[form.key_id], form.dimension, form.variance
    for key in keyset["lweKeyswitchKeys"]:
        values = key["params"]
        stated = values["outputLweDimension"]
        yield "key switch keys", dimensions[key["outputId"]], stated, values["variance"]
    for name, kind in (("bootstrap keys", "lweBootstrapKeys"), ("packing keys", "packingKeyswitchKeys")):
        for key in keyset[kind]:
            values = key["params"]
            stated = values["glweDimension"] * values["polynomialSize"]
            yield name, dimensions[key["outputId"]], stated, values["variance"]


def _fits(part: PartSpecs) -> bool:
    """Whether keys have sizes that can be, and the dimensions of what they lead from."""
    keyset = json.loads(part.parameters)["keyset"]
    dimensions = {key["id"]: key["params"]["lweDimension"] for key in keyset["lweSecretKeys"]}
    names = ("levelCount", "baseLog", "glweDimension", "polynomialSize", "inputLweDimension")
    for key in chain(*(keyset[kind] for kind in _KINDS)):
        values = key["params"]
        sizes = {name: values[name] for name in names if name in values}
        if not (
            all(type(size) is int and size > 0 for size in sizes.values())
            and sizes["inputLweDimension"] == dimensions[key["inputId"]]
            and sizes["levelCount"] * sizes["baseLog"] <= _MOST_BITS
        ):
            return False
    return True
