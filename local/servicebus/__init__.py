"""A local Service Bus: an AMQP 1.0 server for the unchanged azure-servicebus SDK (7.15), on the standard library alone.

Start: ``python -m local.servicebus --data DIR --port N --entities FILE``; it prints ``ready sb://HOST:PORT`` when it
listens, and ends on SIGTERM. Clients use
``Endpoint=sb://127.0.0.1:PORT;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;``
and can be pointed at Microsoft's emulator or at Azure instead; the entities file is the emulator's ``Config.json``.

What was acknowledged (a send accepted, a settlement answered, a schedule or session state confirmed) is on the disk,
and survives kill -9. Locks are not kept: what was locked at the kill is back after the restart, its delivery count
unchanged.

Modelled
- Queues; topics whose subscriptions match every message; the dead-letter queue of each; Azure's limits on their
  settings.
- Sending: single messages, batches (0x80013700), transfers of many frames, 256 KB at most; duplicate detection;
  scheduling (by ``schedule_messages`` or by the message's own time) and cancelling; time to live, dropped or
  dead-lettered at its end.
- Receiving: peek-lock and receive-and-delete, credit, drain, competing receivers, locks that end, renewal, peek.
- Settling: complete, abandon, release, defer and receive by number, dead-letter with reason; the maximum delivery
  count; on the link and over ``$management``.
- Connections: a client that says nothing for four minutes, not even with the empty frames that it is asked for, is hung
  up on; so is one that takes nothing for so long, because it is not listened to meanwhile.
- Sessions: by name and next available with its timeout, order, exclusive locks, renewal, state, conflict.

Refused, with an AMQP error (or a message at the start) that names it
- Correlation and SQL rules, forwarding, partitioned entities, unknown properties in the entities file.
- Times outside the years 1 to 9999, arrays of items without bytes, maps with keys that are neither texts nor whole
  numbers, an idle time of less than 200 ms.
- Transactions, message annotations changed on settlement, listing sessions, rule management, scheduling to a topic,
  scheduling a duplicate, browsing a topic, filters other than the session filter, mixed settlement modes, dynamic
  nodes.
- TLS, WebSockets, SASL other than ANONYMOUS, tokens other than shared access signatures.

Different from Azure, on purpose
- Nobody is kept out: every shared access signature is good. It listens on the loopback interface.
- A receiver's unsettled messages come back at once when its link or connection is gone, counted as a failed delivery;
  Azure keeps them locked until the lock ends, and counts then. So a restarted local app need not wait five minutes.
- Without ``DefaultMessageTimeToLive`` messages never expire; entities are never idle, full, throttled or disabled; no
  link is ever idle.

From the documentation, not compared with the live service: a deferred message that is abandoned stays deferred;
deferring does not count as a failure; a dead-lettered message keeps its sequence number and delivery count; closing a
session does not count, its lock's end does.

Layers, each importing only those before it: ``values``, ``constructors``, ``encoding``, ``decoding``,
``performatives``, ``frames``, ``envelope`` (bytes);
``entities``, ``records``, ``sessions``, ``locks``, ``duplicates``, ``message_queue``, ``broker`` (the state machine;
no network, disk or clock); ``store`` (SQLite); ``links``, ``management``, ``dispatch``, ``attach``, ``session``,
``connection``, ``server``.
"""
