"""A store that is too busy for some of what it is asked: an HTTP proxy that answers 429 or 503 in the store's place.

Seeded; what it refuses never reaches the store. Of a Blob batch that it lets through it may refuse single blobs: their
ETag is spoilt on the way, so that the store refuses them, and the sub-answer says 429. Of a Cosmos batch it may refuse
one operation, and the rest falls with it. `early` lists what came back before its time was over, `most` how much was
under way at once.
"""

import asyncio
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from local.processes import HOST

SHARE = 0.3
WAITS: tuple[dict[str, str], ...] = (
    *({"x-ms-retry-after-ms": ms} for ms in ("10", "20", "40", "60", "100", "150")),
    {},
)
SECONDS = {"Retry-After": "1"}
"""Blob storage may say that too; Cosmos DB says milliseconds alone."""

HOPS = {"transfer-encoding", "connection", "keep-alive", "content-length", "content-encoding"}
NAME = re.compile(rb"^DELETE (\S+) HTTP/1.1", re.MULTILINE)
TAG = re.compile(rb'(?im)^(If-Match: "0x)(.)')
TOLERANCE = 0.02


@dataclass(kw_only=True)
class Throttle:
    """What the proxy in front of `target` does, and saw."""

    target: int
    seed: int
    share: float = 0.0
    waits: tuple[dict[str, str], ...] = WAITS
    requests: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    early: list[tuple[str, float, float]] = field(default_factory=list)
    most: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._under_way = 0
        self._until: dict[str, tuple[float, float]] = {}  # what was refused: when, and for how long

    def anew(self, share: float) -> None:
        """Begin to count anew, and refuse such a share from now on."""
        self.share, self.requests, self.most = share, 0, 0
        self.refused.clear()
        self.early.clear()
        self._until.clear()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        try:
            return await self._answer(request, await request.read())
        finally:
            self._under_way -= 1

    async def _answer(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        self.requests += 1
        keys = self._keys(request, body)
        now = time.monotonic()
        for key in keys:
            at, wait = self._until.pop(key, (now, 0.0))
            if now < at + wait - TOLERANCE:
                self.early.append((key, wait, now - at))
        if self._chance.random() < self.share:
            status, headers = self._chance.choice((429, 503)), self._chance.choice(self.waits)
            kind = next(iter(headers), "no time")
            self.refused[f"{status}, {kind}"] += 1
            self._refuse(keys, headers)
            return web.Response(status=status, headers=headers)
        if request.headers.get("x-ms-cosmos-is-batch-request") and self._chance.random() < self.share / 3:
            return self._fallen(json.loads(body), keys)
        busy: dict[int, dict[str, str]] = {}
        if "comp=batch" in request.path_qs and self.share:
            body, busy = self._spoil(body)
        status, headers, answer = await self._forward(request, body)
        if busy and status == 202:
            answer = _busy(answer, busy)
        return web.Response(status=status, headers=headers, body=answer)

    def _fallen(self, operations: list[object], keys: list[str]) -> web.Response:
        """A batch of Cosmos DB of which one operation was too many."""
        chosen = self._chance.randrange(len(operations))
        answers = [{"statusCode": 429 if n == chosen else 424, "requestCharge": 0} for n in range(len(operations))]
        answers[chosen]["retryAfterMilliseconds"] = 100
        self.refused["429 within 207"] += 1
        self._refuse(keys, {"x-ms-retry-after-ms": "100"})
        return web.json_response(answers, status=207, headers={"x-ms-retry-after-ms": "100"})

    def _spoil(self, body: bytes) -> tuple[bytes, dict[int, dict[str, str]]]:
        """The batch in which some blobs will be refused, and which."""
        busy: dict[int, dict[str, str]] = {}
        parts = re.split(rb"(?=^--)", body, flags=re.MULTILINE)
        number = 0
        for at, part in enumerate(parts):
            name = NAME.search(part)
            if name is None:
                continue
            if self._chance.random() < self.share / 5:
                parts[at] = TAG.sub(lambda m: m[1] + (b"1" if m[2] != b"1" else b"2"), part)
                busy[number] = self._chance.choice(WAITS)
                self.refused["429 within 202"] += 1
                self._refuse([_name(name[1])], busy[number])
            number += 1
        return b"".join(parts), busy

    def _refuse(self, keys: list[str], headers: dict[str, str]) -> None:
        milliseconds = headers.get("x-ms-retry-after-ms")
        wait = float(milliseconds) / 1000 if milliseconds else float(headers.get("Retry-After", 0))
        now = time.monotonic()
        self._until |= dict.fromkeys(keys, (now, wait))

    def _keys(self, request: web.BaseRequest, body: bytes) -> list[str]:
        """What a request is: each blob of a batch, a call of the Blob client, a query or batch of Cosmos DB."""
        names = [_name(each) for each in NAME.findall(body)] if "comp=batch" in request.path_qs else []
        if names:
            return names
        call = request.headers.get("x-ms-client-request-id")
        if call:
            return [call]
        which = request.headers.get("x-ms-documentdb-partitionkeyrangeid", "")
        which += request.headers.get("x-ms-documentdb-partitionkey", "") + request.headers.get("x-ms-start-epk", "")
        return [f"{request.method} {request.path_qs} {which} {body.decode()}"]

    async def _forward(self, request: web.BaseRequest, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = URL(f"http://{HOST}:{self.target}{request.raw_path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOPS}
        async with self.session.request(request.method, url, headers=headers, data=body or None) as answer:
            found = {name: value for name, value in answer.headers.items() if name.lower() not in HOPS}
            return answer.status, found, await answer.read()

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        own = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")  # a signature may cover them
        async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=own) as self.session:
            runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, HOST, 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            ready.set()
            await stop.wait()
            await runner.cleanup()


def _name(path: bytes) -> str:
    return path.decode().partition("?")[0]


def _busy(answer: bytes, busy: dict[int, dict[str, str]]) -> bytes:
    """The answer to a batch in which these sub-answers say 429."""
    boundary = answer.split(b"\r\n", 1)[0]
    parts = answer.split(boundary)
    said = [at for at, part in enumerate(parts) if b"HTTP/1.1" in part]
    for number, headers in busy.items():
        before, _, after = parts[said[number]].partition(b"HTTP/1.1")
        assert after[:4] in (b" 412", b" 403"), "the store did what was to be refused"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        parts[said[number]] = before + f"HTTP/1.1 429 Too Many Requests\r\n{lines}\r\n\r\n".encode()
    return boundary.join(parts)


@contextmanager
def throttle(target: int, seed: int, *waits: dict[str, str]) -> Iterator[Throttle]:
    """A proxy in front of a server; it refuses nothing before `anew`. `waits` are more ways to say when to come back."""
    made = Throttle(target=target, seed=seed, waits=(*WAITS, *waits))
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(made.serve(ready, stop),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
