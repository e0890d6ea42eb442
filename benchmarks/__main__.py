"""All benchmarks, one after the other: ``python benchmarks [FOLDER OF AMAZON BABY]``; without it, no Amazon Baby."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    folder = sys.argv[1:2]
    steps = [["accuracy_ml100k.py"], ["encoders.py"], ["accuracy_stamps.py"], ["content_control.py"], ["cold_items.py"]]
    steps += [["new_users.py"]]
    if folder:
        steps += [["accuracy_baby.py", *folder], ["speed.py", *folder]]
    for script, *arguments in [*steps, ["report.py"]]:
        print(f"== {script}", flush=True)
        environment = os.environ | {"OMP_NUM_THREADS": "2"}
        subprocess.run([sys.executable, str(HERE / script), *arguments], check=True, env=environment)


if __name__ == "__main__":
    main()
