"""The pages people look at, fed by the same queries as the API."""
