"""Plug-ins that tell somebody: one file per way of telling."""
