"""Name, version and date of the model that is released next."""

from datetime import date

NAME, VERSION, CREATED = "turbofan", "1.2.1", date(2026, 11, 22)
