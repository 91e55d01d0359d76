"""How fast decisions are: in process against VW, over HTTP against the floor of the same stack.

    python -m benchmarks.latency [--quick] [--json]

Everything is compared within one run, alternating, as medians and ratios: absolute times belong to
the machine and its neighbours.
"""

import argparse
import json

from benchmarks.latency import in_process, over_http, price
from benchmarks.latency.workload import learned

AT_LEAST = {
    "decide_vs_vw": 1.0,
    "http_vs_floor": 0.6,
    "batch_vs_single": 4.0,
    "batch_vs_floor": 0.4,
}
AT_MOST = {"price_ratio": 1.5, "price_ratio_batch": 1.5}


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
    workload = learned()
    figures = in_process.measure(workload, calls) | price.measure(workload, calls // 5)
    figures |= over_http.measure(size)
    for name, figure in figures.items():
        print(f"{name:20} {figure:12,.2f}{_aim(name)}")
    if asked.json:
        print(json.dumps(figures))


def _aim(name: str) -> str:
    for word, aims in (("least", AT_LEAST), ("most", AT_MOST)):
        if name in aims:
            return f"   aim: at {word} {aims[name]:g}"
    return ""


if __name__ == "__main__":
    main()
