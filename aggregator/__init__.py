"""The program at the centre: commits what gateways send and serves the fleet."""
