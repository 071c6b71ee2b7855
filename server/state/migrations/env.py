"""Alembic's entry: runs migrations on the connection that ``server.state.migrate`` hands in."""

from alembic import context

from server.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
