"""The HTTP API over Flask's test client, on SQLite and MariaDB."""
