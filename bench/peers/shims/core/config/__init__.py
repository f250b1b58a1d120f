"""See `core`."""
