"""Do the rules hold under load?

    python -m benchmarks.rules [--quick] [--json]

64 senders hammer the same 100 users through 3 API processes for 30 s each: as they are, with a
worker killed midway, and, to show that the judge can find fault, with a check taken out of the
commit. An independent judge reads the log afterwards. Exits with 1 unless the sound runs have no
violation and each broken one has some.
"""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext

from benchmarks.rules.load import SETTINGS, Load, hammer
from benchmarks.rules.sabotage import CHECKS, without
from benchmarks.rules.verdict import judge
from service.demo.local import running_service


def run(load: Load, place: AbstractContextManager[None]) -> tuple[dict[str, float], list[str]]:
    """The figures of one run, and every complaint."""
    with place, running_service(SETTINGS | {"workers": load.workers}) as service:
        happened = hammer(service, load)
        if happened.errors:
            raise happened.errors[0]
        verdict = judge(service, happened)
    return verdict.figures(happened), verdict.complaints


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rules", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 s instead of 30 s each")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    asked = parser.parse_args()
    seconds = 5.0 if asked.quick else 30.0
    runs: dict[str, tuple[Load, AbstractContextManager[None]]] = {
        "sound": (Load(seconds=seconds), nullcontext()),
        "worker killed": (Load(seconds=seconds, kill=True), nullcontext()),
    }
    for check in CHECKS:
        runs[f"without the {check} check"] = (Load(seconds=5.0, users=20), without(check))
    figures: dict[str, dict[str, float]] = {}
    for name, (load, place) in runs.items():
        figures[name], found = run(load, place)
        print(f"{name}: " + ", ".join(f"{key} {value:,g}" for key, value in figures[name].items()))
        for complaint in found[:3]:
            print(f"    {complaint}")
    if asked.json:
        print(json.dumps(figures))
    as_expected = all(
        (one["violations"] > 0) == name.startswith("without") for name, one in figures.items()
    )
    sys.exit(0 if as_expected else 1)


if __name__ == "__main__":
    main()
