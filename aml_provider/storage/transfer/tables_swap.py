"""Tables that come in the place of others: made under another name, and renamed when they are whole."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import TransferError
from .tables_reading import Table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: PostgreSQL cuts off what is more of a name, in silence: two long names may mean one table.
_NAME_BYTES = 63
#: What tables are called that are not whole yet; behind it are a hash of the table they are for, and chance.
PART = "aml_part_"


@dataclass(frozen=True)
class Target:
    """A table that rows are to come into.

    :param columns: name -> SQLAlchemy's type, of a table that is there; ``None``: it is not.
    """

    connection: Connection
    table: Table
    columns: dict[str, Any] | None

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the kind of database."""
        return str(self.connection.dialect.name)

    def quoted(self, table: Table) -> str:
        """A table's name in a statement."""
        import sqlalchemy as sa

        return self.connection.dialect.identifier_preparer.format_table(sa.table(table.name, schema=table.schema))

    def run(self, statement: str) -> Any:
        """Run a statement as it is written."""
        return self.connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def target_of(connection: Connection, table: Table) -> Target:
    """The table, for this transfer alone where the database can see to that.

    :raises TransferError: it is a view, another transfer into it is running, or its name is too long.
    """
    import sqlalchemy as sa

    _check_length(connection, "table", table.name)
    _alone(connection, table)
    inspector = sa.inspect(connection)
    columns = None
    if inspector.has_table(table.name, table.schema):
        if table.name in inspector.get_view_names(table.schema):
            raise TransferError(f"{str(table)!r} is a view, not a table; give the table that it shows.")
        columns = {str(c["name"]): c["type"] for c in inspector.get_columns(table.name, table.schema)}
    target = Target(connection, table, columns)
    if target.dialect in ("mysql", "mariadb"):
        # There, a transfer that was killed leaves the table that it was making.
        for name in inspector.get_table_names(table.schema):
            if name.startswith(_prefix(table)):
                target.run(f"DROP TABLE {target.quoted(Table(name, table.schema))}")
    return target


def _check_length(connection: Connection, what: str, name: str) -> None:
    count = len(name.encode())
    if connection.dialect.name == "postgresql" and count > _NAME_BYTES:
        raise TransferError(
            f"the name of {what} {name!r} has {count} bytes, and PostgreSQL keeps {_NAME_BYTES} of a name; give a "
            "shorter one."
        )


def part_of(table: Table) -> Table:
    """The name under which a new table is made."""
    return Table(_prefix(table) + uuid.uuid4().hex[:8], table.schema)


def make(target: Target, part: Table, columns: dict[str, Any]) -> None:
    """Make a table with these columns.

    :raises TransferError: a column's name is too long.
    """
    import sqlalchemy as sa

    for name in columns:
        _check_length(target.connection, "column", name)

    made = sa.Table(part.name, sa.MetaData(), *(sa.Column(n, t) for n, t in columns.items()), schema=part.schema)
    made.create(target.connection)


def make_like(target: Target, part: Table) -> list[str]:
    """Make a table like the one that is there; what it lacks, in words."""
    import sqlalchemy as sa

    inspector = sa.inspect(target.connection)
    old, new = target.quoted(target.table), target.quoted(part)
    keys = inspector.get_foreign_keys(target.table.name, target.table.schema)
    if target.dialect == "postgresql":
        target.run(f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL)")
        _move_sequences(target, part)
    elif target.dialect in ("mysql", "mariadb"):
        target.run(f"CREATE TABLE {new} LIKE {old}")
    else:
        there = sa.Table(target.table.name, sa.MetaData(), autoload_with=target.connection, schema=target.table.schema)
        copy = there.to_metadata(sa.MetaData(), name=part.name)
        # They come back when the old table, whose they are, is gone.
        copy.indexes.clear()
        copy.create(target.connection)
        keys = []
    return [f"table {target.table} no longer has the {len(keys)} foreign keys that it had"] if keys else []


def check_replaceable(target: Target) -> None:
    """Refuse to replace a table of which more would be lost than its rows.

    :raises TransferError: it has partitions.
    """
    if target.dialect == "postgresql" and target.columns is not None:
        kind = target.connection.exec_driver_sql(
            "SELECT relkind FROM pg_class WHERE oid = %s::regclass", (target.quoted(target.table),)
        ).scalar()
        if kind in ("p", b"p"):
            raise TransferError(
                f"table {str(target.table)!r} has partitions, which a new table in its place would not have; empty it, "
                "and transfer with overwrite 'append'."
            )


def swap(target: Target, part: Table) -> None:
    """Put a whole table in the place of the one that is there, all at once."""
    name = target.quoted(target.table)
    short = target.connection.dialect.identifier_preparer.quote(target.table.name)
    if target.dialect in ("mysql", "mariadb"):
        if target.columns is None:
            target.run(f"RENAME TABLE {target.quoted(part)} TO {name}")
            return
        old = target.quoted(part_of(target.table))
        target.run(f"RENAME TABLE {name} TO {old}, {target.quoted(part)} TO {name}")
        target.run(f"DROP TABLE {old}")
        return
    indexes = _indexes(target) if target.columns is not None else []
    if target.columns is not None:
        target.run(f"DROP TABLE {name}")
    if target.dialect == "mssql":
        text = target.quoted(part).replace("'", "''")
        target.run(f"EXEC sp_rename N'{text}', N'" + target.table.name.replace("'", "''") + "'")
    else:
        target.run(f"ALTER TABLE {target.quoted(part)} RENAME TO {short}")
    for statement in indexes:
        target.run(statement)


def _indexes(target: Target) -> list[str]:
    """The statements that make the old table's indexes, where a new table does not get them with its columns."""
    if target.dialect != "sqlite":
        return []
    import sqlalchemy as sa

    kind, of, made = (sa.column(name, sa.Text()) for name in ("type", "tbl_name", "sql"))
    known = sa.table("sqlite_master", kind, of, made, schema=target.table.schema)
    wanted = (
        sa.select(made)
        .select_from(known)
        .where(kind.in_(["index", "trigger"]), of == target.table.name, made.is_not(None))
    )
    return [str(statement) for statement in target.connection.execute(wanted).scalars()]


def _move_sequences(target: Target, part: Table) -> None:
    """Numbers that the old table's columns draw go on; else they would go with it."""
    old, new = target.quoted(target.table), target.quoted(part)
    for column in target.columns or {}:
        found = target.connection.exec_driver_sql(
            "SELECT pg_get_serial_sequence(%s, %s), "
            "(SELECT attidentity FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s)",
            (old, column, old, column),
        ).one()
        if found[0] is not None and not found[1]:
            quoted = target.connection.dialect.identifier_preparer.quote(column)
            target.run(f"ALTER SEQUENCE {found[0]} OWNED BY {new}.{quoted}")


def _alone(connection: Connection, table: Table) -> None:
    key = _prefix(table)
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")
        return
    # It ends with the connection.
    if (
        connection.dialect.name in ("mysql", "mariadb")
        and not connection.exec_driver_sql(f"SELECT GET_LOCK('{key}', 0)").scalar()
    ):
        raise TransferError(
            f"another transfer into table {str(table)!r} is running; wait until it has ended.", again=True
        )


def _prefix(table: Table) -> str:
    return PART + hashlib.sha256(f"{table.schema}\0{table.name}".encode()).hexdigest()[:16] + "_"
