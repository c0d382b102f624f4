"""A local Cosmos DB (API for NoSQL) server for development and tests; the unmodified azure-cosmos SDK talks to it.

Start it with ``python -m local.cosmos --data FILE.sqlite --port N``. It follows the REST protocol of Azure Cosmos DB
(https://learn.microsoft.com/rest/api/cosmos-db/). What it models, it models exactly; **everything else is refused with
501 and a body that names what is not modelled**, so that a test passing here says something about the real service.

Modelled
    - Account read; databases and containers: create, read, list, delete; replace of a container (items stay).
      Addressing by name and by ``_rid``. A request for a container that was deleted and created again answers
      400/1024.
    - One partition key path, kind Hash, version 2, with the real hash: partition key ranges and feed ranges hold the
      items that they would hold on Azure for the same boundaries. The number of ranges is fixed when the container is
      created (``--ranges``); ranges never split.
    - Items: create, upsert, read, replace, delete, patch (add, set, replace, remove, incr; conditional); ``If-Match``
      on all writes, ``If-None-Match`` on reads; ``_etag`` and ``_ts`` (seconds) set by the server; 2 MB, 128 arrays
      and objects inside each other and 1,023 bytes of id at most.
      An upsert with ``If-Match`` of an item that does not exist creates it, as on Azure.
    - Transactional batch: atomic, 1 to 100 operations, 2 MB, one partition key; ``ifMatch`` per operation; 424 for
      the rest.
    - Queries over one partition key, one partition key range or sub-range, or all. ``SELECT *``, ``SELECT c.a, c.b.c
      AS d``, ``SELECT VALUE c.x``, ``SELECT VALUE COUNT(1)``; ``WHERE`` with comparisons, ``AND``, ``OR``, ``NOT``,
      ``IN``, ``IS_DEFINED``, ``IS_NULL``, ``IS_STRING``, ``ARRAY_CONTAINS``, ``ARRAY_LENGTH``, ``LOWER``,
      ``STRINGEQUALS``, ``STARTSWITH``, ``SUBSTRING``; ``ORDER BY`` one property; parameters; pages that stay correct
      while items are deleted between them. Across partitions ``ORDER BY``, aggregates, ``DISTINCT``, ``TOP``,
      ``OFFSET`` and ``GROUP BY`` answer 400/1004 as on Azure, and the query plan that the SDK then asks for is refused.
    - Time to live of containers and items, hidden when expired; a movable clock, which also gives ``_ts`` and ``Date``.
    - Strong consistency. Throughput settings are accepted and have no effect; every request charges one unit.

Refused, although Azure answers
    Change feed, stored procedures, triggers, user functions, users, permissions, offers, conflicts, hierarchical or
    version 1 partition keys, unique keys, computed properties, vector and full-text policies; queries on databases
    and containers; every clause, function and operator that is not in the list; sorting by several properties, by
    arrays or objects, or under a custom indexing policy; ``!=`` and ``NOT`` where the result depends on comparing
    values of different types (the documentation says undefined, Microsoft's reference evaluator says false);
    conditions with more than 50 expressions inside each other; whole numbers beyond 2^53, numbers beyond the largest
    double; text with half a character (a lone surrogate); ``If-None-Match`` on writes.

Data survives ``kill -9`` of the process once acknowledged (SQLite, write-ahead log), not the loss of the machine.

Levers, answered to loopback only (see :mod:`local.cosmos.levers`): ``GET`` and ``POST /_local/clock``, ``GET``,
``POST`` and ``DELETE /_local/faults``, ``GET /_local/ready``.
"""

EMULATOR_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
"""The account key: the one that Microsoft publishes for its emulator. It protects nothing."""
