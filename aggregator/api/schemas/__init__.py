"""What the API takes and gives, documented with units; one module per resource."""
