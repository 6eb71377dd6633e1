"""The crash matrix: real programs under seeded faults, and the store counted against what was emitted."""
