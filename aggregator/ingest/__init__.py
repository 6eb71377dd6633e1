"""First loop of the centre: subscribe, validate, commit, acknowledge."""
