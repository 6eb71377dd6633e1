from edge_agent.outbox.rate import WINDOW_S, Rate


class Clock:
    now_s = 50.0

    def __call__(self):
        return self.now_s


def test_a_steady_rate_is_told_as_it_is():
    clock = Clock()
    rate = Rate(clock)
    for _ in range(2000):
        clock.now_s += 0.5
        rate.note(1, 700)
    records_per_s, bytes_per_s = rate.per_s()
    assert round(records_per_s, 1) == 2.0
    assert round(bytes_per_s, -1) == 1400


def test_the_rate_since_a_start_just_now_is_not_thinned_by_a_time_without_an_agent():
    clock = Clock()
    rate = Rate(clock)
    clock.now_s += 10
    rate.note(50, 5000)
    assert rate.per_s() == (5.0, 500.0)


def test_what_came_before_the_window_counts_no_more():
    clock = Clock()
    rate = Rate(clock)
    rate.note(50, 5000)
    clock.now_s += WINDOW_S + 1
    assert rate.per_s() == (0.0, 0.0)


def test_a_step_is_counted_beforehand_and_not_kept():
    clock = Clock()
    rate = Rate(clock)
    clock.now_s += 10
    rate.note(50, 5000)
    assert rate.per_s(10, 1000) == (6.0, 600.0)
    assert rate.per_s() == (5.0, 500.0)
