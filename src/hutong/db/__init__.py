"""PostgreSQL for everybody else: connections, statements, migrations, the embedded server, the coalescer.

Promises: a statement that runs comes from a `sql/` folder; a transaction commits whole or not at all; the server
underneath keeps what it acknowledged (start-up refuses one that is set not to).
"""

from hutong.db.bench import bench_coalescer
from hutong.db.coalescer import Coalescer
from hutong.db.embedded import EmbeddedServer
from hutong.db.migrate import migrate, pending_migrations
from hutong.db.parquet import write_parquet
from hutong.db.partition import Partition, Spans, plan_partitions
from hutong.db.pool import Database, Tx
from hutong.db.reader import reader
from hutong.db.statement import Statement, Statements, statements

__all__ = [
    "Coalescer",
    "Database",
    "EmbeddedServer",
    "Partition",
    "Spans",
    "Statement",
    "Statements",
    "Tx",
    "bench_coalescer",
    "migrate",
    "pending_migrations",
    "plan_partitions",
    "reader",
    "statements",
    "write_parquet",
]
