#!/usr/bin/env bash
# aeon reads the class labels of a .ts file in lower case: the classes A and a of one file become one.
# Guessed: labels come back as they stand in the file, as from its .arff reader. aeon 1.6.0.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aeon==1.6.0
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import tempfile

from aeon.datasets import load_from_arff_file, load_from_ts_file

with tempfile.TemporaryDirectory() as folder:
    ts, arff = pathlib.Path(folder, "Two_TRAIN.ts"), pathlib.Path(folder, "Two_TRAIN.arff")
    head = "@problemName Two\n@timeStamps false\n@missing false\n@univariate true\n@equalLength true\n@seriesLength 3\n"
    ts.write_text(head + "@classLabel true A a\n@data\n1,2,3:A\n4,5,6:a\n")
    columns = "".join(f"@attribute att{i} numeric\n" for i in range(3))
    arff.write_text(f"@relation Two\n{columns}@attribute target {{A,a}}\n@data\n1,2,3,A\n4,5,6,a\n")
    from_ts, from_arff = load_from_ts_file(str(ts))[1], load_from_arff_file(str(arff))[1]
print(".ts", from_ts.tolist(), "| .arff", from_arff.tolist())
assert from_ts.tolist() == ["a", "a"], "labels of .ts keep their case now"
assert from_arff.tolist() == ["A", "a"]
PYTHON
