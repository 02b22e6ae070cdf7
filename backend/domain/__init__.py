"""Pure decisions and plain data: no I/O, no clock, no library that talks to the outside."""
