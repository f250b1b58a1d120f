"""Tasks of users, with a live page."""
