"""The database room: tables, sessions, transitions and reads by noun."""
