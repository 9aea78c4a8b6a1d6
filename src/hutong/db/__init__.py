"""PostgreSQL for all other packages: connections, statements, migrations, the embedded server, the coalescer.

Promises: every statement comes from a `sql/` folder; a transaction commits whole or not at all; the server keeps what
it has acknowledged (start-up refuses a server that is configured otherwise).
"""

from hutong.db.coalescer import Coalescer
from hutong.db.embedded import EmbeddedServer
from hutong.db.embedded_recovery import Recovered, Recovery, check_restorable, recover
from hutong.db.embedded_system import binaries
from hutong.db.jobs import every, wait_for
from hutong.db.migrations import migrate, pending_migrations
from hutong.db.partitions import Partition, Spans, plan_partitions
from hutong.db.pool import Database, Tx
from hutong.db.reader import reader
from hutong.db.statements import load_statements

__all__ = [
    "Coalescer",
    "Database",
    "EmbeddedServer",
    "Partition",
    "Recovered",
    "Recovery",
    "Spans",
    "Tx",
    "binaries",
    "check_restorable",
    "every",
    "load_statements",
    "migrate",
    "pending_migrations",
    "plan_partitions",
    "reader",
    "recover",
    "wait_for",
]
