"""Trains, judges and releases the RUL models; runs in an environment of its own (``make train``)."""
