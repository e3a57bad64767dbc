"""What can go wrong between a request and its results. Messages hold no data, and may be sent."""

__all__ = [
    "QuotaExceededError",
    "RunTimeoutError",
    "UnknownKeysError",
    "WorkerDiedError",
    "WorkersUnavailableError",
]


class WorkerDiedError(RuntimeError):
    """The process that ran a batch ended meanwhile, and so did the one that repeated it, if one did."""


class RunTimeoutError(RuntimeError):
    """Results did not come in time.

    Parameters
    ----------
    message : str
    killed : bool
        Whether the run itself took longer than any may, so that its process was ended; otherwise the caller
        did not wait longer.
    """

    def __init__(self, message: str, killed: bool) -> None:
        super().__init__(message)
        self.killed = killed


class WorkersUnavailableError(RuntimeError):
    """No process can take a run, now or soon: they are being stopped, or do not start."""


class UnknownKeysError(LookupError):
    """There are no evaluation keys of that id: they were never uploaded, or deleted, or not used for long."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there are no evaluation keys {key_id}; upload them, and repeat the request")


class QuotaExceededError(RuntimeError):
    """More keys than may be kept.

    Parameters
    ----------
    message : str
    limit : int
        Bytes, or number of key sets, that the message names.
    """

    def __init__(self, message: str, limit: int) -> None:
        super().__init__(message)
        self.limit = limit
