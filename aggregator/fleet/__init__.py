"""Pure rules over fleet state: health bands and liveness."""
