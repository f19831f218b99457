"""Alembic's entry point: run the steps on the connection that `storage.database.migrate` opened."""

from alembic import context

from tallybook.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
