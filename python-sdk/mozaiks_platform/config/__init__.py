"""Where the database is found."""
