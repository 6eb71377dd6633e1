"""What the agent, the aggregator and training must agree on; it imports none of them."""
