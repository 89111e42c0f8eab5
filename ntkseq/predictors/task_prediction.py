"""What does an infinitely wide meta-trained network answer on new tasks, after it adapted to each one's support?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import AnyKernel, ArrayLike, Lengths, Tasks
from ntkseq.grams.arrays import symmetric
from ntkseq.grams.base import DenseGram
from ntkseq.grams.entries import gram as gram_of
from ntkseq.kernels import tasks as taking
from ntkseq.kernels.meta import Meta
from ntkseq.predictors.flow import GradientFlow, gradient_flow
from ntkseq.predictors.kernel_ridge import Ridge, Selection, ridge


@dataclasses.dataclass(frozen=True, eq=False)
class FewShot:
    """A meta-trained predictor: adaptation R y' plus what meta-training adds, Phi(., X) dual. Host float64.

    Attributes:
        kernel: the `kernels.Meta` it was fitted with.
        tasks: the training tasks.
        gram: Phi between their N q queries, task by task, with its rounding.
        labels: of these queries, (N, q) or (N, q, k).
        start: R y', what adaptation alone answers at them, shape of labels.
        fit: the `Ridge` or `GradientFlow` of labels - start, with `dual` and `residuals`.
        lengths: of the training tasks, or None.

    Reference: wang2020meta; meta.1 and meta.4.
    """

    kernel: Meta
    tasks: Any
    gram: DenseGram
    labels: Float[np.ndarray, "N q ..."]
    start: Float[np.ndarray, "N q ..."]
    fit: Ridge | GradientFlow
    lengths: Any = None

    @property
    def fitted(self) -> Float[np.ndarray, "N q ..."]:
        """The answers at the training queries."""
        return self.labels - np.asarray(self.fit.residuals).reshape(self.labels.shape)

    def adapted(self, tasks: Tasks, *, lengths: Lengths = None) -> Float[np.ndarray, "M p ..."]:
        """R y' of new tasks: their answers without meta-training."""
        return _adapted("tasks", self.kernel, tasks, lengths, self.labels.ndim - 2)

    def __call__(self, tasks: Tasks, *, lengths: Lengths = None) -> Float[np.ndarray, "M p ..."]:
        """The answers at the queries of new tasks, each adapted to its own support.

        Args:
            tasks: `((xs, ys), xq)` with support labels; of any number of shots, with as many outputs as in training.
            lengths: as in `kernels.Meta.prepare`.
        """
        start = self.adapted(tasks, lengths=lengths)
        cross = self.kernel.blocks(tasks, self.tasks, lengths=lengths, lengths2=self.lengths)
        cross = np.asarray(cross, np.float64).reshape(start.shape[0] * start.shape[1], -1)
        return start + (cross @ np.asarray(self.fit.dual)).reshape(start.shape)

    def refit(self, *, reg: float | None = None, time: float | None = None) -> FewShot:
        """Another ridge `reg`, or another `time`, from the same Gram matrix; one of them is given.

        Raises:
            ValueError: neither or both; what `ridge` or `gradient_flow` refuses.
        """
        rest = (self.labels - self.start).reshape(self.gram.shape[0], *self.labels.shape[2:])
        return dataclasses.replace(self, fit=_solved(self.gram, rest, reg, time))

    def select_reg(self, regs: ArrayLike) -> Selection:
        """Choose the ridge by the error at tasks left out, each with all its queries.

            loo_i(reg) = ([(Phi + reg)^-1]_ii)^-1 [(Phi + reg)^-1 (y - start)]_i,   i a block of q queries

        Args:
            regs: candidates, > 0.

        Returns:
            Selection: `.reg` and the mean squared residual of every candidate.

        Raises:
            ValueError: no candidate, one that is not positive, none at which Phi + reg is positive in
                float64.
        """
        candidates = _checks.each("regs", regs, positive=True)
        if not candidates.size:
            raise ValueError("regs must hold at least one candidate; got none.")
        (N, q), n = self.labels.shape[:2], self.gram.shape[0]
        w, U = np.linalg.eigh(symmetric(self.gram, "gram").matrix)
        turned = U.T @ (self.labels - self.start).reshape(n, -1)
        blocks, errors = U.reshape(N, q, n), np.full(candidates.size, np.nan)
        for i, reg in enumerate(candidates):
            if w[0] + reg > n * float(np.finfo(np.float64).eps) * abs(w[-1]):
                own = (blocks / (w + reg)) @ blocks.transpose(0, 2, 1)  # (N, q, q)
                dual = (U @ (turned / (w + reg)[:, None])).reshape(N, q, -1)
                errors[i] = np.mean(np.square(np.linalg.solve(own, dual)))
        if np.isnan(errors).all():
            raise ValueError(f"regs must hold a candidate above {-w[0]:.2g}, below which Phi + reg is not positive.")
        best = float(candidates[errors == np.nanmin(errors)].max())
        return Selection(reg=best, regs=candidates, loo_errors=errors)

    def __repr__(self) -> str:
        N, q = self.labels.shape[:2]
        return f"FewShot({N} tasks of {q} queries, {type(self.fit).__name__})"


