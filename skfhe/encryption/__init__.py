"""Encryption and decryption of LWE ciphertexts, in NumPy.

The engine's own encryption draws random numbers on one core and slowly; this one makes and reads the very
ciphertexts that the engine computes on. It knows the parameters of ciphertexts, and neither programs nor
the engine.

**What is assumed.** Ciphertexts are LWE over the integers modulo 2**64 with binary secret keys: a mask *a*
of *n* uniform words, and the body ⟨a, s⟩ + m·2**(63 − w) + e with Gaussian noise *e*, or one such
ciphertext for each residue of *m*. They are secure
(IND-CPA) as far as LWE with these *n* and this variance is hard, and as AES-128 in counter mode is a
pseudorandom generator. Dimension and variance are those that the engine chose for the circuit, for 128 bits
of security by the Lattice Estimator; they are read from its description of the circuit (``ProgramInfo``),
and nothing here changes them. Secret keys are uniform bits, of the engine where there are lookups and else of
the operating system.

**Masks come from a public seed.** Each batch draws 16 bytes from the operating system, and its masks are
AES in counter mode under these bytes: a stream for each of its arrays, in which each ciphertext has its
place. Seed and bodies are sent, and who evaluates expands them, those of any rows. A mask is public in any
LWE ciphertext. That what it was expanded from is public, too, is the usual way of compressing ciphertexts:
it is safe if LWE is hard with masks from that generator, for which AES is taken to behave as an ideal cipher.
The seed tells nothing of key, noise or integers, which it has no part in.

**Noise is secret** and comes from another key, drawn from the operating system for every array and
forgotten at once. It is a normal number (Box and Muller, 53 bits, cut off at 8.57 standard deviations),
rounded to an integer.

**Results are rounded** to the bits that decryption needs (`skfhe.encryption._rounding`), by whoever
evaluates. That takes no key, so it cannot make them less secret.

**What is never used twice**: a seed with one number of an array, and a key of noise. Two ciphertexts with
one mask give away the difference of their integers. Nothing is kept between calls, so threads and forked
processes have no state that they could repeat; it is for the operating system that its random numbers
differ.

**What is secret**: keys, noise and integers. They are neither written, logged nor shown. **What is not
claimed**: that anything here takes constant time, or that secrets are erased from memory after use.
Ciphertexts are not authenticated.
"""

from skfhe.encryption._ciphertext_parameters import WORD_BYTES, CiphertextParameters, read_parameters
from skfhe.encryption._frame import Frame, Words
from skfhe.encryption._lwe import Seeded, decrypt, encrypt, expand
from skfhe.encryption._random import SEED_BYTES, new_seed
from skfhe.encryption._rounding import (
    bits_to_keep,
    n_packed,
    pack_bits,
    rounded,
    rounding_variance,
    unpack_bits,
)
from skfhe.encryption._sealing import SEAL_BYTES, new_protection, seal, unseal
from skfhe.encryption._security import smallest_variance

__all__ = [
    "SEAL_BYTES",
    "SEED_BYTES",
    "WORD_BYTES",
    "CiphertextParameters",
    "Frame",
    "Seeded",
    "Words",
    "bits_to_keep",
    "decrypt",
    "encrypt",
    "expand",
    "n_packed",
    "new_protection",
    "new_seed",
    "pack_bits",
    "read_parameters",
    "rounded",
    "rounding_variance",
    "seal",
    "smallest_variance",
    "unpack_bits",
    "unseal",
]
