"""What a server may fall over, or take without a word: the local Cosmos DB refuses each as the protocol refuses."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from cosmos_at_hand import BATCH, DATABASE, DOCS, HOME, CosmosAtHand, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

MUCH = "9" * 5_000  # Python makes no number of so many digits


@pytest.fixture(scope="module")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosAtHand]:
    server = CosmosAtHand(tmp_path_factory.mktemp("cosmos"))
    for number in range(6):
        server.ask("POST", DOCS, {"id": f"i{number}", "h": "h", "v": number, "list": [1]}, HOME)
    yield server
    server.close()


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


def rid(*numbers: bytes) -> str:
    return base64.b64encode(b"".join(numbers), altchars=b"+-").decode()


def test_resource_id_longer_than_any_is_not_found(cosmos: CosmosAtHand) -> None:
    database, container = bytes([0, 0, 0, 1]), bytes([0x80, 0, 0, 1])
    path = f"/dbs/{rid(database)}/colls/{rid(database, container)}/docs"
    assert cosmos.ask("GET", f"{path}/{rid(b'x' * 40)}", b"", HOME).status == 404
    assert cosmos.ask("GET", f"{path}/{rid(b'x')}", b"", HOME).status == 404


@pytest.mark.parametrize("depth", [1, 126])
def test_item_nested_to_the_limit_can_be_kept_patched_and_compared(cosmos: CosmosAtHand, depth: int) -> None:
    name = f"nested-{depth}"
    assert cosmos.ask("POST", DOCS, {"id": name, "h": "h", "deep": nested(depth)}, HOME).status == 201
    patch = {"operations": [{"op": "set", "path": "/touched", "value": True}]}
    assert cosmos.ask("PATCH", f"{DOCS}/{name}", patch, HOME).status == 200
    found = cosmos.query("SELECT VALUE c.id FROM c WHERE c.deep = @deep", {"@deep": nested(depth)})
    assert found.body["Documents"] == [name]


@pytest.mark.parametrize("depth", [128, 900, 100_000])
def test_item_nested_beyond_the_limit_is_refused_with_400(cosmos: CosmosAtHand, depth: int) -> None:
    raw = b'{"id":"too-deep","h":"h","v":' + b"[" * depth + b"]" * depth + b"}"
    assert cosmos.ask("POST", DOCS, raw, HOME).status == 400
    batch = b'[{"operationType":"Create","resourceBody":' + raw + b"}]"
    said = cosmos.ask("POST", DOCS, batch, HOME | BATCH)
    assert said.status == 400 or said.body[0]["statusCode"] == 400
    wraps = {"operations": [{"op": "set", "path": "/list", "value": nested(128)}]}
    assert cosmos.ask("PATCH", f"{DOCS}/i0", wraps, HOME).status == 400


@pytest.mark.parametrize("condition", ["NOT " * 2_000 + "true", "(" * 2_000 + "true" + ")" * 2_000, "LOWER(" * 500])
def test_condition_nested_without_end_is_refused_with_501(cosmos: CosmosAtHand, condition: str) -> None:
    assert cosmos.query(f"SELECT * FROM c WHERE {condition}").status == 501


def test_condition_of_a_thousand_terms_is_answered(cosmos: CosmosAtHand) -> None:
    terms = " AND ".join(["c.v >= 2"] * 1_500)
    found = cosmos.query(f"SELECT VALUE c.v FROM c WHERE {terms}")
    assert sorted(found.body["Documents"]) == [2, 3, 4, 5]


@pytest.mark.parametrize("size", [MUCH, "0", "-2", "1.0", "²", ""])
def test_page_size_that_is_none_is_refused_with_400(cosmos: CosmosAtHand, size: str) -> None:
    assert cosmos.query("SELECT * FROM c", **HOME, x_ms_max_item_count=size).status == 400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token.replace("n:", f"n:{MUCH}"),
        lambda token: token.replace("n:", "n:99999999999999999999"),
        lambda token: token + "a",
        lambda token: token + "ab",
        lambda token: token[:-1],
        lambda token: token.upper(),
        lambda token: " " + token,
        lambda _: "q",
        lambda _: "[]",
    ],
)
@pytest.mark.parametrize("order", ["", " ORDER BY c.v"])
def test_spoilt_continuation_token_is_refused_with_400(cosmos: CosmosAtHand, spoil: Any, order: str) -> None:
    paged = {**HOME, "x_ms_max_item_count": "2"}
    text = f"SELECT * FROM c{order}"
    token = cosmos.query(text, **paged).headers["x-ms-continuation"]
    assert cosmos.query(text, **paged, x_ms_continuation=token).status == 200
    assert cosmos.query(text, **paged, x_ms_continuation=spoil(token)).status == 400


@pytest.mark.parametrize("path", [f"/list/{MUCH}", "/list/9", "/list/00", "/list/-1", "/list/x", "/v/x", "v", "/"])
def test_patch_of_a_path_that_is_none_is_refused_with_400(cosmos: CosmosAtHand, path: str) -> None:
    patch = {"operations": [{"op": "set", "path": path, "value": 1}]}
    assert cosmos.ask("PATCH", f"{DOCS}/i0", patch, HOME).status == 400


@pytest.mark.parametrize("operator", ["move", "", None, 1, ["set"], {"set": 1}])
def test_patch_operator_that_is_not_modelled_is_refused_with_501(cosmos: CosmosAtHand, operator: object) -> None:
    patch = {"operations": [{"op": operator, "path": "/x", "value": 1}]}
    assert cosmos.ask("PATCH", f"{DOCS}/i0", patch, HOME).status == 501


@pytest.mark.parametrize("name", ["_ts", "_etag", "_rid", "_self", "_attachments"])
def test_patch_of_what_the_server_owns_is_refused_with_400(cosmos: CosmosAtHand, name: str) -> None:
    patch = {"operations": [{"op": "set", "path": f"/{name}", "value": 1}]}
    assert cosmos.ask("PATCH", f"{DOCS}/i0", patch, HOME).status == 400


@pytest.mark.parametrize("condition", [5, [], {}, True])
def test_patch_condition_that_is_no_text_is_refused_with_400(cosmos: CosmosAtHand, condition: object) -> None:
    patch = {"operations": [{"op": "set", "path": "/x", "value": 1}], "condition": condition}
    assert cosmos.ask("PATCH", f"{DOCS}/i0", patch, HOME).status == 400


@pytest.mark.parametrize(
    "operation",
    [
        {"operationType": "Delete", "id": "i0", "ifMatch": ["x"]},
        {"operationType": "Delete", "id": "i0", "ifMatch": 1},
        {"operationType": "Read", "id": 5},
        {"operationType": "Read", "id": ["i0"]},
        {"operationType": "Delete"},
        {"operationType": ["Delete"], "id": "i0"},
    ],
)
def test_batch_whose_fields_are_no_texts_is_refused_with_400(cosmos: CosmosAtHand, operation: dict[str, Any]) -> None:
    said = cosmos.ask("POST", DOCS, [operation], HOME | BATCH)
    assert said.status == 400
    assert cosmos.ask("GET", f"{DOCS}/i0", b"", HOME).status == 200


@pytest.mark.parametrize("bounds", [("zz", "FF"), ("", "\x80"), ("ab", "FF"), ("0X", "FF")])
def test_range_bound_that_is_no_effective_partition_key_is_refused_with_400(
    cosmos: CosmosAtHand, bounds: tuple[str, str]
) -> None:
    given = {"x_ms_documentdb_partitionkeyrangeid": "0", "x_ms_start_epk": bounds[0], "x_ms_end_epk": bounds[1]}
    assert cosmos.query("SELECT * FROM c", **given).status == 400


@pytest.mark.parametrize("header", ['["\u00c3\u00a5"]', "[", "{}", '"h"', "[[]]", '[{"a":1}]', "[NaN]"])
def test_partition_key_header_that_is_none_is_refused_with_400(cosmos: CosmosAtHand, header: str) -> None:
    key = {"x-ms-documentdb-partitionkey": header}
    assert cosmos.ask("GET", f"{DOCS}/i0", b"", key).status == 400


@pytest.mark.parametrize("coding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_body_in_another_coding_than_utf_8_is_refused_with_400(cosmos: CosmosAtHand, coding: str) -> None:
    raw = json.dumps({"id": "other", "h": "h", "v": "å"}, ensure_ascii=False).encode(coding)
    assert cosmos.ask("POST", DOCS, raw, HOME).status == 400


@pytest.mark.parametrize("text", ["\ud800", "a\ud83d"])
def test_half_a_character_anywhere_is_refused_with_501(cosmos: CosmosAtHand, text: str) -> None:
    for item in ({"id": "half", "h": "h", "v": {"x": [text]}}, {"id": "half", "h": "h", text: 1}, {"id": text}):
        assert cosmos.ask("POST", DOCS, item, HOME).status == 501
    assert cosmos.query("SELECT * FROM c WHERE c.v = @v", {"@v": text}).status == 501
    assert cosmos.query("SELECT * FROM c WHERE c.v = '\\ud83d'").status == 501
    assert cosmos.query("SELECT * FROM c WHERE c.v = '\\ud83d\\ude00'").status == 200


@pytest.mark.parametrize("number", [MUCH, f"-{MUCH}", "9007199254740993", "1e999", "-1e999"])
def test_number_that_a_double_does_not_hold_is_refused_with_501(cosmos: CosmosAtHand, number: str) -> None:
    assert cosmos.ask("POST", DOCS, f'{{"id":"n","h":"h","v":{number}}}'.encode(), HOME).status == 501
    assert cosmos.query(f"SELECT * FROM c WHERE c.v = {number}").status == 501
    assert cosmos.query(f"SELECT * FROM c WHERE c.list[{number}] = 1").status in {400, 501}
    assert cosmos.ask("GET", f"{DOCS}/i0", b"", {"x-ms-documentdb-partitionkey": f"[{number}]"}).status == 501


def test_item_id_is_limited_in_bytes(cosmos: CosmosAtHand) -> None:
    assert cosmos.ask("POST", DOCS, {"id": "é" * 512, "h": "h"}, HOME).status == 400
    assert cosmos.ask("POST", DOCS, {"id": "é" * 511, "h": "h"}, HOME).status == 201


@pytest.mark.parametrize(
    "policy",
    [
        {"includedPaths": [{"path": ["x"]}]},
        {"excludedPaths": [{"path": {}}]},
        {"excludedPaths": [{}]},
        {"indexingMode": 1},
        {"automatic": "no"},
    ],
)
def test_indexing_policy_of_wrong_types_is_refused_with_400(cosmos: CosmosAtHand, policy: dict[str, Any]) -> None:
    assert cosmos.new_container("policy", indexingPolicy=policy).status == 400


@pytest.mark.parametrize("path", ["/", "/a/", "//a", "/a//b"])
def test_partition_key_path_with_an_empty_name_is_refused(cosmos: CosmosAtHand, path: str) -> None:
    key = {"paths": [path], "kind": "Hash", "version": 2}
    assert cosmos.ask("POST", f"{DATABASE}/colls", {"id": "p", "partitionKey": key}).status == 501


def test_body_that_never_ends_is_not_kept_and_refused_with_413(cosmos: CosmosAtHand) -> None:
    part = b" " * 2**20
    tracemalloc.start()
    assert cosmos.send("POST", DOCS, [], []).status == 401  # what a first request loads does not count
    before = tracemalloc.get_traced_memory()[1]
    said = cosmos.send("POST", DOCS, [part] * 64, [*signed("POST", DOCS).items(), *HOME.items()])
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert said.status == 413
    assert peak < 8 * 2**20


@pytest.mark.parametrize("seconds", ["1e300", "-1e300", "1e12", "NaN", "Infinity"])
def test_clock_cannot_be_moved_out_of_time(cosmos: CosmosAtHand, seconds: str) -> None:
    assert cosmos.ask("POST", "/_local/clock", f'{{"offset_seconds": {seconds}}}'.encode()).status == 400
    assert cosmos.ask("GET", f"{DOCS}/i0", b"", HOME).status == 200
