"""Shows everything that a plugin can do with the gateway."""
