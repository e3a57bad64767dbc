"""What a client and a server over HTTP have between them."""

import asyncio
import os
import ssl
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from skfhe.deployment._address import Address
from skfhe.deployment._connection import Connection, load_httpx
from skfhe.deployment._pinned_file import PinnedFile, default_folder
from skfhe.deployment._remote_model import RemoteModel

if TYPE_CHECKING:
    from skfhe.circuit import Batch, EvaluationKeys

__all__ = ["HttpTransport"]

_T = TypeVar("_T")
_STEP_SECONDS = 0.5
_CLOSED = "the transport was closed; make another one"


class HttpTransport:
    """How a `Client` reaches a model that ``skfhe serve`` serves.

    ``Client("https://…")`` makes one with these defaults; make it yourself to give it others. client.zip is
    fetched once and kept, and any other that the server gives later is refused. Evaluation keys are
    uploaded once, and again if the server has forgotten them; secret keys never are. A request that failed on
    its way, or found the server busy, is repeated, within the time allowed; all of them can be repeated
    without harm. Of every answer it is checked that it belongs to the request: its circuit, its keys and its
    number of rows.

    Any number of threads may use it, and `AsyncClient` does. A forked process makes connections of its own.

    Parameters
    ----------
    url : str
        ``"https://HOST:PORT/v2/models/MODEL"``, and ``/versions/VERSION`` after it for one that does not
        change; ``"https://HOST:PORT/MODEL"`` in short; or ``"https://HOST:PORT"`` if the server has just
        one model.
    token : str, optional
        Of the server's users, sent as ``Authorization: Bearer``. It is in no message and no representation.
    timeout : float, default=60.0
        Seconds for a request, with all its repetitions. Rows beyond `most_rows` are several requests.
    transfer_timeout : float, default=600.0
        The same for an upload of evaluation keys, and for client.zip.
    verify : bool or path, default=True
        A file of certificates that the server's is verified by, if it is not of a public authority.
    cert : path or tuple of path, optional
        The client's own certificate, if the server asks for one: a file, or certificate, key and password.
    progress : bool, default=False
        Show a bar while evaluation keys are uploaded; needs tqdm.
    pinned : str, optional
        SHA-256 of client.zip in hexadecimal, as whoever runs the server told it. Without it the first file
        that the server gives is trusted.
    max_retries : int, default=10
        How many times a request is repeated: about 20 seconds, if the server does not ask for more.
    folder : path, optional
        Where client.zip is kept: a client's folder of keys; without one ``skfhe`` in ``XDG_CACHE_HOME``,
        or in ``~/.cache``.

    Raises
    ------
    ImportError
        If httpx is not installed: ``pip install "skfhe[client]"``.
    ValueError
        If a parameter cannot be meant.

    Examples
    --------
    >>> HttpTransport("http://localhost:8000/iris", token="one that nobody sees", timeout=5)
    HttpTransport('http://localhost:8000/iris')
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        transfer_timeout: float = 600.0,
        verify: "bool | str | os.PathLike[str]" = True,
        cert: "str | os.PathLike[str] | tuple[str, ...] | None" = None,
        progress: bool = False,
        pinned: str | None = None,
        max_retries: int = 10,
        folder: "str | os.PathLike[str] | None" = None,
    ) -> None:
        load_httpx()
        for name, seconds in (("timeout", timeout), ("transfer_timeout", transfer_timeout)):
            if not seconds > 0:
                raise ValueError(f"{name}= is a number of seconds above 0, got {seconds!r}")
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise ValueError(f"max_retries= is 0 or more, got {max_retries!r}")
        if token is not None and not (
            token.isascii() and token.isprintable() and token.strip() == token != ""
        ):
            raise ValueError("token= has letters that no token has, such as spaces or a line's end around it")
        self.url = url
        address = Address.read(url)
        context = _ssl_context(verify, cert)
        pinned_file = PinnedFile(default_folder() if folder is None else Path(folder), pinned)

        def make() -> RemoteModel:
            return RemoteModel(
                Connection(address.root, token, context, max_retries),
                address,
                timeout=timeout,
                transfer_timeout=transfer_timeout,
                pinned_file=pinned_file,
                progress=_bar if progress else _no_bar,
            )

        self._loops = _Loops(make)

    def __repr__(self) -> str:
        return f"HttpTransport({self.url!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a transport has a token and connections, and is not pickled; make another one")

    def client_file(self) -> bytes:
        """Return client.zip: the one that was kept, if the server still has it, or the first.

        Returns
        -------
        bytes

        Raises
        ------
        ModelChangedError
            If the server has another one than the first time, or than ``pinned``.
        ServerError
            If it could not be fetched.
        """
        return self._loops.call(lambda model: model.client_file())

    def send_keys(self, keys: "EvaluationKeys") -> None:
        """Upload evaluation keys, unless the server has them.

        Parameters
        ----------
        keys : EvaluationKeys

        Raises
        ------
        ServerError
            If they could not be uploaded.
        """
        self._loops.call(lambda model: model.send_keys(keys))

    def most_rows(self) -> int | None:
        """Return how many rows a batch may have, which the server says.

        Returns
        -------
        int or None
            None if it does not say.

        Raises
        ------
        ServerError
            If it could not be asked.
        """
        return self._loops.call(lambda model: model.most_rows())

    def run(self, batch: "Batch") -> "Batch":
        """Return what the server makes of a batch.

        Parameters
        ----------
        batch : Batch
            Of at most `most_rows` rows.

        Returns
        -------
        Batch
            The results of the same rows, in order.

        Raises
        ------
        ServerUnavailableError
            If the server could not be reached, or was busy, at every attempt.
        ServerTimeoutError
            If there was no answer within ``timeout``.
        RequestRefusedError
            If the server refused the request: the message says why.
        ModelChangedError
            If it has another model by now.
        ServerError
            If it failed, or the answer is not one to this batch.
        """
        return self._loops.call(lambda model: model.run(batch))

    async def wait_for(self, ask: Callable[[RemoteModel], Coroutine[Any, Any, _T]]) -> _T:
        """Await what is asked of the model; whoever awaits it may cancel it.

        Parameters
        ----------
        ask : callable

        Returns
        -------
        object
        """
        try:
            return await asyncio.wrap_future(self._loops.submit(ask))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # nobody gave up: the loop was stopped
                raise RuntimeError(_CLOSED) from None
            raise

    def close(self) -> None:
        """Close the connections. A closed transport cannot be used again."""
        self._loops.close()


class _Loops:
    """An event loop in a thread of its own, in each process that asks for one.

    Whoever calls from any thread waits for it, so there is one implementation for those who wait and for
    those who await, and whatever the network does ends in time.

    Parameters
    ----------
    make : callable
        Returns what the loop works with.
    """

    def __init__(self, make: Callable[[], RemoteModel]) -> None:
        self._make = make
        self._loops: dict[int, _Loop] = {}
        self._closed = False

    def submit(self, ask: Callable[[RemoteModel], Coroutine[Any, Any, _T]]) -> Any:
        """Return the future of what is asked."""
        if self._closed:
            raise RuntimeError(_CLOSED)
        pid = os.getpid()
        loop = self._loops.get(pid)
        if loop is None:
            made = _Loop(self._make)
            loop = self._loops.setdefault(pid, made)  # one step: of two threads one wins
            if loop is not made:
                made.stop()
        return asyncio.run_coroutine_threadsafe(ask(loop.model), loop.loop)

    def call(self, ask: Callable[[RemoteModel], Coroutine[Any, Any, _T]]) -> _T:
        """Return what is asked once it is there; an interrupt cancels it."""
        future = self.submit(ask)
        try:
            # By steps: once a library has had system calls started again after SIGINT, as z3 does in a
            # compile, a wait without end cannot be interrupted.
            while not wait([future], timeout=_STEP_SECONDS).done:
                pass
            result: _T = future.result()
            return result
        except CancelledError:
            raise RuntimeError(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close what is open in this process."""
        self._closed = True
        loop = self._loops.pop(os.getpid(), None)
        if loop is not None:
            loop.stop()


