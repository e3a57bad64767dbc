"""The ``skfhe`` command."""

from skfhe._cli.app import app, main

__all__ = ["app", "main"]
