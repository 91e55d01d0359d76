"""Any team's file by column mapping, and one sentence for everything that can be wrong with it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import BadInput
from engine.evaluation.compare import compare
from engine.evaluation.policies import Logged, Stored
from engine.evaluation.readers.mapped import Columns, mapped_log
from engine.evaluation.settings import Settings

PLAIN = Columns("action", "p", "click", decision_id="id", user="user")
FULL = Columns(
    "action", "p", "click", law_prefix="law_", target_prefixes={"new": "new_"}, features=("age",)
)


def rows(n: int = 6) -> list[dict[str, Any]]:
    arms = ["", "a", "b"]
    return [
        {
            "id": f"d{k}",
            "user": f"u{k % 3}",
            "action": arms[k % 3],
            "p": 0.5 if k % 3 == 0 else 0.25,
            "click": int(k % 3 == 1),
            "law_a": 0.25,
            "law_b": 0.25,
            "law_abstain": 0.5,
            "new_a": 1.0,
            "new_b": 0.0,
            "age": 30 + k,
        }
        for k in range(n)
    ]


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, made[0].keys())
        writer.writeheader()
        writer.writerows(made)
    return path


def changed(tmp_path: Path, row: int, column: str, value: Any) -> Path:
    made = rows()
    made[row][column] = value
    return write(tmp_path / "log.csv", made)


def test_a_mapped_csv_gives_arms_law_targets_and_features(tmp_path: Path) -> None:
    log = mapped_log(write(tmp_path / "log.csv", rows()), FULL)
    batch = next(log.batches())
    assert log.arms == ("abstain", "a", "b")
    assert batch.action.tolist() == [0, 1, 2, 0, 1, 2]
    assert batch.pmf is not None
    assert batch.pmf[0].tolist() == [0.5, 0.25, 0.25]
    assert batch.targets["new"][0].tolist() == [0.0, 1.0, 0.0]
    assert batch.features is not None
    assert batch.features[:, 0].tolist() == [30, 31, 32, 33, 34, 35]


def test_an_outcome_of_a_row_without_a_send_happens_unprompted(tmp_path: Path) -> None:
    """Rows 0 and 3 abstained; only a click of one of them makes the click one of silence too."""
    assert frozenset() == mapped_log(write(tmp_path / "log.csv", rows()), PLAIN).unprompted
    changed_log = mapped_log(changed(tmp_path, 3, "click", 1), PLAIN)
    assert frozenset({"click"}) == changed_log.unprompted


def test_the_abstain_arm_by_its_name_is_no_send(tmp_path: Path) -> None:
    made = rows()
    for row in made:
        row["action"] = row["action"] or "none"
    made[0]["click"] = 1
    named = Columns("action", "p", "click", abstain="none")
    log = mapped_log(write(tmp_path / "log.csv", made), named)
    assert frozenset({"click"}) == log.unprompted


def test_parquet_and_csv_of_the_same_rows_give_the_same_estimates(tmp_path: Path) -> None:
    made = rows(600)
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "log.parquet")
    paths = [write(tmp_path / "log.csv", made), tmp_path / "log.parquet"]
    found = [
        compare(mapped_log(path, FULL), [Stored("new"), Logged()], Settings(chunk_rows=128))
        for path in paths
    ]
    assert found[0].sums["click"].gram == pytest.approx(found[1].sums["click"].gram, rel=1e-12)


def test_user_ids_are_hashed_the_same_on_every_machine(tmp_path: Path) -> None:
    batch = next(mapped_log(write(tmp_path / "log.csv", rows()), PLAIN).batches())
    assert batch.user[0] == batch.user[3] != batch.user[1]
    assert np.unique(batch.user).size == 3
    assert np.unique(batch.row_id).size == 6


def test_rows_without_an_id_are_numbered_through_the_chunks(tmp_path: Path) -> None:
    log = mapped_log(write(tmp_path / "log.csv", rows(9)), Columns("action", "p", "click"))
    ids = np.concatenate([batch.row_id for batch in log.batches(rows=4)])
    assert list(range(9)) == ids.tolist()


def test_without_a_user_column_nothing_is_clustered(tmp_path: Path) -> None:
    log = mapped_log(write(tmp_path / "log.csv", rows(300)), FULL)
    assert compare(log, [Stored("new")]).users is None


@pytest.mark.parametrize(
    ("value", "says"),
    [("", "got nan"), (0.0, "0 < p <= 1"), (1.5, "0 < p <= 1"), (-0.1, "0 < p <= 1")],
)
def test_a_bad_propensity_names_row_column_and_remedy(
    tmp_path: Path, value: Any, says: str
) -> None:
    log = mapped_log(changed(tmp_path, 4, "p", value), PLAIN)
    with pytest.raises(BadInput, match=f"row 4, column propensity.*{says}|{says}.*row 4"):
        list(log.batches())


def test_a_missing_outcome_names_its_row(tmp_path: Path) -> None:
    log = mapped_log(changed(tmp_path, 2, "click", ""), PLAIN)
    with pytest.raises(BadInput, match="row 2, column click: got nan"):
        list(log.batches())


def test_a_bad_row_in_a_later_chunk_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    made = rows(5000)
    made[4100]["p"] = 0.0
    log = mapped_log(write(tmp_path / "log.csv", made), PLAIN)
    with pytest.raises(BadInput, match="row 4100, column propensity"):
        list(log.batches(rows=1000))


def test_a_duplicate_decision_id_is_refused_before_any_reading(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="column id: decision 'd1' occurs 2 times"):
        mapped_log(changed(tmp_path, 4, "id", "d1"), PLAIN)


def test_an_unknown_column_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column 'probability', expected one of: id, user"):
        mapped_log(write(tmp_path / "log.csv", rows()), Columns("action", "probability"))


def test_a_truncated_parquet_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(rows(500)), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match=r"log\.parquet cannot be read .*truncated"):
        mapped_log(path, PLAIN)


def test_a_parquet_file_damaged_in_the_middle_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(rows(5000)), path, compression="zstd")
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[4:half] = bytes(half - 4)
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match="cannot be read"):
        list(mapped_log(path, Columns("action", "p", "click")).batches())


def test_an_empty_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.touch()
    with pytest.raises(BadInput, match="is empty"):
        mapped_log(path, PLAIN)


def test_a_file_with_a_header_only_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("id,user,action,p,click\n")
    with pytest.raises(BadInput, match="has no rows"):
        list(mapped_log(path, PLAIN).batches())


def test_a_missing_file_and_a_strange_ending_are_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file"):
        mapped_log(tmp_path / "log.csv", PLAIN)
    other = tmp_path / "log.xlsx"
    other.write_text("x")
    with pytest.raises(BadInput, match="expected one of"):
        mapped_log(other, PLAIN)


def test_a_missing_feature_value_names_its_column(tmp_path: Path) -> None:
    log = mapped_log(changed(tmp_path, 3, "age", ""), FULL)
    with pytest.raises(BadInput, match="column age: got nan"):
        list(log.batches())
