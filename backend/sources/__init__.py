"""Plug-ins that collect: one file per kind of feed."""
