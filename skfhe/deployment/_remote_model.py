"""One model on a server: its client.zip, which stays the same, its keys, and its predictions."""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skfhe.circuit import Batch
from skfhe.deployment._address import Address
from skfhe.deployment._connection import Body, Connection, Reply
from skfhe.deployment._inference import HEADER_LENGTH, inference_request, results_of
from skfhe.deployment._pinned_file import PinnedFile
from skfhe.deployment._record import add_exchange, add_phase, measured
from skfhe.exceptions import ModelChangedError, RequestRefusedError, ServerError

if TYPE_CHECKING:
    from skfhe.circuit import EvaluationKeys

__all__ = ["RemoteModel"]

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None] | None]]
"""Given what is sent and its bytes, shows how many are, or does not."""

MOST_FILE_BYTES = 1 << 28
MOST_RESULT_BYTES = 1 << 31
MOST_UPLOADS = 3
"""For one request, before servers are taken for some that forget keys."""
_HEADER_BYTES = 4096
"""More than there is in a request beside the rows."""


@dataclass(frozen=True)
class _Description:
    """What the server says of its model, as far as it does.

    Parameters
    ----------
    circuit_id : str or None
    most_rows : int or None
        In one request.
    """

    circuit_id: str | None
    most_rows: int | None

    @classmethod
    def read(cls, reply: Reply) -> "_Description":
        """Return what the server's answer says."""
        said = reply.json().get("parameters")
        said = said if isinstance(said, dict) else {}
        circuit_id = said.get("circuit_id")
        rows, request_bytes, row_bytes = (
            value if type(value) is int and value > 0 else None
            for value in map(said.get, ("max_rows", "max_request_bytes", "row_bytes"))
        )
        limits = [] if rows is None else [rows]
        if request_bytes is not None and row_bytes is not None:
            limits.append(max(1, (request_bytes - _HEADER_BYTES) // row_bytes))
        return cls(circuit_id if isinstance(circuit_id, str) else None, min(limits, default=None))


class RemoteModel:
    """One model on a server, for one event loop.

    Parameters
    ----------
    connection : Connection
    address : Address
    timeout, transfer_timeout : float
        Seconds for a request, and for a transfer of keys or of client.zip.
    pinned_file : PinnedFile
    progress : callable
        See `Progress`.
    """

    def __init__(
        self,
        connection: Connection,
        address: Address,
        *,
        timeout: float,
        transfer_timeout: float,
        pinned_file: PinnedFile,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._address = address
        self._timeout = timeout
        self._transfer_timeout = transfer_timeout
        self._pinned_file = pinned_file
        self._progress = progress
        self._keys: dict[str, EvaluationKeys] = {}
        self._sent: set[str] = set()
        self._description: _Description | None = None
        self._searching, self._uploading = asyncio.Lock(), asyncio.Lock()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _located(self) -> Address:
        """Return the model's address, asking the server for its only model if the user named none."""
        if self._address.name is None:
            async with self._searching:
                if self._address.name is None:
                    self._address = await self._only_model()
        return self._address

    async def _only_model(self) -> Address:
        reply = await self._connection.ask("GET", "/v2/models", seconds=self._timeout)
        models = reply.json().get("models")
        listed = models if isinstance(models, list) else []
        names = [model.get("name") for model in listed if isinstance(model, dict)]
        root = self._address.root
        if len(names) != 1 or not isinstance(names[0], str):
            raise ValueError(
                f"{root} has {len(names)} models ({', '.join(map(str, names))}): give the address of one, "
                f"{root}/NAME"
            )
        return Address(root, names[0])

    async def client_file(self) -> bytes:
        """Return client.zip, which has to be the one that was pinned."""
        address = await self._located()
        kept = await asyncio.to_thread(self._pinned_file.read, address)
        reply = await self._connection.ask(
            "GET",
            f"{address.path}/client",
            seconds=self._transfer_timeout,
            headers={} if kept is None else {"If-None-Match": f'"{self._pinned_file.digest(kept)}"'},
            accepted=frozenset({200} if kept is None else {200, 304}),
            most_bytes=MOST_FILE_BYTES,
        )
        if reply.status == 304:
            assert kept is not None  # else it is not accepted
            return kept
        return await asyncio.to_thread(self._pinned_file.accept, address, reply.body)

    async def send_keys(self, keys: "EvaluationKeys") -> None:
        """Upload evaluation keys, unless they were."""
        # Their name and their bytes may have to be made first, which takes as long as to generate them.
        with measured("keys"):
            key_id = await asyncio.to_thread(str, keys.id)
        self._keys.setdefault(key_id, keys)
        if key_id in self._sent:
            return
        begun, n_bytes = time.perf_counter(), 0
        async with self._uploading:
            if key_id not in self._sent:
                n_bytes = await self._upload(key_id, keys)
        add_phase("send keys", begun, time.perf_counter(), n_bytes)

    async def _upload(self, key_id: str, keys: "EvaluationKeys", *, anyway: bool = False) -> int:
        """Upload keys that the server does not have, and return how many bytes that were."""
        path = f"{(await self._located()).path}/keys/{key_id}"
        if not anyway:
            reply = await self._connection.ask(
                "HEAD", path, seconds=self._timeout, accepted=frozenset({200, 204, 404})
            )
            anyway = reply.status == 404
        n_bytes = 0
        if anyway:
            data = await asyncio.to_thread(keys.to_bytes)
            n_bytes = len(data)
            with self._progress("evaluation keys", len(data)) as sent:
                await self._connection.ask(
                    "PUT",
                    path,
                    seconds=self._transfer_timeout,
                    body=Body(data, {"Content-Type": "application/octet-stream"}, sent),
                    accepted=frozenset({200, 201, 204}),
                )
        self._sent.add(key_id)
        return n_bytes

    async def _described(self) -> _Description:
        """Return what the server says of the model, asked once."""
        if self._description is None:
            path = (await self._located()).path
            with measured("ask limits"):
                reply = await self._connection.ask("GET", path, seconds=self._timeout)
            self._description = _Description.read(reply)
        return self._description

    async def most_rows(self) -> int | None:
        """Return how many rows a batch may have, None if the server does not say."""
        return (await self._described()).most_rows

    async def run(self, batch: Batch) -> Batch:
        """Return the results of a batch."""
        try:
            self._check_circuit(await self._described(), batch)
            return await self._infer(batch)
        except RequestRefusedError:
            self._description = None
            self._check_circuit(await self._described(), batch)
            raise

    def _check_circuit(self, description: _Description, batch: Batch) -> None:
        """Raise an error if the server says that it has another model by now."""
        if description.circuit_id not in (None, batch.circuit_id):
            self._description = None
            raise ModelChangedError(
                f"{self._address.root}{self._address.path} is another model than the one that client.zip is "
                "of: it was replaced. Make a new Client, which tells how to accept it, or name the version "
                "that this one is of, …/versions/VERSION"
            )

    async def _infer(self, batch: Batch) -> Batch:
        """Return the results of a batch that is one request."""
        path = f"{(await self._located()).path}/infer"
        key_id, request_id = str(batch.key_id), uuid.uuid4().hex
        with measured("encrypt"):
            data, length = await asyncio.to_thread(_request, batch, key_id, request_id)
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(length)}
        for n_uploads in range(MOST_UPLOADS + 1):
            reply = await self._connection.ask(
                "POST",
                path,
                seconds=self._timeout,
                body=Body(data, headers),
                accepted=frozenset({200, 404}),
                most_bytes=MOST_RESULT_BYTES,
            )
            if reply.repeated_from is not None:
                add_phase("repeat", reply.repeated_from, reply.times[0])
            if reply.status == 200:
                add_exchange(reply.times, (len(data), len(reply.body)), reply.headers)
                with measured("decrypt"):
                    return await asyncio.to_thread(_results, reply, batch, key_id, request_id)
            if reply.json().get("code") != "unknown_key":
                raise self._connection.refusal("POST", path, reply)
            add_phase("repeat", reply.times[0], reply.times[3])
            if n_uploads == MOST_UPLOADS:
                break
            begun = time.perf_counter()
            n_bytes = await self._send_again(key_id, anyway=n_uploads > 0)
            add_phase("send keys", begun, time.perf_counter(), n_bytes)
        raise ServerError(
            f"{self._address.root} does not know keys {key_id[:12]}… though they were uploaded again and "
            "again: if several servers answer there they have to share one store of keys"
        )

    async def _send_again(self, key_id: str, *, anyway: bool) -> int:
        """Upload keys that the server says not to have: they expired, or it is another one."""
        if key_id not in self._keys:
            raise ServerError(f"the server does not know keys {key_id[:12]}…, which were not sent: send_keys")
        async with self._uploading:
            # Of several that wait here the first uploads; the others only ask whether the keys are there.
            self._sent.discard(key_id)
            return await self._upload(key_id, self._keys[key_id], anyway=anyway)


def _request(batch: Batch, key_id: str, request_id: str) -> tuple[bytes, int]:
    return inference_request(batch.to_bytes(), key_id, request_id)


def _results(reply: Reply, batch: Batch, key_id: str, request_id: str) -> Batch:
    """Return the results in an answer, if they are those of ``batch``."""
    data = results_of(reply.body, reply.headers, key_id, request_id)
    try:
        results = Batch.from_bytes(data)
    except ValueError as error:
        raise ServerError(f"the server's results cannot be read: {error}") from None
    got = (results.holds, results.circuit_id, results.key_id, results.n_rows)
    for what, found, asked in zip(
        ("kind", "circuit", "keys", "number of rows"),
        got,
        ("results", batch.circuit_id, key_id, batch.n_rows),
        strict=True,
    ):
        if found != asked:
            raise ServerError(
                f"the server's results are not those of what it was sent: expected {what} {asked!r}, got "
                f"{found!r}. They were thrown away; report it to whoever runs the server"
            )
    return results
