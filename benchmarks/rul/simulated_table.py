"""What ``benchmarks.rul.simulated`` found, by name, and as tables for a person."""

from models.figures import Table
from shared.cmapss import SUBSETS

AGES = {"age known": True, "age unknown": False}
POOLED = "pooled"
REAL_TO_REAL, SIMULATED_TO_REAL = "C-MAPSS to C-MAPSS", "simulated to C-MAPSS"
REAL_TO_SIMULATED, SIMULATED_TO_SIMULATED = "C-MAPSS to simulated", "simulated to simulated"
CONSTANT = "constant to C-MAPSS"
HEAD = """\
                            tested on C-MAPSS engines                                      tested on simulated engines
trained on          C-MAPSS                 simulated engines             no engine      C-MAPSS      simulated
                    RMSE   score   bias     RMSE          score   bias    RMSE   score   RMSE         RMSE"""
LINE = "{:<19} {:<6} {:<7} {:<8} {:<13} {:<7} {:<7} {:<6} {:<7} {:<12} {}"
BANDS_HEAD = """\
student of simulated engines,     tested on C-MAPSS engines                     tested on simulated engines
age known                         RMSE          bias          coverage          RMSE          bias          coverage"""
BANDS_LINE = "{:<33} {:<13} {:<13} {:<17} {:<13} {:<13} {}"

Results = dict[str, Table]


def table(results: Results) -> str:
    """The tables for a person."""
    lines = [HEAD]
    for age, age_known in AGES.items():
        for name in (*SUBSETS, POOLED):
            card, own, other, both, fixed = (
                results[key][name]
                for key in (
                    f"{REAL_TO_REAL}, {age}",
                    f"{SIMULATED_TO_REAL}, {age}",
                    f"{REAL_TO_SIMULATED}, {age}",
                    f"{SIMULATED_TO_SIMULATED}, {age}",
                    CONSTANT,
                )
            )
            cells = [f"{card['rmse']:.2f}", f"{card['score_mean']:.2f}", f"{card['bias']:+.2f}"]
            cells += [_spread(own, "rmse"), f"{own['score_mean']:.2f}", f"{own['bias']:+.2f}"]
            cells += [
                f"{fixed['rmse']:.2f}",
                f"{fixed['score_mean']:.1f}",
                _spread(other, "rmse"),
                _spread(both, "rmse"),
            ]
            lines.append(LINE.format(name if age_known else f"{name}, {age}", *cells))
    lines += ["", BANDS_HEAD]
    by_band, expected = (results[f"{key}, bands"] for key in (SIMULATED_TO_REAL, SIMULATED_TO_SIMULATED))
    for name, found in by_band.items():
        cells = [_spread(one, figure) for one in (found, expected[name]) for figure in ("rmse", "bias", "coverage")]
        lines.append(BANDS_LINE.format(name, *cells))
    return "\n".join(lines)


def _spread(found: dict[str, float], figure: str) -> str:
    return f"{found[figure]:.2f} ± {found[f'{figure}_sd']:.2f}"
