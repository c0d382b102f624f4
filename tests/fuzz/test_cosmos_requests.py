"""No request stops the local Cosmos DB server: what the SDK sends, with headers, paths and bodies spoilt.

Each gets an answer of the protocol within its time, an error with its code and its message; never an exception. What is
stored stays whole, and the good requests are answered as before.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from cosmos_at_hand import DOCS, HOME, CosmosAtHand, signed
from effort import effort
from hostile_cosmos import Asked, HostileCosmos, requests_of
from recorded import cosmos_traffic

from local import servers
from local.cosmos import EMULATOR_KEY
from local.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = {200, 201, 204, 207, 304, 400, 401, 404, 409, 410, 412, 413, 501}
SECONDS = 3.0


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    root = tmp_path_factory.mktemp("recorded")
    with servers.running(servers.cosmos(root, free_port()), root) as process:
        streams = cosmos_traffic(process.program.port, EMULATOR_KEY)
    return [each for stream in streams for each in requests_of(stream)]


def again(folder: Path, asked: list[Asked]) -> CosmosAtHand:
    """A server to which all that was recorded has been said once."""
    folder.mkdir()
    cosmos = CosmosAtHand(folder)
    for each in asked:
        if each.path.strip("/").split("/")[:1] == ["dbs"] and "batch" not in str(each.headers):
            cosmos.ask(each.method, each.path, each.body, dict(each.headers))
    for name in ("i0", "i1", "i2", "i3"):
        cosmos.ask("POST", DOCS, {"id": name, "h": "h", "v": 1, "list": ["a"]}, HOME)
    return cosmos


def test_recorded_requests_are_what_they_are_taken_for(tmp_path: Path, asked: list[Asked]) -> None:
    assert len(asked) > 25
    assert {each.method for each in asked} == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    cosmos = again(tmp_path / "c", asked)
    good = [each for each in asked if each.method == "POST" and b'"query"' in each.body]
    said = [cosmos.ask("POST", each.path, each.body, dict(each.headers)) for each in good]
    assert [each.raw for each in said if each.status != 200] == []
    cosmos.close()


def test_spoilt_requests_are_answered_and_break_nothing(tmp_path: Path, asked: list[Asked]) -> None:
    seen: Counter[int] = Counter()
    for first in range(0, effort(2_500, 10_000), 2_500):
        cosmos = again(tmp_path / f"from {first}", asked)
        for seed in range(first, first + 2_500):
            spoilt = HostileCosmos(seed).spoilt(asked)
            if spoilt.method == "DELETE" and "/docs" not in spoilt.path:
                continue  # it may be good, and would leave the rest nothing
            headers = [*signed(spoilt.method, spoilt.path).items(), *spoilt.headers]
            said = cosmos.send(spoilt.method, spoilt.path, [spoilt.body], headers)
            assert said.status in ANSWERS, seed
            assert said.seconds < SECONDS, seed
            if said.status >= 400 and spoilt.method != "HEAD":
                assert set(said.body) == {"code", "message"}, seed
            elif said.raw:
                assert said.body is not None, seed
            seen[said.status] += 1
        assert cosmos.storage.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        cosmos.ask("DELETE", f"{DOCS}/last", b"", HOME)
        assert cosmos.ask("POST", DOCS, {"id": "last", "h": "h", "v": 1}, HOME).status == 201
        assert cosmos.query("SELECT VALUE c.id FROM c WHERE c.id = 'last'").body["Documents"] == ["last"]
        cosmos.close()
    assert set(seen) >= ANSWERS - {304, 401, 409, 410, 413}
    assert sum(count for status, count in seen.items() if status < 400) > seen.total() // 5
