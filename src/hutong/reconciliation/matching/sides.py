"""The rows of a layer's sides, and the layer's rules as expressions of DuckDB that all engines share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hutong.reconciliation.duck import literal
from hutong.reconciliation.layers import LayerDefinition
from hutong.reconciliation.matching.model import CARRY_COLUMNS, MATCHED_COLUMNS, WAITING_COLUMNS
from hutong.reconciliation.model import RowState
from hutong.reconciliation.rows import MONEY_COLUMNS, ROW_COLUMNS

if TYPE_CHECKING:
    import duckdb

ORDER = '"day", "file", "line", channel_no, "at", memo, merchant, reference'
"""The order of rows of one side wherever it decides: the same on every engine."""

CARRY = ", ".join(f'"{column}"' for column in CARRY_COLUMNS)

ROWS = ", ".join(f'"{column}"' for column in ROW_COLUMNS)
MATCHED = ", ".join(f'"{column}"' for column in MATCHED_COLUMNS)
MATCHED_ORDER = "ours_day, ours_file, ours_line, theirs_day, theirs_file, theirs_line, key"


def columns_of(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Return the names of a Parquet file's columns."""
    rows = connection.execute(f"SELECT name FROM parquet_schema({literal(path)})").fetchall()
    return [name for (name,) in rows]


def rows_of(
    connection: duckdb.DuckDBPyConnection, layer: LayerDefinition, files: Sequence[Path], offset: int = 0
) -> str:
    """Return the query of a side's rows: `CARRY_COLUMNS` and `pos`, their place over all files.

    Rows of other kinds are left out. The columns of waiting rows are empty in files that have none.

    Args:
        offset: The place of the first row.
    """
    kinds = ", ".join(literal(kind) for kind in sorted(layer.kinds))
    parts = []
    for path in files:
        has = columns_of(connection, path)
        columns = [f'"{column}"' for column in ROW_COLUMNS]
        columns += [
            f'coalesce("{column}", \'\') AS "{column}"' if column in has else f"'' AS \"{column}\""
            for column in WAITING_COLUMNS
        ]
        parts.append(
            f"SELECT {', '.join(columns)}, file_row_number + {offset} AS pos "
            f"FROM read_parquet({literal(path)}, file_row_number = true) WHERE kind IN ({kinds})"
        )
        offset += rows_in(connection, path)
    if not parts:
        columns = [f'NULL::{kind} AS "{column}"' for column, kind in CARRY_COLUMNS.items()]
        return f"SELECT {', '.join(columns)}, NULL::BIGINT AS pos WHERE false"
    return " UNION ALL ".join(parts)


def rows_in(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Return the number of rows of a Parquet file, from its footer."""
    return int(connection.execute(f"SELECT num_rows FROM parquet_file_metadata({literal(path)})").fetchall()[0][0])


class LayerRules:
    """A layer's rules as expressions over a row `o` of ours and a row `t` of theirs."""

    def __init__(self, layer: LayerDefinition) -> None:
        self.layer = layer
        self.state = "state" in layer.compared
        self.fee = "fee" in layer.compared
        self.plain = [column for column in layer.compared if column not in ("state", "fee")]
        money = [column for column in ("settled", *MONEY_COLUMNS) if column in layer.compared]
        self.money = money[0] if money else "settled"

    def net(self, row: str, fee: str | None = None) -> str:
        """Return the money of a row: after its fee if the layer compares fees."""
        if not self.fee:
            return f"{row}.{self.money}"
        return f"({row}.{self.money} - coalesce({fee or f'{row}.fee'}, 0))"

    @property
    def fee_of_ours(self) -> str:
        """Return the fee of ours in a pair: theirs' if ours has none."""
        return "coalesce(o.fee, t.fee)"

    @property
    def delta(self) -> str:
        """Return the money of ours less that of theirs in a pair."""
        return f"{self.net('o', self.fee_of_ours)} - {self.net('t')}"

    @property
    def equal(self) -> str:
        """Return the condition that two rows agree exactly, apart from their state."""
        terms = [f'o."{column}" = t."{column}"' for column in self.plain]
        if self.fee:
            terms.append("(o.fee IS NULL OR o.fee = coalesce(t.fee, 0))")
        return " AND ".join(terms) or "true"

    @property
    def certain(self) -> str:
        """Return the condition that two rows of one key, alone on their sides, are a pair beyond doubt."""
        return f"{self.equal} AND o.state = '{RowState.SUCCEEDED}' AND t.state = '{RowState.SUCCEEDED}'"

    def differs(self, column: str) -> str:
        """Return the condition that two rows differ in a column by more than its tolerance."""
        tolerance = self.layer.tolerance.get(column, 0)
        if column == "state":
            return "false"
        if column == "fee":
            return f"(o.fee IS NOT NULL AND abs(o.fee - coalesce(t.fee, 0)) > {int(tolerance)})"
        if tolerance:
            return f'abs(o."{column}" - t."{column}") > {int(tolerance)}'
        return f'o."{column}" <> t."{column}"'

    @property
    def column(self) -> str:
        """Return the first column in which two rows differ beyond its tolerance; NULL if they do in none."""
        cases = " ".join(f"WHEN {self.differs(column)} THEN '{column}'" for column in self.layer.compared)
        return f"CASE {cases} END" if cases else "NULL"


_OF_OURS = {"ours_file": "file", "ours_line": "line", "ours_day": "day", "merchant": "merchant"}
_OF_THEIRS = {"theirs_file": "file", "theirs_line": "line", "theirs_day": "day"}


def matched_columns(key: str, quality: str) -> str:
    """Return the columns of a pair of rows `o` and `t`."""
    made = {"key": key, "quality": quality, "reference": "o.reference", "kind": "o.kind"}
    made |= {name: f"o.{column}" for name, column in _OF_OURS.items()}
    made |= {name: f"t.{column}" for name, column in _OF_THEIRS.items()}
    return ", ".join(f'{made.get(name, f"t.{name}")}::{kind} AS "{name}"' for name, kind in MATCHED_COLUMNS.items())


def pair_quality() -> str:
    """Return the quality of a certain pair."""
    return "CASE WHEN o.day = t.day THEN 'exact' ELSE 'cross_day' END"


def carried_columns(row: str) -> str:
    """Return the columns of a waiting row but those that only waiting rows have."""
    return ", ".join(f'{row}."{column}"' for column in ROW_COLUMNS)
