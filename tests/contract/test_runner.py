"""The runner against the local broker: a sample app's functions report each call, and the test says how it ends."""

import http.client
import json
import os
import queue
import signal
import socketserver
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver, ServiceBusSender

from local import servers
from local.processes import Process, free_port

SAMPLE = Path(__file__).parent / "sample_app"
PATIENCE = 20.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a function, which waits for our answer."""

    seen: dict[str, Any]
    answers: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def succeed(self) -> None:
        self.answers.put("succeed")

    def fail(self, text: str = "told to") -> None:
        self.answers.put(text)


class Observer(socketserver.ThreadingTCPServer):
    """Takes the functions' reports."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.calls: dict[str, queue.Queue[Call]] = defaultdict(queue.Queue)
        super().__init__(("127.0.0.1", 0), _Report)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def next(self, function: str, seconds: float = PATIENCE) -> Call:
        """Wait for the function's next call."""
        return self.calls[function].get(timeout=seconds)

    def none(self, function: str, seconds: float) -> bool:
        """Say that the function is not called for so long."""
        try:
            self.calls[function].get(block=seconds > 0, timeout=seconds)
        except queue.Empty:
            return True
        return False


class _Report(socketserver.StreamRequestHandler):
    server: Observer

    def handle(self) -> None:
        call = Call(seen=json.loads(self.rfile.readline()))
        self.server.calls[call.seen["function"]].put(call)
        self.wfile.write(call.answers.get().encode() + b"\n")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A broker, a runner with the sample app, and what they say."""

    broker: Process
    runner: Process
    observer: Observer
    connection: str
    resources: ExitStack
    senders: dict[str, ServiceBusSender] = field(default_factory=dict)  # slow to open, so kept

    def send(self, queue_name: str, *bodies: str, session: str | None = None, **properties: Any) -> None:
        if queue_name not in self.senders:
            client = self.resources.enter_context(ServiceBusClient.from_connection_string(self.connection))
            self.senders[queue_name] = self.resources.enter_context(client.get_queue_sender(queue_name))
        messages = [ServiceBusMessage(body, session_id=session, **properties) for body in bodies]
        self.senders[queue_name].send_messages(messages)

    @contextmanager
    def receiver(self, queue_name: str, **options: Any) -> Iterator[ServiceBusReceiver]:
        with (
            ServiceBusClient.from_connection_string(self.connection) as client,
            client.get_queue_receiver(queue_name, **options) as receiver,
        ):
            yield receiver

    def waiting(self, queue_name: str) -> list[str]:
        """Peek at the bodies in the queue, locked ones included."""
        with self.receiver(queue_name) as receiver:
            return [b"".join(message.body).decode() for message in receiver.peek_messages(100)]

    def post(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.runner.program.port, timeout=PATIENCE)
        connection.request("POST", path, body="{}")
        return connection.getresponse().status


@contextmanager
def bench(root: Path, **settings: str) -> Iterator[Bench]:
    with ExitStack() as stack:
        observer = stack.enter_context(Observer())
        threading.Thread(target=observer.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(observer.shutdown)
        broker = servers.servicebus(root, free_port(), entities=SAMPLE / "entities.json")
        connection = servers.settings(servers.Ports(bus=broker.port))["ServiceBus"]
        values = {
            "ServiceBus": connection,
            "REPORT_PORT": str(observer.port),
            "SINGLE": "single",
            "TICK": "0 0 0 1 1 *",
            **settings,
        }
        runner = servers.runner(root, free_port(), values, project=SAMPLE)
        yield Bench(
            broker=stack.enter_context(servers.running(broker, root)),
            runner=stack.enter_context(servers.running(runner, root)),
            observer=observer,
            connection=connection,
            resources=stack,
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("runner")) as made:
        yield made


def test_a_message_arrives_as_on_the_platform_and_success_completes_it(shared: Bench) -> None:
    sent = datetime.now(UTC).replace(tzinfo=None)
    shared.send("single", '{"to": "x"}', message_id="m-1", subject="s", application_properties={"attempt": 2, "k": "v"})

    call = shared.observer.next("single")
    seen = dict(call.seen)
    enqueued = datetime.fromisoformat(seen.pop("enqueued_time_utc"))
    call.succeed()

    assert enqueued.tzinfo is None
    assert abs(enqueued - sent) < timedelta(seconds=10)
    assert seen == {
        "function": "single",
        "type": "azure.functions.servicebus.ServiceBusMessage",
        "body": '{"to": "x"}',
        "message_id": "m-1",
        "session_id": None,
        "subject": "s",
        "delivery_count": 1,
        "application_properties": {"attempt": 2, "k": "v"},
        "locked_until": None,
        "time_to_live": None,
        "dead_letter_reason": None,
    }
    shared.send("single", "next")
    shared.observer.next("single").succeed()
    assert shared.observer.none("single", 1)
    assert shared.waiting("single") == []


def test_an_exception_abandons_at_once_and_counts_a_delivery_until_the_message_is_dead(shared: Bench) -> None:
    shared.send("single", "poison")
    for count in (1, 2, 3):
        call = shared.observer.next("single", 4)  # sooner than the lock would end by itself
        assert call.seen["delivery_count"] == count
        call.fail()
    with shared.receiver("single", sub_queue="deadletter") as receiver:
        [dead] = receiver.receive_messages(max_wait_time=PATIENCE)
        assert b"".join(dead.body) == b"poison"
        receiver.complete_message(dead)


def test_no_more_calls_run_side_by_side_than_host_json_says(shared: Bench) -> None:
    shared.send("single", *"abcde")
    running = [shared.observer.next("single") for _ in range(3)]
    assert shared.observer.none("single", 1.5)
    running.pop().succeed()
    running.append(shared.observer.next("single"))
    running.pop().succeed()
    running.append(shared.observer.next("single"))
    for call in running:
        call.succeed()


def test_a_long_calls_message_and_session_stay_locked(shared: Bench) -> None:
    shared.send("single", "slow")
    shared.send("sessions", "slow", "after", session=uuid4().hex)
    calls = [shared.observer.next("single"), shared.observer.next("session")]
    assert shared.observer.none("single", 7)  # the queues' locks are 5 s
    assert shared.observer.none("session", 0)
    for call in calls:
        call.succeed()
    shared.send("single", "after")
    for after in (shared.observer.next("single"), shared.observer.next("session")):
        assert (after.seen["body"], after.seen["delivery_count"]) == ("after", 1)
        after.succeed()


def test_a_batch_is_one_call_and_its_failure_brings_all_of_it_again(shared: Bench) -> None:
    shared.send("batch", *(f"b{number}" for number in range(5)))
    first = shared.observer.next("batch")
    assert sorted(message["body"] for message in first.seen["messages"]) == ["b0", "b1", "b2", "b3", "b4"]
    assert {message["delivery_count"] for message in first.seen["messages"]} == {1}
    shared.send("batch", "later")
    assert shared.observer.none("batch", 1.5)  # one batch at a time
    first.fail()
    again: dict[str, int] = {}
    while len(again) < 6:
        call = shared.observer.next("batch")
        again |= {message["body"]: message["delivery_count"] for message in call.seen["messages"]}
        call.succeed()
    assert again == {"b0": 2, "b1": 2, "b2": 2, "b3": 2, "b4": 2, "later": 1}


def test_a_dead_letter_queue_has_a_function_like_any_other_and_no_delivery_limit(shared: Bench) -> None:
    shared.send("batch", "poison")
    for _ in range(3):
        shared.observer.next("batch").fail()
    for count in range(4, 9):
        call = shared.observer.next("again")
        assert (call.seen["body"], call.seen["delivery_count"]) == ("poison", count)
        call.fail()
    shared.observer.next("again").succeed()
    assert shared.observer.none("again", 1)
    with shared.receiver("batch", sub_queue="deadletter") as receiver:
        assert receiver.peek_messages(10) == []


def test_a_session_is_handled_in_order_one_message_at_a_time(shared: Bench) -> None:
    session = uuid4().hex
    shared.send("sessions", "1", "2", "3", session=session)
    first = shared.observer.next("session")
    assert (first.seen["body"], first.seen["session_id"]) == ("1", session)
    assert shared.observer.none("session", 1)
    first.fail()
    for body, count in (("1", 2), ("2", 1), ("3", 1)):
        call = shared.observer.next("session")
        assert (call.seen["body"], call.seen["delivery_count"]) == (body, count)
        call.succeed()


def test_as_many_sessions_as_host_json_says_run_side_by_side(shared: Bench) -> None:
    for name in ("x", "y", "z"):
        shared.send("sessions", name, session=f"{name}-{uuid4().hex}")
    running = [shared.observer.next("session") for _ in range(2)]
    assert shared.observer.none("session", 1.5)
    for call in running:
        call.succeed()
    shared.observer.next("session").succeed()  # when one of the two has been empty long enough


def test_a_returned_value_without_a_binding_fails_the_call(shared: Bench) -> None:
    shared.send("returns", "r")
    shared.observer.next("returns").succeed()
    with shared.receiver("returns", sub_queue="deadletter") as receiver:
        [dead] = receiver.receive_messages(max_wait_time=PATIENCE)
        receiver.complete_message(dead)


@pytest.mark.parametrize(("succeeds", "status"), [(True, 202), (False, 500)])
def test_a_timer_can_be_fired_by_hand_and_the_answer_says_how_it_ended(
    shared: Bench, *, succeeds: bool, status: int
) -> None:
    answers: queue.Queue[int] = queue.Queue()
    threading.Thread(target=lambda: answers.put(shared.post("/admin/functions/yearly"))).start()
    call = shared.observer.next("yearly")
    assert call.seen["past_due"] is False
    if succeeds:
        call.succeed()
    else:
        call.fail()
    assert answers.get(timeout=PATIENCE) == status


@pytest.mark.parametrize(("name", "status"), [("nobody", 404), ("single", 400)])
def test_only_a_timer_of_the_app_can_be_fired_by_hand(shared: Bench, name: str, status: int) -> None:
    assert shared.post(f"/admin/functions/{name}") == status


def test_the_log_tells_each_outcome_and_never_a_body_or_an_exceptions_text(shared: Bench) -> None:
    shared.send("single", "secret-in-the-body")
    shared.observer.next("single").fail("secret-in-the-exception")
    shared.observer.next("single").succeed()
    shared.send("single", "the last")
    shared.observer.next("single").succeed()
    log = shared.runner.log.read_text()
    assert "single failed" in log
    assert "ToldToFailError at function_app.py:" in log
    assert "single succeeded" in log
    assert "secret" not in log


def test_a_broker_that_comes_back_is_served_again(shared: Bench) -> None:
    shared.send("single", "before")
    shared.observer.next("single").succeed()
    shared.broker.kill()
    shared.broker.start()
    shared.broker.wait_ready()
    shared.senders.clear()
    shared.send("single", "afterwards")
    shared.send("batch", "afterwards")
    shared.send("sessions", "afterwards", session=uuid4().hex)
    for function in ("single", "batch", "session"):
        bodies: list[str] = []
        while "afterwards" not in bodies:  # what was not settled before the kill may come once more
            call = shared.observer.next(function, 40)
            bodies += [message["body"] for message in call.seen.get("messages", [call.seen])]
            call.succeed()


def test_a_timer_fires_by_its_schedule_and_one_call_at_a_time(tmp_path: Path) -> None:
    with bench(tmp_path, TICK="* * * * * *") as own:
        first = own.observer.next("tick")
        assert first.seen["past_due"] is False
        assert own.observer.none("tick", 2.5)
        first.succeed()
        own.observer.next("tick", 3).succeed()


def test_a_timer_that_was_missed_while_stopped_fires_at_the_start_as_past_due(tmp_path: Path) -> None:
    state = tmp_path / "runner" / "timers.json"
    state.parent.mkdir()
    missed = {"schedule": "0 0 0 1 1 *", "next": "2026-01-01T00:00:00+00:00"}
    state.write_text(json.dumps({"yearly": missed, "tick": {**missed, "schedule": "0 0 0 2 2 *"}}))
    with bench(tmp_path) as own:
        call = own.observer.next("yearly")
        call.succeed()
        assert call.seen["past_due"] is True
        assert own.observer.none("tick", 0.5)  # what was remembered for another schedule says nothing
        assert json.loads(state.read_text())["yearly"]["next"] > datetime.now(UTC).isoformat()


def test_a_stop_lets_running_calls_end_and_takes_nothing_new(tmp_path: Path) -> None:
    with bench(tmp_path) as own:
        own.send("batch", "before")
        own.observer.next("batch").succeed()
        own.send("single", "running")
        call = own.observer.next("single")
        assert own.runner.pid is not None
        os.kill(own.runner.pid, signal.SIGTERM)
        own.send("batch", "too late")  # while its worker waits for messages
        own.send("single", "too late")
        assert own.observer.none("batch", 2)
        assert own.observer.none("single", 0)
        call.succeed()
        own.runner.stop()
        assert own.waiting("single") == ["too late"]
        assert own.waiting("batch") == ["too late"]
        assert "cut off" not in own.runner.log.read_text()


def test_an_app_that_holds_what_is_not_run_is_refused_with_its_name(tmp_path: Path) -> None:
    values = {"ServiceBus": "Endpoint=sb://127.0.0.1", "TICK": "0 0 0 1 1 *"}  # SINGLE is missing
    runner = Process(servers.runner(tmp_path, free_port(), values, project=SAMPLE), tmp_path)
    runner.start()
    with pytest.raises(servers.ProcessError, match="single: %SINGLE% names no setting"):
        runner.wait_ready()
