"""The database: its tables, its migrations and every query."""
