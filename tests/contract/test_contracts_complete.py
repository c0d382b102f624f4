"""The contract suites of the local servers hold for all that the product asks of the SDKs, and for each refusal.

Each method of the SDKs, and each of its options, that stands anywhere in the product is in the first two tables with a test
of the suites that shows it on whatever server it runs against. A new one needs a row, and so a test. The third table has
the refusals. Not looked at: options that are passed on by `**`, which the tests of the adapters show.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender, ServiceBusSession
from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

ROOT = Path(__file__).parents[2]
OURS = {("local", "cosmos"), ("local", "servicebus"), ("local", "azure")}
COSMOS = (CosmosClient, DatabaseProxy, ContainerProxy)
BUS = (ServiceBusClient, ServiceBusReceiver, ServiceBusSender, ServiceBusSession)
BLOB = (BlobClient, BlobServiceClient, ContainerClient)
OTHERWISE = {"read"}  # a name of our own too, so that it is not looked for; its row is written by hand

COSMOS_CALLS = {
    "create_container_if_not_exists": "test_creating_what_is_there_already_changes_nothing",
    "create_database_if_not_exists": "test_creating_what_is_there_already_changes_nothing",
    "create_item": "test_item_lives_from_create_to_delete",
    "execute_item_batch": "test_batch_of_100_operations_is_carried_out_in_order",
    "execute_item_batch partition_key": "test_batch_of_100_operations_is_carried_out_in_order",
    "execute_item_batch raw_response_hook": "test_batch_tells_its_hook_of_each_answer",
    "get_database_client": "test_replacing_a_container_keeps_its_items",
    "query_items": "test_condition_selects_as_cosmos_db_does",
    "query_items feed_range": "test_expired_records_are_listed_in_order_by_feed_range",
    "query_items max_item_count": "test_keyset_resume_lists_everything_once",
    "query_items parameters": "test_condition_selects_as_cosmos_db_does",
    "query_items partition_key": "test_projections_leave_out_what_is_undefined",
    "query_items session_token": "test_query_in_the_session_of_a_refused_batch_sees_the_items_as_they_stand",
    "read": "test_reading_a_container_tells_the_time_of_the_service",
    "read_all_items": "test_malformed_item_is_refused_with_400",
    "read_feed_ranges": "test_feed_ranges_hold_every_item_once_and_where_the_sdk_expects_it",
    "read_item": "test_item_lives_from_create_to_delete",
}
BUS_CALLS = {
    "abandon_message": "test_async_client_sends_receives_and_settles",
    "complete_message": "test_async_client_sends_receives_and_settles",
    "get_queue_receiver": "test_async_client_sends_receives_and_settles",
    "get_queue_receiver max_wait_time": "test_receiver_waits_for_the_next_session_until_one_comes",
    "get_queue_receiver session_id": "test_next_available_gives_every_receiver_another_session",
    "get_queue_receiver sub_queue": "test_async_client_counts_dead_letters_by_peeking_and_takes_none",
    "get_queue_sender": "test_async_client_sends_receives_and_settles",
    "get_subscription_receiver": "test_each_subscription_gets_its_own_copy",
    "get_topic_sender": "test_each_subscription_gets_its_own_copy",
    "peek_messages": "test_async_client_counts_dead_letters_by_peeking_and_takes_none",
    "peek_messages max_message_count": "test_async_client_counts_dead_letters_by_peeking_and_takes_none",
    "receive_messages": "test_async_client_sends_receives_and_settles",
    "receive_messages max_message_count": "test_competing_receivers_get_different_messages",
    "receive_messages max_wait_time": "test_async_client_sends_receives_and_settles",
    "renew_lock": "test_session_lock_ends_unless_it_is_renewed",
    "renew_message_lock": "test_lock_ends_unless_it_is_renewed",
    "send_messages": "test_list_of_messages_arrives_whole_and_in_order",
}
REFUSALS = {
    "Cosmos DB 400: malformed item": "test_malformed_item_is_refused_with_400",
    "Cosmos DB 400: wrong partition key": "test_failing_operation_undoes_the_ones_before_it",
    "Cosmos DB 400: more than 100 operations; 413: more than 2 MB": "test_batch_beyond_its_limits_is_refused_as_a_whole",
    "Cosmos DB 400: continuation of another query": "test_continuation_token_of_another_query_is_refused",
    "Cosmos DB 400: continuation that is none": "test_continuation_token_that_is_none_is_refused",
    "Cosmos DB 400/1004: query plan needed": "test_what_needs_a_query_plan_across_partitions_is_refused",
    "Cosmos DB 400: across partitions unasked": "test_query_across_partitions_must_be_allowed",
    "Cosmos DB 401: wrong key": "test_wrong_key_is_refused_with_401",
    "Cosmos DB 404: item": "test_item_is_not_found_under_another_partition_key",
    "Cosmos DB 404: container, database": "test_what_is_asked_of_a_missing_container_or_database_is_404",
    "Cosmos DB 408, 449, 500, 503": "test_injected_error_is_answered_before_or_after_the_operation",
    "Cosmos DB 409: it exists": "test_create_of_an_existing_item_is_refused_with_409",
    "Cosmos DB 412: stale ETag": "test_write_with_a_stale_etag_is_refused_with_412_and_changes_nothing",
    "Cosmos DB 413: item above 2 MB": "test_item_of_more_than_2_mb_is_refused_with_413",
    "Cosmos DB 424: the others of a batch": "test_batch_with_one_stale_etag_carries_out_nothing",
    "Cosmos DB 429: with the time to wait": "test_throttling_beyond_the_sdks_patience_surfaces_as_429",
    "Cosmos DB 429: of a batch": "test_throttled_batch_says_when_to_come_back",
    "Cosmos DB: no answer": "test_lost_answer_to_a_batch_leaves_it_carried_out",
    "Cosmos DB 501: query": "test_query_that_is_not_modelled_is_refused_with_501",
    "Cosmos DB 501: feature": "test_features_that_are_not_modelled_are_refused_with_501",
    "Service Bus: lock lost, after its end, to another": "test_lock_ends_unless_it_is_renewed",
    "Service Bus: session lock lost": "test_session_lock_ends_unless_it_is_renewed",
    "Service Bus: session of another": "test_session_that_another_receiver_holds_is_refused",
    "Service Bus: no session in time": "test_receiver_without_a_session_in_time_is_told_so",
    "Service Bus: entity not found": "test_entity_that_does_not_exist_is_reported_as_such",
    "Service Bus: message not found": "test_deferred_message_is_had_by_its_number_only",
    "Service Bus: message above 256 KB": "test_message_over_256_kb_is_refused_and_the_sender_goes_on",
    "Service Bus: list above 256 KB": "test_list_of_messages_over_256_kb_together_is_refused_whole",
    "Service Bus: duplicate, dropped": "test_second_message_with_an_id_is_dropped_even_after_the_first_is_done",
    "Service Bus: delivered too often": "test_message_abandoned_as_often_as_allowed_is_dead_lettered",
    "Service Bus: expired": "test_expired_message_is_dead_lettered_where_the_queue_says_so",
    "Service Bus: without a session": "test_message_for_a_session_queue_needs_a_session",
    "Service Bus: not the queue's kind": "test_receiver_that_does_not_fit_the_queue_is_refused",
    "Service Bus: not modelled": "test_what_is_not_modelled_is_refused_by_name",
    "Service Bus: no AMQP, broken frame": "test_other_protocols_and_broken_frames_only_end_their_own_connection",
}


def methods(*classes: type) -> set[str]:
    return {name for each in classes for name in dir(each) if name[0] != "_" and callable(getattr(each, name))}


def used(*classes: type) -> set[str]:
    """The methods of these classes in the product, and with which options."""
    known = methods(*classes) - methods(*BLOB) - OTHERWISE
    found = set()
    for root in ("shared", "functions", "cli", "local"):
        for path in (ROOT / root).rglob("*.py"):
            if path.relative_to(ROOT).parts[:2] in OURS or "node_modules" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr in known:
                    found.add(node.attr)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in known:
                    found |= {f"{node.func.attr} {each.arg}" for each in node.keywords if each.arg}
    return found


def suite_tests() -> set[str]:
    """The tests of the suites."""
    found = set()
    for path in Path(__file__).parent.glob("test_*_server*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


@pytest.mark.parametrize(("classes", "table"), [(COSMOS, COSMOS_CALLS), (BUS, BUS_CALLS)])
def test_each_call_that_the_product_makes_has_a_contract_test(classes: tuple[type, ...], table: dict[str, str]) -> None:
    assert used(*classes) == set(table) - OTHERWISE


@pytest.mark.parametrize("table", [COSMOS_CALLS, BUS_CALLS, REFUSALS])
def test_each_test_of_the_tables_is_there(table: dict[str, str]) -> None:
    assert set(table.values()) - suite_tests() == set()
