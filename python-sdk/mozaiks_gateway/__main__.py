"""`python -m mozaiks_gateway`; also, by its path, what the gateway starts its further processes with."""

from mozaiks_gateway._launch import mozaiks

mozaiks()
