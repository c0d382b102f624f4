"""Dead letters, asked about by an identity that may only send: the real client, and a broker that refuses to listen."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.servicebus.aio import ServiceBusClient

from local.processes import free_port
from shared.stores.servicebus import dead_letters

ROOT = Path(__file__).parents[2]
REFUSING = """
import sys
from local.servicebus import attach, faults
from local.servicebus.__main__ import main
def refuse(*_):
    raise faults.RefusedError(faults.UNAUTHORIZED, "Unauthorized access. 'Listen' claim(s) are required.")
attach._attach_consumer = refuse
sys.exit(main(sys.argv[1:]))
"""
CONNECTION = (
    "Endpoint=sb://127.0.0.1:{};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;"
    "UseDevelopmentEmulator=true;"
)


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[str]:
    """A broker whose queues may be sent to and not be received from."""
    process = subprocess.Popen(
        [sys.executable, "-c", REFUSING, "--data", str(tmp_path), "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready = re.fullmatch(r"ready sb://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
    assert ready is not None
    yield CONNECTION.format(ready[1])
    process.terminate()
    process.communicate(timeout=10)


async def test_who_may_only_send_is_told_so_and_it_is_not_taken_for_no_answer(refusing: str) -> None:
    async with ServiceBusClient.from_connection_string(refusing) as client:
        assert await dead_letters(client, "requests", most=100) == "no right to receive"


async def test_a_broker_that_is_away_gives_no_answer() -> None:
    async with ServiceBusClient.from_connection_string(CONNECTION.format(free_port()), retry_total=0) as client:
        assert await dead_letters(client, "requests", most=100) is None
