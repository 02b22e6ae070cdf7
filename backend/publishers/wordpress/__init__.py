"""WordPress by its REST interface and an application password."""
