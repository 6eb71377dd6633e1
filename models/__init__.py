"""Released model bundles (``registry/``) and the code that trains them (``training/``)."""
