"""`python -m mozaiks_gateway`; by its path, also what starts further processes of the gateway."""

from mozaiks_gateway._launch import mozaiks

mozaiks()
