"""The program on the gateway beside an engine: sensor rows in, predictions out, nothing lost."""
