"""What does meta-training add to adaptation? Few-shot tasks of digits by meta-kernels of MAML and ANIL.

python examples/few_shot.py [--quick]

Tasks of two classes with one or five examples each; the digits 7, 8, 9 are never seen in meta-training. In one setting
the smaller digit is always -1, in the other each task names its classes at random.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
from scipy.stats import t as student

from ntkseq import data, kernels, predictors
from ntkseq.data.tasks import few_shot_tasks
from ntkseq.training import maml

QUICK = "--quick" in sys.argv
TASKS, NEW, SHOTS = (12, 20, (1,)) if QUICK else (50, 100, (1, 5))

x, y = (np.asarray(part) for part in data.bundled.digits())
old = y < 7
base = kernels.Recurrent(sigma_w=1.4, sigma_b=0.1, read="mean")
largest = float(np.max(base.diag(x[:200])))


def cut(seen: bool, count: int, seed: int, shots: int, permute: bool) -> data.tasks.Tasks:
    """Tasks of digits that meta-training sees, or of others."""
    which = old if seen else ~old
    return few_shot_tasks(
        x[which], y[which], shots=shots, queries=1, ways=2, tasks=count, permute=permute, key=jax.random.key(seed)
    )


def told(shares: np.ndarray) -> str:
    """A mean over tasks with Student's 95 % interval; 3 / tasks to either side where all are equal."""
    half = student.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / len(shares) ** 0.5 or 3 / len(shares)
    return f"{100 * shares.mean():+.1f} [{100 * (shares.mean() - half):+.1f}, {100 * (shares.mean() + half):+.1f}]"


for permute in (False, True):
    print(f"labels {'drawn anew for each task' if permute else 'fixed: the smaller digit is -1'}")
    for shots in SHOTS[:1] if permute else SHOTS:
        train = cut(True, TASKS, 0, shots, permute)
        inner = kernels.GD(steps=10, lr=0.7 / (2 * shots * largest))
        for algorithm in ("maml", "anil"):
            fit = predictors.few_shot(kernels.Meta(base, inner, algorithm), train, reg=1.0)
            # the ridge of least error at training tasks that are left out
            fit = fit.refit(reg=fit.select_reg([10.0**e for e in range(-2, 4)]).reg)
            for place, seen in (("seen", True), ("new", False)):
                tasks = cut(seen, NEW, 1, shots, permute)
                alone = maml.scored(fit.adapted(tasks), tasks.labels)
                both = maml.scored(fit(tasks), tasks.labels)
                added = told(both.per_task - alone.per_task)
                print(f"  {shots}-shot, {algorithm}, {place} digits: adaptation alone is right on {alone};")
                print(f"    the meta-kernel adds {added} points")
print("an interval that holds 0: it is not told whether meta-training helps there")
