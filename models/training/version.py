"""Name, version and date of the model that is released next."""

from datetime import date

NAME, VERSION, CREATED = "turbofan", "1.1.0", date(2026, 11, 21)
