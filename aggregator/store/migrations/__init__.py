"""Alembic migrations: ``env.py`` and, in ``versions/``, one module per version of the tables."""
