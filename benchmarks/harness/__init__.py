"""What the benchmarks share: servers, a running system, measuring of processes, ideals, and reports."""
