"""The one HTTP client: egress guard, proxy, limits."""
