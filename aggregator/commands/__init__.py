"""The commands of the aggregator, one module per group; each module says what it takes and what it does.

They import what they need when they run, so that ``--help`` and wrong settings are answered at once.
"""
