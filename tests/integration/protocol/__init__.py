"""The protocol as a model: random calls of the real store, judged by what was promised to whoever called."""
