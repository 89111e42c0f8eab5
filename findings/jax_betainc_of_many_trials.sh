#!/usr/bin/env bash
# jax.scipy.special.betainc, and with it jax.scipy.stats.beta.cdf, loses a digit for each factor of ten in its parameters, in float32:
# I(1/2; a, a), which is 1/2, is 0.5165 for a = 30,000 and 0.129 for a = 500,000. So the tail of a binomial, which bounds from a
# test set invert, is 3 % too large for 60,000 examples, and for a million 56 % too small, the unsafe side; nothing is said.
# Guessed: a float32 number right to 1e-3 or better, as betainc of scipy.special is in float32 (1e-5). jax 0.10.2, scipy 1.17.1.
# Safe: scipy.special.betainc, or float64 parameters under jax_enable_x64.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np
import scipy.special

middle, tails = {}, {}
for n in (1_000, 10_000, 60_000, 1_000_000):
    half = np.float32(n / 2)
    middle[n] = float(jax.scipy.stats.beta.cdf(np.float32(0.5), half, half))
    print(f"I(1/2; {half:g}, {half:g}): jax {middle[n]:.6f}, scipy in float32 {scipy.special.betainc(half, half, np.float32(0.5)):.6f}")
    # The chance of k = n / 100 errors or fewer at a risk three standard deviations above 1 %: betainc(n - k, k + 1, 1 - risk).
    k = n // 100
    risk = np.float32(0.01 + 3 * np.sqrt(0.01 * 0.99 / n))
    a, b, x = np.float32(n - k), np.float32(k + 1), np.float32(1) - risk
    exact = scipy.special.betainc(float(a), float(b), float(x))
    tails[n] = float(jax.scipy.special.betainc(a, b, x)) / exact - 1, float(scipy.special.betainc(a, b, x)) / exact - 1
    print(f"    tail of a binomial {exact:.2e}: jax off by {tails[n][0]:.1%}, scipy in float32 by {tails[n][1]:.1e}")
assert abs(middle[60_000] - 0.5) > 0.01 and abs(middle[1_000_000] - 0.5) > 0.3, "the digits are there now"
assert abs(tails[60_000][0]) > 0.02 and tails[1_000_000][0] < -0.3
assert max(abs(off) for _, off in tails.values()) < 1e-3
PYTHON
