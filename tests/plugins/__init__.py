"""Plug-ins that live outside the product, as somebody else would write them."""
