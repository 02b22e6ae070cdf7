"""The three phases, the ledgers, and the node process that runs them."""
