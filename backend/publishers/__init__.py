"""Plug-ins that publish: one file or folder per platform."""
