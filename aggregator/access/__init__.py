"""Who may do what: roles per site, and how people, scripts and tokens of an outside issuer are recognised."""
