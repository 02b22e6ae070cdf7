"""Cascade: a parent that plans and keeps the truth, and nodes that do the slow work."""
