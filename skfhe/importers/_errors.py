"""How far operators are from torch at 8 bits, as ``benchmarks.networks.operators --write`` measured."""

__all__ = ["ERRORS"]

ERRORS: dict[str, tuple[float, bool]] = {}
