#!/usr/bin/env bash
# imate.logdet(method="slq"), asked for 1 % of the log-determinant of a kernel matrix plus a ridge of 1e-6, times 1e9, says "converged" with an
# error of 1 % at 95 % confidence, and is off by 27 %: the error said is that of the random vectors alone, and the
# quadrature's own, of the 20 Lanczos steps of the default, is in neither. And where the log-determinant is negative, as that of a
# kernel matrix is, error_rtol is never met: the test is error < error_rtol * log-determinant, with its sign, so all vectors
# that are allowed are used and "converged" is False at a tenth of the error asked for.
# Guessed: the error holds in 19 of 20 runs, and a matrix times a number needs about as many vectors. imate 0.29.11.
# Safe: method="cholesky"; or lanczos_degree raised until the answer stays, of a matrix scaled to a positive log-determinant.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q imate==0.29.11
"$folder/venv/bin/python" - <<'PYTHON'
import imate
import numpy as np

x = np.sort(np.random.default_rng(0).uniform(size=300))
K = np.exp(-((x[:, None] - x) ** 2) / 0.02)


def runs(ridge, scale, count):
    A = scale * (K + ridge * np.eye(300))
    truth = np.linalg.slogdet(A)[1]
    asked = dict(method="slq", return_info=True, min_num_samples=10, max_num_samples=2000, error_rtol=0.01)
    records = [imate.logdet(A, **asked) for _ in range(count)]
    off = np.array([abs(answer / truth - 1) for answer, _ in records])
    said = np.array([info["error"]["relative_error"] for _, info in records])
    vectors = [int(info["convergence"]["num_samples_used"]) for _, info in records]
    converged = [bool(np.all(info["convergence"]["converged"])) for _, info in records]
    print(
        f"ridge {ridge:.0e}, matrix times {scale:.0e}: log-determinant {truth:.0f}, off by {off.mean():.2%}, said {said.mean():.2%}, "
        f"vectors {np.mean(vectors):.0f}, converged in {sum(converged)} of {count}"
    )
    return off, said, vectors, converged


off, said, _, converged = runs(1e-6, 1e9, 5)
assert all(converged) and off.min() > 10 * said.max(), "the error holds the quadrature now"
off, said, vectors, converged = runs(0.1, 100.0, 5)
assert all(converged) and max(vectors) < 500
off, said, vectors, converged = runs(0.1, 1.0, 2)
assert not any(converged) and min(vectors) == 2000 and said.max() < 0.003, "a negative log-determinant converges now"
PYTHON
