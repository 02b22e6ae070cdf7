"""Queues, the pump, the repairs and the beat that runs them."""
