"""Second loop of the centre: the REST API, one router per resource."""
