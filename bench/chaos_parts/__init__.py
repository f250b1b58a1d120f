"""The parts of `chaos.py`: each breaks something of a running gateway and says what came of it."""
