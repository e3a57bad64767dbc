"""What can go wrong in workers and in the store of keys."""

__all__ = [
    "QuotaExceededError",
    "RunTimeoutError",
    "UnknownKeysError",
    "WorkerDiedError",
    "WorkersUnavailableError",
]


class WorkerDiedError(RuntimeError):
    """Two workers ended while they ran a batch."""


class RunTimeoutError(RuntimeError):
    """A batch was not finished in time, and its worker was ended."""


class WorkersUnavailableError(RuntimeError):
    """No worker can be started at present."""


class UnknownKeysError(LookupError):
    """Evaluation keys are not in the store."""


class QuotaExceededError(RuntimeError):
    """There is no room for more evaluation keys."""
