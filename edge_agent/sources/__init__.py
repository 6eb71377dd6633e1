"""Where sensor rows come from: one module per hardware protocol."""
