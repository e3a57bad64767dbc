"""Machines that nobody has measured."""

from skfhe.cost import KINDS, Machine


def made_up(lookups=1e-10, threads=2, **seconds):
    """Return a machine whose lookups take so many seconds an operation, and all else a microsecond."""
    return Machine(
        name="made up",
        processor="none",
        cpus=2,
        threads=threads,
        measured="2026-01-01T00:00:00+00:00",
        engine="none",
        seconds=dict.fromkeys(KINDS, 1e-6) | seconds,
        operations={1024: (lookups, 1.5 * lookups), 4096: (2 * lookups, 2 * lookups)},
    )
