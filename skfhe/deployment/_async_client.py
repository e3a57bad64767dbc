"""The client for programs that await."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from skfhe.deployment._record import Recorder, RequestRecord, measured, recording
from skfhe.deployment._remote import HttpTransport

if TYPE_CHECKING:
    from skfhe._typing import IntArray
    from skfhe.circuit import ClientSession, EvaluationKeys
    from skfhe.deployment._client import Client

__all__ = ["AsyncClient"]


class AsyncClient:
    """A `Client` of a server over HTTP whose predictions are awaited.

    Any number of them may be awaited at a time; they share keys and connections. Encoding, encryption and
    decryption run in threads, so that the event loop goes on. To cancel one ends its request, and the server
    is told that nobody waits for it. It needs asyncio, and may be used in one event loop after the other.

    Parameters
    ----------
    model : str or HttpTransport
        The address of a model, or what reaches one.
    key_dir, passphrase, key_lifetime, trusted
        See `Client`.

    Raises
    ------
    TypeError
        If ``model`` is something else.

    Examples
    --------
    >>> async def predict(X):
    ...     async with AsyncClient("https://models.example:8000/iris", key_dir="keys/") as client:
    ...         return await client.predict_proba(X)
    """

    def __init__(
        self,
        model: str | HttpTransport,
        key_dir: str | os.PathLike[str] | None = None,
        passphrase: str | None = None,
        key_lifetime: timedelta | None = None,
        trusted: Collection[str] = (),
    ) -> None:
        if isinstance(model, str):
            model = HttpTransport(model, folder=key_dir)
        if not isinstance(model, HttpTransport):
            raise TypeError(
                "AsyncClient talks to a server over HTTP: expected its address or an HttpTransport, got "
                f"{type(model).__name__}; Client takes a client.zip"
            )
        self._transport = model
        self._options = (key_dir, passphrase, key_lifetime, trusted)
        self._client: Client | None = None
        self._last_request: RequestRecord | None = None
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"AsyncClient({self._transport!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a client has secret keys, and is not pickled; make another one of the same model")

    async def __aenter__(self) -> AsyncClient:
        await self.ready()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def last_request(self) -> RequestRecord | None:
        """What the last prediction that was answered took; see `Client.last_request`."""
        return self._last_request

    async def close(self) -> None:
        """Close the connections to the server."""
        await asyncio.to_thread(self._transport.close)

    async def ready(self) -> Client:
        """Return the client that encodes, encrypts and decrypts, made when it is first asked for.

        Returns
        -------
        Client
            For what is not asked of the server: ``keygen``, ``rotate_keys``, ``methods``. Its predictions
            are not awaited.

        Raises
        ------
        ServerError
            If client.zip cannot be fetched.
        """
        return await asyncio.to_thread(self._made)

    def _made(self) -> Client:
        from skfhe.deployment._client import Client

        with self._making:
            if self._client is None:
                self._client = Client(self._transport, *self._options)
            return self._client

    async def _ask(self, method: str, *X: Any) -> Any:
        """Return what the original's method returns, computed by the server."""
        client = self._client or await self.ready()
        if method not in client.methods:
            raise AttributeError(f"this model has no {method}; it answers {', '.join(client.methods)}")
        with recording() as recorder:
            found, n_rows = await self._answered(client, method, X, recorder)
            self._last_request = recorder.finished(n_rows)
        return found

    async def _answered(
        self, client: Client, method: str, X: tuple[Any, ...], recorder: Recorder
    ) -> tuple[Any, int]:
        """Return what the original's method returns, and of how many rows."""
        model = client._model

        def begun() -> tuple[tuple[IntArray, ...], ClientSession, EvaluationKeys]:
            with measured("encode"):
                inputs = model.predictor.encode(*X)  # before keys are made for rows that are none
            with measured("keys"):
                session = client._keys.session_to_encrypt()
                return inputs, session, session.evaluation_keys

        inputs, session, keys = await asyncio.to_thread(begun)
        await self._transport.wait_for(lambda remote: remote.send_keys(keys))
        most_rows = await self._transport.wait_for(lambda remote: remote.most_rows())
        n_rows = len(inputs[0])
        step = min(most_rows or n_rows, n_rows) or 1

        async def answered(rows: slice) -> tuple[IntArray, ...]:
            with measured("encrypt"):
                batch = await asyncio.to_thread(session.encrypt, *(x[rows] for x in inputs))
            with recorder.unless_known("run"):
                result = await self._transport.wait_for(lambda remote: remote.run(batch))
            with measured("decrypt"):
                return await asyncio.to_thread(session.decrypt, result)

        outputs = [await answered(slice(start, start + step)) for start in range(0, n_rows, step)]
        with measured("decode"):
            found = await asyncio.to_thread(model.predictor.answer, method, model.specs.join(outputs), X)
        return found, n_rows

    async def predict(self, X: Any) -> Any:
        """Return what the original's ``predict`` returns, computed encrypted by the server.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray, rows first

        Raises
        ------
        AttributeError
            If the model has no such method.
        ValueError
            If rows are not as the model takes them.
        KeysExpiredError
            If the present keys have expired.
        ServerError
            If the server cannot be reached, or refuses; see `HttpTransport.run`.
        """
        return await self._ask("predict", X)

    async def predict_proba(self, X: Any) -> Any:
        """Return what the original's ``predict_proba`` returns, computed encrypted by the server.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            Errors are those of `predict`.
        """
        return await self._ask("predict_proba", X)

    async def predict_log_proba(self, X: Any) -> Any:
        """Return what the original's ``predict_log_proba`` returns, computed encrypted by the server.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            Errors are those of `predict`.
        """
        return await self._ask("predict_log_proba", X)

    async def decision_function(self, X: Any) -> Any:
        """Return what the original's ``decision_function`` returns, computed encrypted by the server.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
            Errors are those of `predict`.
        """
        return await self._ask("decision_function", X)

    async def transform(self, X: Any) -> Any:
        """Return what the original's ``transform`` returns, computed encrypted by the server.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float, shape (n_rows, n_features_out)
            Errors are those of `predict`.
        """
        return await self._ask("transform", X)

    async def forward(self, *X: Any) -> Any:
        """Return what a network's ``forward`` returns, computed encrypted by the server.

        Parameters
        ----------
        *X : array-like, shape (n_rows, …)
            For each input of the network.

        Returns
        -------
        ndarray of float64, rows first, or a tuple of them for several outputs
            Errors are those of `predict`.
        """
        return await self._ask("forward", *X)
