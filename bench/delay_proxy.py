"""A TCP proxy on the loopback address that delays: `python -m bench.delay_proxy --to PORT --port PORT --seconds S`.

Every chunk of bytes is passed on `--seconds` after it came, in both directions, in order; a later chunk does not wait
for an earlier one to be passed on, so the bandwidth stays. A round trip grows by twice that. Connecting is not delayed:
the clients that are measured keep their connections. Nothing is read into, counted or changed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from local.processes import HOST, Process, Program, free_port

CHUNK = 256 * 1024
WAITING = 256
"""Chunks on their way in one direction of a connection, at most: beyond it the sender waits, as TCP has it."""


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on everything that comes, each chunk so many seconds later, until its end."""
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)

    async def take() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except ConnectionError:  # it broke: for the other side that is its end
                data = b""
            await waiting.put((clock() + seconds, data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    finally:
        taking.cancel()


async def serve(port: int, to: int, seconds: float) -> None:
    """Listen until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(HOST, to)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(pump(reader, there_writer, seconds), pump(there_reader, writer, seconds))
        for each in (writer, there_writer):
            each.close()

    server = await asyncio.start_server(connected, HOST, port)
    async with server:
        await server.serve_forever()


def delayed(root: Path, to: int, seconds: float) -> Process:
    """The proxy before port `to`, as a process of its own that is not started yet; its port is a free one."""
    port = free_port()
    options = ("--to", str(to), "--port", str(port), "--seconds", str(seconds))
    command = (sys.executable, "-m", "bench.delay_proxy", *options)
    return Process(Program(name=f"delay-{to}", command=command, port=port, remedy="measure again"), root)


def main() -> None:
    """Serve until it is ended."""
    options = argparse.ArgumentParser(description="Delay a TCP connection in both directions.")
    options.add_argument("--to", type=int, required=True, help="the port that is delayed")
    options.add_argument("--port", type=int, required=True, help="where to listen")
    options.add_argument("--seconds", type=float, required=True, help="the delay in each direction")
    chosen = options.parse_args()
    asyncio.run(serve(chosen.port, chosen.to, chosen.seconds))


if __name__ == "__main__":
    main()
