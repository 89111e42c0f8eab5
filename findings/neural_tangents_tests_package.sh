#!/usr/bin/env bash
# neural-tangents 0.6.5: its wheel puts a package of the name `tests` beside `neural_tangents` in site-packages.
# Guess: installing a library for kernels changes nothing about what `import tests...` finds in a project of one's own.
# Seen: a project's own folder tests/ without an __init__.py (a namespace package, as pytest's "importlib" mode and flat test folders
# have it) can no longer be imported: Python prefers a regular package anywhere on the path to a namespace package in the
# working folder, and `from tests.helpers import ...` says "No module named 'tests.helpers'".
# Safe: an __init__.py in tests/, or relative helpers; or install neural-tangents in an environment of its own.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
mkdir -p "$folder/project/tests"
echo 'answer = 42' > "$folder/project/tests/helpers.py"
cd "$folder/project"
look='from tests.helpers import answer; print("found:", answer)'
"$folder/venv/bin/python" -c "$look"
"$folder/venv/bin/pip" install -q --no-deps neural-tangents==0.6.5
seen=$("$folder/venv/bin/python" -c "$look" 2>&1 | tail -1) || true
echo "with neural-tangents 0.6.5: $seen"
"$folder/venv/bin/python" -c 'import tests; print("tests is", tests.__file__.split("site-packages/")[-1])'
[ "$seen" = "ModuleNotFoundError: No module named 'tests.helpers'" ]