class _Loop:
    """One event loop, which runs until it is stopped or forgotten."""

    def __init__(self, make: Callable[[], RemoteModel]) -> None:
        self.loop = asyncio.new_event_loop()
        self.model = make()
        thread = threading.Thread(target=_run, args=(self.loop,), name="skfhe-http", daemon=True)
        thread.start()
        self.stop = weakref.finalize(self, _stop, self.loop, self.model, thread, os.getpid())


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, model: RemoteModel, thread: threading.Thread, pid: int) -> None:
    """Cancel what is running, close connections and end the thread."""
    if os.getpid() != pid:
        return  # the thread is the parent's

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await model.close()
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    if threading.current_thread() is not thread:
        thread.join(timeout=5.0)


def _ssl_context(verify: Any, cert: Any) -> "bool | ssl.SSLContext":
    """Return how certificates are verified and shown; True leaves it to httpx."""
    if verify is False:
        raise ValueError(
            "verify=False would let anybody on the way answer as the server; give the file of the "
            "certificates that its own is verified by, verify=path"
        )
    if verify is True and cert is None:
        return True
    if verify is True:
        context: ssl.SSLContext = load_httpx().create_ssl_context()
    else:
        context = ssl.create_default_context(cafile=os.fspath(verify))
    if cert is not None:
        context.load_cert_chain(*(cert if isinstance(cert, tuple) else (cert,)))
    return context


@contextmanager
def _bar(what: str, n_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show how much of something is sent."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm, which is not installed: pip install tqdm") from None
    with tqdm(total=n_bytes, unit="B", unit_scale=True, desc=what) as bar:

        def sent(n: int) -> None:
            if n < bar.n:
                bar.reset()
            bar.update(n - bar.n)

        yield sent


def _no_bar(what: str, n_bytes: int) -> AbstractContextManager[None]:
    """Show nothing."""
    return nullcontext()
