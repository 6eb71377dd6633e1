"""Name, version and date of the model that is released next."""

from datetime import date

NAME, VERSION, CREATED = "turbofan", "1.3.0", date(2026, 11, 22)
