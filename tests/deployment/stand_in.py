"""A server of the protocol that does what a test tells it, to the byte.

It runs a real circuit, in a thread, and has no part of the server that skfhe comes with: a client that
gets on with both has not been fitted to one.
"""

import asyncio
import hashlib
import json
import struct
import threading
from collections import Counter

from skfhe.circuit import Batch, EvaluationKeys

REASONS = {200: "OK", 201: "Created", 304: "Not Modified", 404: "Not Found"}
PATH = "/v2/models/small"


class StandIn:
    """One model at ``url``.

    Parameters
    ----------
    compiled : CompiledCircuit
    client_zip : bytes
    tls : ssl.SSLContext, optional
    **limits
        In the parameters of the model's description.

    Attributes
    ----------
    faults : list of (str, callable)
        The next request whose method and path end so is given to the callable, once, with the server, the
        stream's writer and the true answer in bytes. What it returns is sent; None closes the connection.
    requests : Counter
        By method and last part of the path.
    seen : list of dict
        The headers of each request.
    """

    def __init__(self, compiled, client_zip=b"a client.zip", tls=None, **limits):
        self.compiled, self.client_zip, self.limits, self.tls = compiled, client_zip, limits, tls
        self.models = ["small"]
        self.keys, self.faults, self.seen = {}, [], []
        self.requests, self.run_rows, self.received = Counter(), [], bytearray()
        self.port = 0
        self.running = 0
        self.most_running = 0
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def start(self):
        """Listen, on the same port as before if there was one."""
        self.loop = asyncio.new_event_loop()
        listening = threading.Event()

        async def serve():
            self.server = await asyncio.start_server(
                self._talk, "127.0.0.1", self.port, reuse_address=True, ssl=self.tls
            )
            self.port = self.server.sockets[0].getsockname()[1]
            listening.set()

        self.loop.create_task(serve())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        assert listening.wait(10)

    def stop(self):
        """Drop every connection and stop listening."""

        async def end():
            self.server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def fault(self, ending, act):
        self.faults.append((ending, act))

    async def _talk(self, reader, writer):
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _request(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests[f"{method} {path.split('/')[-1] if '/keys/' not in path else 'keys'}"] += 1
        self.seen.append({"path": path, **headers})
        self.received += head.encode() + body
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            answer = await self._answer(method, path, headers, body)
        finally:
            self.running -= 1
        for i, (ending, act) in enumerate(self.faults):
            if f"{method} {path}".endswith(ending) or ending in f"{method} {path}":
                del self.faults[i]
                answer = act(self, writer, answer)
                answer = await answer if asyncio.iscoroutine(answer) else answer
                break
        if answer is None:
            return False
        if method == "HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        writer.write(answer)
        await writer.drain()
        return b"connection: close" not in answer.lower()

    async def _answer(self, method, path, headers, body):
        if path == "/v2/models":
            return reply(200, {"models": [{"name": name, "versions": ["1"]} for name in self.models]})
        if not path.startswith(PATH):
            return reply(404, {"error": "no such model", "code": "unknown_model"})
        rest = path.removeprefix(PATH).removeprefix("/versions/1")
        if rest.startswith("/keys/"):
            return self._keys(method, rest.removeprefix("/keys/"), body)
        if rest == "":
            said = {"circuit_id": self.compiled.specs.circuit_id, **self.limits}
            return reply(200, {"name": "small", "versions": ["1"], "parameters": said})
        if rest == "/client":
            digest = f'"{hashlib.sha256(self.client_zip).hexdigest()}"'
            if headers.get("if-none-match") == digest:
                return reply(304, b"", ETag=digest)
            return reply(200, self.client_zip, ETag=digest)
        return await asyncio.to_thread(self._infer, headers, body)

    def _keys(self, method, key_id, body):
        if method == "HEAD":
            return reply(200 if key_id in self.keys else 404, b"")
        keys = EvaluationKeys.from_bytes(body)
        assert keys.id == key_id
        self.keys[key_id] = keys
        return reply(201, b"")

    def _infer(self, headers, body):
        length = int(headers["inference-header-content-length"])
        asked = json.loads(body[:length])
        key_id = asked["parameters"]["key_id"]
        if key_id not in self.keys:
            return reply(404, {"error": "these keys are not here", "code": "unknown_key"})
        (n_bytes,) = struct.unpack_from("<I", body, length)
        assert n_bytes == len(body) - length - 4
        batch = Batch.from_bytes(body[length + 4 :])
        self.run_rows.append(len(batch))
        if batch.circuit_id != self.compiled.specs.circuit_id:
            return reply(400, {"error": "these ciphertexts are of another circuit"})
        results = self.compiled.run(batch, self.keys[key_id])
        return results_reply(results.to_bytes(), key_id, asked["id"])


def reply(status, content, **headers):
    """Return an answer in bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def results_reply(data, key_id, request_id, **changed):
    """Return the answer to a request for inference."""
    header = {
        "model_name": "small",
        "model_version": "1",
        "id": request_id,
        "parameters": {"key_id": key_id},
        "outputs": [
            {
                "name": "results",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": len(data) + 4},
            }
        ],
        **changed,
    }
    text = json.dumps(header).encode()
    return reply(200, text + struct.pack("<I", len(data)) + data, Inference_Header_Content_Length=len(text))
