"""Other queues doing the same work: what they need is in `requirements-bench.txt`, and only their own processes import it."""
