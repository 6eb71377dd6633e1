"""Plays engines and gateways: seeded, with the true remaining useful life known."""
