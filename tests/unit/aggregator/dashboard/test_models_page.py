"""What the page of models says of one."""

from aggregator.dashboard.models_page import row_of
from aggregator.fleet.scoring import Sums
from aggregator.store.reads.outcomes import ModelOutcome
from aggregator.store.tables import Model

MODEL = Model(name="turbofan", version="1.2.0", sha256="ab" * 32)


def told(lives, leads=()):
    one = Sums(predictions=10, error_sum=-20.0, squared_error_sum=90.0, covered=9, near=5, near_squared_error_sum=5.0)
    return row_of(ModelOutcome(MODEL, failed=[one] * lives, leads={"rul-critical": list(leads)}))


def test_of_a_model_whose_engines_all_live_nothing_is_claimed():
    row = told(0)
    assert (row["lives"], row.get("rmse"), row["notes"]["rmse"]) == ("0 failed", None, "no engine has failed yet")


def test_of_few_lives_it_is_said_that_they_are_few():
    row = told(4, [30, None, 20, 22])
    assert (row["rmse"], row["near"], row["bias"], row["coverage"]) == ("3.0 cycles", "1.0", "-2.0", "90 % held")
    assert row["notes"]["rmse"] == "of fewer than 5 lives"
    assert (row["lead"], row["notes"]["lead"]) == ("22 cycles before", "in 3 of 4 lives")


def test_of_five_lives_there_is_an_interval():
    notes = told(5)["notes"]
    assert (notes["rmse"], notes["coverage"]) == ("3.0 to 3.0", "90 to 90 %")
