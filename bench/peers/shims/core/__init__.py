"""Stands in for the gateway's SDK in the peers, so that they run the same plugin files."""
