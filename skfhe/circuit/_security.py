"""What is checked of a circuit before anything is encrypted for it that goes elsewhere.

Whoever says how long masks are and how wide noise is could do so that he can read ciphertexts, or find out
secret keys from ciphertexts or evaluation keys, and then read what is encrypted for other models under the
same keys. So whoever gets the description of a circuit from others does not take it on trust.
"""

import json
from collections.abc import Iterator

from skfhe.circuit._specs import CircuitSpecs, PartSpecs
from skfhe.encryption import smallest_variance

__all__ = ["check_security"]

_SLACK = 1e-6


def check_security(specs: CircuitSpecs) -> None:
    """Raise an error unless what is encrypted for a circuit, keys among it, is secure.

    Each has the noise that the dimension of its key asks for at 128 bits of security.

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
                if dimension != stated or not variance >= smallest_variance(dimension) * (1 - _SLACK)
            ]
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("the circuit's description of keys and ciphertexts cannot be read") from error
        if lacking:
            what, dimension = lacking[0]
            raise ValueError(
                f"the circuit is not secure: {what} of dimension {dimension} have less noise than 128 bits "
                "of security need, and others could read them. Do not use the model, and ask where it is from"
            )


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
