"""Migrations make exactly the tables that the code uses, on SQLite and on PostgreSQL."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

from alerts.tables import incident
from server.state.migrate import HEAD, SCHEMAS, config, schema, upgrade
from server.state.tables import metadata


def test_migrations_make_what_the_code_uses_and_a_second_run_is_harmless(database):
    upgrade(database.engine)
    upgrade(database.engine)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def told(index):
    """An index with its options as text: SQLAlchemy's clauses cannot be compared."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


def shape(engine):
    """Everything the database says of its tables."""
    seen = inspect(engine)
    return {
        name: {
            "columns": [{**column, "type": str(column["type"])} for column in seen.get_columns(name)],
            "indexes": sorted(map(told, seen.get_indexes(name)), key=lambda index: index["name"]),
            "primary": seen.get_pk_constraint(name),
            "foreign": sorted(seen.get_foreign_keys(name), key=lambda key: key["name"]),
            "unique": seen.get_unique_constraints(name),
        }
        for name in seen.get_table_names()
        if name != "alembic_version"
    }


def test_migrated_tables_do_not_differ_from_tables_made_at_once(database):
    upgrade(database.engine)
    migrated = shape(database.engine)
    metadata.drop_all(database.engine)
    metadata.create_all(database.engine)
    assert migrated == shape(database.engine)


def test_only_one_open_incident_fits(database):
    upgrade(database.engine)
    with database.engine.connect() as connection:
        indexes = {index["name"]: index for index in inspect(connection).get_indexes("incident")}
    assert indexes["ix_incident_open"]["unique"]


def test_data_survive_a_second_upgrade(database):
    upgrade(database.engine)
    row = {"check_id": "web", "subject": "service/x", "status": "down", "severity": "high", "reason": "refused"}
    with database.engine.begin() as connection:
        connection.execute(incident.insert().values(**row, opened_ms=2**40, confirmed_ms=2**40))
    upgrade(database.engine)
    with database.engine.connect() as connection:
        assert connection.execute(select(incident.c.id, incident.c.opened_ms)).one() == (1, 2**40)


def test_migrations_form_one_line(database):
    upgrade(database.engine)
    with database.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(config(connection))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == SCHEMAS


def test_the_newest_schema_is_told_without_alembic(database):
    with database.engine.connect() as connection:
        assert schema(connection) is None
    upgrade(database.engine)
    with database.engine.connect() as connection:
        assert schema(connection) == HEAD
