"""Tells people and machines what became of alarms: Apprise for the ones, signed CloudEvents for the others."""
