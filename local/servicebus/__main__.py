"""Starts the local Service Bus: ``python -m local.servicebus --data DIR --port N --entities FILE``.

Prints ``ready sb://HOST:PORT`` on stdout when it listens; everything else goes to stderr. Exit code 0 after SIGTERM or
SIGINT; 2 when the entities file, the data folder or the port cannot be used, or the disk refuses.
"""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from local.servicebus.broker import UnknownEntityError
from local.servicebus.entities import EntitiesError, Namespace, load_entities
from local.servicebus.server import serve
from local.servicebus.store import StoreError

_DEFAULT_ENTITIES = Path(__file__).parent.parent / "entities.json"


def main(arguments: list[str] | None = None) -> int:
    """Runs the server; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.servicebus", description="A local Service Bus.")
    parser.add_argument("--data", type=Path, required=True, help="folder for the messages; made when missing")
    parser.add_argument("--port", type=int, default=5672, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--entities", type=Path, default=_DEFAULT_ENTITIES, help="default: local/entities.json")
    parser.add_argument("--verbose", action="store_true", help="log to stderr what happens on connections")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    try:
        namespace = load_entities(options.entities)
        asyncio.run(_run(namespace, options))
    except (EntitiesError, UnknownEntityError, StoreError, OSError) as error:
        print(f"local.servicebus: {error}", file=sys.stderr)  # noqa: T201 (the last words of a command)
        return 2
    return 0


async def _run(namespace: Namespace, options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(namespace, options.data, options.host, options.port, stop)


if __name__ == "__main__":
    sys.exit(main())
