"""How fast decisions are: in process against VW, over HTTP against the floor of the same stack.

    python -m benchmarks.latency [--quick] [--json]

Everything is compared within one run, alternating, as medians and ratios: absolute times belong to
the machine and its neighbours. Aims: decide_vs_vw 1.0, http_vs_floor 0.6, batch_vs_single 4,
batch_vs_floor 0.4, each "at least".
"""

import argparse
import json

from benchmarks.latency import in_process, over_http
from benchmarks.latency.workload import learned

AIMS = {"decide_vs_vw": 1.0, "http_vs_floor": 0.6, "batch_vs_single": 4.0, "batch_vs_floor": 0.4}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    asked = parser.parse_args()
    calls = 500 if asked.quick else 5000
    size = over_http.Size(singles=400, batches=2, batch=500, rounds=3)
    if not asked.quick:
        size = over_http.Size(singles=2000, batches=4, batch=1000, rounds=7)
    figures = in_process.measure(learned(), calls) | over_http.measure(size)
    for name, figure in figures.items():
        aim = f"   aim: at least {AIMS[name]:g}" if name in AIMS else ""
        print(f"{name:20} {figure:12,.2f}{aim}")
    if asked.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
