"""Lookups, ciphertexts, threads and error rates, whatever model they serve."""
