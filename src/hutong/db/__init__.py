"""PostgreSQL for all other packages: connections, statements, migrations, the embedded server, the coalescer.

Promises: every statement comes from a `sql/` folder; a transaction commits whole or not at all; the server keeps what
it has acknowledged (start-up refuses a server that is configured otherwise).
"""

from hutong.db.catch_up import (
    CatchUp,
    CatchUpReason,
    begin_catch_up,
    finish_catch_up,
    lock_high_water,
    mark_prepared,
    open_catch_up,
    raise_high_water,
    refresh_catch_up,
)
from hutong.db.coalescer import Coalescer
from hutong.db.embedded import EmbeddedServer
from hutong.db.embedded_recovery import Recovered, Recovery, check_restorable, recover
from hutong.db.embedded_remains import cluster_of, destroy_cluster, find_orphans, remove_orphan
from hutong.db.embedded_system import binaries
from hutong.db.jobs import every, wait_for
from hutong.db.migrations import migrate, pending_migrations
from hutong.db.partitions import Partition, Spans, plan_partitions
from hutong.db.pool import (
    API_ROLE,
    CONSOLE_ROLE,
    LONG_LIMIT_S,
    REQUEST_LIMIT_S,
    WORKER_ROLE,
    Database,
    Tx,
    time_limit,
)
from hutong.db.reader import reader
from hutong.db.statements import Statement, load_statements

__all__ = [
    "API_ROLE",
    "CONSOLE_ROLE",
    "LONG_LIMIT_S",
    "REQUEST_LIMIT_S",
    "WORKER_ROLE",
    "CatchUp",
    "CatchUpReason",
    "Coalescer",
    "Database",
    "EmbeddedServer",
    "Partition",
    "Recovered",
    "Recovery",
    "Spans",
    "Statement",
    "Tx",
    "begin_catch_up",
    "binaries",
    "check_restorable",
    "cluster_of",
    "destroy_cluster",
    "every",
    "find_orphans",
    "finish_catch_up",
    "load_statements",
    "lock_high_water",
    "mark_prepared",
    "migrate",
    "open_catch_up",
    "pending_migrations",
    "plan_partitions",
    "raise_high_water",
    "reader",
    "recover",
    "refresh_catch_up",
    "remove_orphan",
    "time_limit",
    "wait_for",
]
