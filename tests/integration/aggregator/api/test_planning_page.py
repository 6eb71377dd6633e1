"""docs/planning.md: its snippets run, in their order, and do what the page says."""

import json


def test_the_snippets_run_and_do_what_the_page_says(serve_snippets, recorder, clock):
    recorder.register("ESN-1001")
    for day in range(3):
        clock.advance(86_400 if day else 0)
        recorder.send(recorder.row("ESN-1001", 1 + day))
    recorder.send(recorder.prediction("ESN-1001", 3, q50=20.0, spread=4))
    recorder.status("heartbeat")
    asked, opened, file = serve_snippets("planning.md")
    (removal,) = json.loads(asked)["items"]
    assert (removal["serial"], removal["site"]) == ("ESN-1001", "hamburg")
    *totals, last = opened.splitlines()
    assert [line.split()[0] for line in totals] == ["plan", "repair_at_q05", "run_to_failure"]
    assert last == f"ESN-1001 comes off on {removal['planned_for']}"
    assert file.strip() == ",".join(removal)
