"""``python -m local.cosmos --data FILE.sqlite --port N [--host 127.0.0.1] [--ranges 2]``."""

import argparse
from pathlib import Path

from local.cosmos.server import serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.cosmos", description="A local Cosmos DB server.")
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file; created when missing")
    parser.add_argument("--port", type=int, required=True, help="0 for a free port; the ready line names it")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--ranges", type=int, default=2, help="partition key ranges of a new container (default: 2)")
    given = parser.parse_args()
    if given.ranges < 1:
        parser.error("--ranges must be at least 1")
    serve(data=given.data, host=given.host, port=given.port, range_count=given.ranges)


if __name__ == "__main__":
    main()
