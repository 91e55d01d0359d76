"""Files as chunks of numpy columns, by DuckDB: CSV, JSONL and Parquet larger than memory.

Rows come in file order. Every way a file can be unusable ends in one sentence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.evaluation.arrays import AnyArray

READERS = {
    ".csv": "read_csv",
    ".jsonl": "read_json",
    ".parquet": "read_parquet",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A readable file: its path, its columns with their types, and how DuckDB reads it."""

    path: Path
    types: dict[str, str]
    source: str  # SQL table function

    def require(self, columns: Sequence[str]) -> None:
        """Refuse names the file does not have."""
        for column in columns:
            if column not in self.types:
                known = ", ".join(self.types)
                raise BadInput(
                    f"{self.path.name} has no column {column!r}, expected one of: {known}; "
                    "map the column to the name it has in this file"
                )

    def select(self, expressions: dict[str, str], rows: int) -> Iterator[dict[str, AnyArray]]:
        """Chunks of at most `rows` rows; expressions are SQL by the name of the answer."""
        columns = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in expressions.items())
        reader = run(f"SELECT {columns} FROM {self.source}", self.path)  # noqa: S608
        try:
            for batch in reader.to_arrow_reader(rows):
                yield {
                    name: batch.column(place).to_numpy(zero_copy_only=False)
                    for place, name in enumerate(expressions)
                }
        except Exception as error:
            raise unreadable(self.path, error) from error

    def values(self, expression: str) -> list[Any]:
        """The distinct non-null values of an expression, sorted."""
        found = fetched(
            f"SELECT DISTINCT {expression} AS v FROM {self.source} "  # noqa: S608
            "WHERE v IS NOT NULL ORDER BY v",
            self.path,
        )
        return [value for (value,) in found]

    def unprompted(self, abstained: str, outcomes: dict[str, str]) -> frozenset[str]:
        """Outcomes that happened to some abstention, so that no send is needed for them.

        `abstained` is the condition of such a row, `outcomes` are SQL numbers by name.
        """
        if not outcomes:
            return frozenset()
        counted = ", ".join(
            f"count(*) FILTER (WHERE {abstained} AND COALESCE({sql}, 0.0) <> 0.0)"
            for sql in outcomes.values()
        )
        (counts,) = fetched(f"SELECT {counted} FROM {self.source}", self.path)  # noqa: S608
        return frozenset(name for name, rows in zip(outcomes, counts, strict=True) if rows)

    def refuse_duplicates(self, column: str) -> None:
        """Refuse a decision id that occurs twice, whatever the size of the file."""
        name = quoted(column)
        found = fetched(
            f"SELECT {name}, count(*) FROM {self.source} "  # noqa: S608
            f"GROUP BY 1 HAVING count(*) > 1 LIMIT 1",
            self.path,
        )
        if found:
            decision, times = found[0]
            raise BadInput(
                f"{self.path.name}, column {column}: decision {decision!r} occurs {times} "
                "times, expected once: join its outcomes into one row"
            )


def open_table(path: Path, delimiter: str = ",", known: Mapping[str, str] | None = None) -> Table:
    """A table over a .csv, .csv.gz, .jsonl or .parquet file.

    `known` has the types of columns that a .jsonl may have; without it all are guessed.
    """
    if not path.exists():
        raise BadInput(f"there is no file {path.name}: give the path of a log that exists")
    if path.stat().st_size == 0:
        raise BadInput(f"{path.name} is empty: give a log with at least one decision")
    suffix = path.suffixes[0] if path.suffix == ".gz" else path.suffix
    if suffix not in READERS:
        raise BadInput(f"{path.name} ends in {suffix!r}, expected one of {', '.join(READERS)}")
    arguments = {
        ".csv": f", delim={literal(delimiter)}, header=true",
        ".jsonl": ", format='newline_delimited', sample_size=-1",  # types from every row
    }
    if known is not None and suffix == ".jsonl":
        arguments[suffix] = _typed(path, known)
    source = f"{READERS[suffix]}({literal(str(path))}{arguments.get(suffix, '')})"
    described = fetched(f"DESCRIBE SELECT * FROM {source}", path)  # noqa: S608
    return Table(path, {str(row[0]): str(row[1]) for row in described}, source)


def _typed(path: Path, known: Mapping[str, str]) -> str:
    """Arguments that read the columns of a .jsonl by their known types, others as JSON."""
    lines = "format='newline_delimited'"
    flat = f"read_json({literal(str(path))}, {lines}, sample_size=-1, maximum_depth=1)"
    names = [str(row[0]) for row in fetched(f"DESCRIBE SELECT * FROM {flat}", path)]  # noqa: S608
    types = (f"{literal(name)}: {literal(known.get(name, 'JSON'))}" for name in names)
    return f", {lines}, columns={{{', '.join(types)}}}"


def run(sql: str, path: Path) -> Any:
    """A DuckDB relation in its own connection, rows in file order."""
    try:
        import duckdb  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise BadInput(
            "reading logs needs DuckDB and PyArrow: install the extra forbear[evaluate]"
        ) from error
    try:
        connection = duckdb.connect(config={"preserve_insertion_order": "true"})
        return connection.sql(sql)
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def fetched(sql: str, path: Path) -> list[tuple[Any, ...]]:
    """All rows of a small answer; a relation reads only now, so it fails only now."""
    relation = run(sql, path)
    try:
        rows: list[tuple[Any, ...]] = relation.fetchall()
    except Exception as error:
        raise unreadable(path, error) from error
    return rows


def unreadable(path: Path, error: Exception) -> BadInput:
    """One sentence for a file that cannot be read as what its name says."""
    reason = str(error).splitlines()[0]
    return BadInput(
        f"{path.name} cannot be read ({reason}): it may be truncated or of another format, "
        "write or export it again"
    )


def quoted(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def stable_id(expression: str) -> str:
    """SQL for a 64-bit id that is the same on every machine and version (from MD5)."""
    return f"md5_number_lower(CAST({expression} AS VARCHAR))"


def numbers(column: AnyArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as float64, missing values as nan."""
    return np.asarray(column, dtype=np.float64)
