"""The parts of the benchmark, by the name that a person asks for them with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.measure import Options
from benchmarks.parts import between, chain, claims, hashing, logging, parsing, plan, scheduled, steps, transfer
from benchmarks.table import Row

#: A part measures in the folder that it is given, and yields a row as soon as it has one.
PARTS: Mapping[str, Callable[[Path, Options], Iterator[Row]]] = {
    "parse": parsing.rows,
    "steps": steps.rows,
    "plan": plan.rows,
    "plan-s3": plan.far_rows,
    "chain": chain.rows,
    "hash": hashing.rows,
    "claims": claims.rows,
    "logging": logging.rows,
    "airflow": scheduled.rows,
    "transfer": transfer.rows,
    "transfer-s3": transfer.far_rows,
    "transfer-between": between.rows,
}
