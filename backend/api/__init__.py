"""The Flask parent: routes by noun, auth, and the one place where errors become answers."""