def few_shot(
    kernel: AnyKernel,
    tasks: Tasks,
    labels: ArrayLike | None = None,
    *,
    reg: float | None = None,
    time: float | None = None,
    lengths: Lengths = None,
) -> FewShot:
    """Meta-train the infinitely wide network, started from the zero function, from its closed form.

        F(X) = R y' + Phi(X, X_train) phi(Phi(X_train, X_train)) (y_train - R_train y'_train)

    with phi(s) = 1/(s + reg), or (1 - exp(-s time))/s for gradient flow on |F - y|^2/2, the sum over all queries.
    Several outputs (N, q, k) share the kernel.

    Args:
        kernel: a `kernels.Meta`.
        tasks: training tasks, `data.tasks.Tasks` or `((xs, ys), xq)`, with support labels.
        labels: of their queries; None: `tasks.labels`.
        reg: the ridge, >= 0, 0 for the interpolant.
        time: of the flow instead, > 0; inf for the interpolant.
        lengths: of sequences padded on the right, see `kernels.Meta.prepare`; None: `tasks.lengths`, if there is.

    Raises:
        ValueError: neither or both of reg and time; no labels, or labels that do not fit; what `ridge`, `gradient_flow`
            or the kernel refuse. A query that is a support point of its own task makes Phi singular under `Flow(inf)`.

    Reference: wang2020meta; meta.1 and meta.4.

    Example:
        >>> import jax, numpy as np
        >>> from ntkseq import kernels
        >>> from ntkseq.data.tasks import sinusoids
        >>> train, new = (sinusoids(30, shots=5, queries=5, key=jax.random.key(i), reach=2.0) for i in (0, 1))
        >>> kernel = kernels.Meta(kernels.Dense(sigma_w=1.4, sigma_b=0.5), kernels.GD(steps=5, lr=0.02))
        >>> fit = few_shot(kernel, train, reg=0.1)
        >>> error = lambda answers: float(np.mean((answers - np.asarray(new.labels)) ** 2))
        >>> error(fit(new)) < error(fit.adapted(new))
        True
    """
    if not isinstance(kernel, Meta):
        raise ValueError(f"kernel must be a kernels.Meta; got {type(kernel).__name__}. Wrap it: Meta(kernel, GD(...)).")
    labels = getattr(tasks, "labels", None) if labels is None else labels
    lengths = getattr(tasks, "lengths", None) if lengths is None else lengths
    if labels is None:
        raise ValueError("labels must be given, those of the queries: tasks without labels cannot be trained on.")
    taking.parts(tasks)
    y = _checks.real("labels", labels)
    gram = gram_of(kernel, tasks, lengths=lengths)
    start = _adapted("tasks", kernel, tasks, lengths, max(y.ndim - 2, 0))
    if y.shape != start.shape:
        raise ValueError(
            f"labels must have shape {start.shape}, one per query and output of the support; got {y.shape}."
        )
    rest = (y - start).reshape(gram.shape[0], *y.shape[2:])
    return FewShot(kernel, tasks, gram, y, start, _solved(gram, rest, reg, time), lengths)


def _solved(gram: DenseGram, rest: np.ndarray, reg: float | None, time: float | None) -> Ridge | GradientFlow:
    if (reg is None) == (time is None):
        raise ValueError(
            f"give reg= (ridge, 0 for the interpolant) or time= (gradient flow); got reg={reg}, time={time}."
        )
    return ridge(gram, rest, reg=reg) if reg is not None else gradient_flow(gram, rest, time=time)


def _adapted(name: str, kernel: Meta, tasks: Any, lengths: Lengths, outputs: int) -> np.ndarray:
    """R y' in float64: (N, q), or (N, q, k) for `outputs` = 1."""
    try:
        (xs, ys), _, *_ = tasks
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be ((xs, ys), xq); got {type(tasks).__name__}.") from None
    R = np.asarray(kernel.weights(tasks, lengths=lengths), np.float64)  # nothing where nothing adapts
    N, s = np.shape(xs)[:2]
    if ys is None or np.shape(ys)[:2] != (N, s) or np.ndim(ys) != 2 + outputs:
        came = "None" if ys is None else str(np.shape(ys))
        wanted = f"({N}, {s})" if not outputs else f"({N}, {s}, k)"
        raise ValueError(f"the support labels ys of {name} must have shape {wanted}; got {came}.")
    y = _checks.real(f"ys of {name}", ys)
    return np.einsum("iqs,is...->iq...", R, y[:, : R.shape[2]])
