"""What can be proved of a classifier? Certified bounds on its error, beside what unseen examples say.

python examples/certificate.py [--quick]

Kernels tell the bundled digits 3 and 8 apart. What is proved holds with probability 0.95 over the draw of the training
examples. It speaks of functions drawn from a posterior, P(y f(x) <= 0), or of its mean, P(y mean f(x) <= 0).
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np
from scipy.stats import binomtest

import ntkseq
from ntkseq import bounds, data, kernels

QUICK = "--quick" in sys.argv
N = 80 if QUICK else 257

x, y = (np.asarray(part) for part in data.bundled.digits(classes=(3, 8)))
xq, yq, x, y = x[:100], y[:100], x[100 : 100 + N], y[100 : 100 + N]
flat, flat_q = x.reshape(N, -1), xq.reshape(100, -1)
recurrent = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1, read="mean")
dense = kernels.Dense(sigma_b=0.1)
K, K_dense = ntkseq.gram(recurrent, x), ntkseq.gram(dense, flat)
cross = {"recurrent": ntkseq.gram(recurrent, xq, x), "dense": ntkseq.gram(dense, flat_q, flat)}
query = {"recurrent": ntkseq.gram(recurrent, xq), "dense": ntkseq.gram(dense, flat_q)}


def unseen(bound: Any, kernel: str = "recurrent") -> str:
    """How often the predictor of a bound errs on unseen examples: its mean, and functions drawn from it."""
    predictor = bound.constants.predictor
    wrong = int(np.sum(np.sign(predictor.mean(cross[kernel])) != yq))
    ends = binomtest(wrong, len(yq)).proportion_ci(0.95)
    draws = [predictor.draw(cross[kernel], query[kernel], key) for key in jax.random.split(jax.random.key(0), 20)]
    drawn = np.mean([np.sign(f) != yq for f in draws])
    return (
        f"on {len(yq)} unseen examples the mean errs on {wrong / len(yq):.3f} (95 % {ends.low:.3f} to "
        f"{ends.high:.3f}), drawn functions on {drawn:.3f}"
    )


print("All bounds of one kernel at once: the least may be quoted, they share the 5 %.")
table = bounds.table(K, y, reg=1e-3)
print(table)
print("nothing is proved" if table.best is None else f"  {unseen(table.best)}")

print("\nWhat is used in practice, the mean of a posterior: its prior is the fit of a fifth of the examples.")
mean = bounds.pac_bayes(K, y, prior=bounds.LearnedPrior(0.2, scale=0.3), predictor="mean")
print(f"  {mean.verdict}\n  {unseen(mean)}")

print("\nTwo kernels and three priors, declared before the labels were seen: the bound pays for the choice.")
search = bounds.Search(
    kernels=("recurrent", "dense"),
    priors=(bounds.Prior(), bounds.LearnedPrior(0.3, scale=0.1), bounds.LearnedPrior(0.5, scale=0)),
)
best = search.best({"recurrent": K, "dense": K_dense}, y)
print(f"  {best.constants.kernel}: {best.verdict}\n  {unseen(best, best.constants.kernel)}")
unsure = [assumption.statement for assumption in best.assumptions if assumption.status == "declared"]
print(f"  You vouch for: {'; '.join(unsure)}")
