#!/usr/bin/env bash
# aeon reads values of a .ts file with time stamps without their sign: -5.5 becomes 5.5.
# Guessed: the numbers come back as they stand in the file, as without time stamps. aeon 1.6.0.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aeon==1.6.0
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import tempfile

from aeon.datasets import load_from_ts_file

HEAD = "@missing false\n@univariate true\n@equalLength true\n@seriesLength 3\n@classLabel true a b\n@data\n"
with tempfile.TemporaryDirectory() as folder:
    stamped, plain = pathlib.Path(folder, "Stamped_TRAIN.ts"), pathlib.Path(folder, "Plain_TRAIN.ts")
    rows = "(0,-5.5),(1,2.25),(2,-0.5):a\n(0,1.5),(1,-3.5),(2,4.5):b\n"
    stamped.write_text(f"@problemName Stamped\n@timeStamps true\n{HEAD}{rows}")
    plain.write_text(f"@problemName Plain\n@timeStamps false\n{HEAD}-5.5,2.25,-0.5:a\n1.5,-3.5,4.5:b\n")
    read = [load_from_ts_file(str(path))[0][:, 0].tolist() for path in (stamped, plain)]
print("with time stamps", read[0], "| without", read[1])
assert read[1] == [[-5.5, 2.25, -0.5], [1.5, -3.5, 4.5]]
assert read[0] == [[5.5, 2.25, 0.5], [1.5, 3.5, 4.5]], "values with time stamps keep their sign now"
PYTHON
