"""The database's layout, step by step; `storage.database.migrate` runs what is missing."""
