"""The `cascade` command: parse, call one room, print."""
