"""What is the kernel between few-shot tasks? The tangent kernel of a network after it adapted to each task's support.

A task has support inputs X' with labels and query inputs X. After the inner loop the infinitely wide network answers
f(X) + R (y' - f(X')) with R = Kin(X, X') T(Kin(X', X')), and since R does not depend on the parameters, the tangent
kernel of the adapted network is the base kernel between the signed points [X, -R X']:

    Phi_ij = Theta(X_i, X_j) - R_i Theta(X'_i, X_j) - Theta(X_i, X'_j) R_j^T + R_i Theta(X'_i, X'_j) R_j^T

Kin is Theta where all parameters adapt (MAML), the kernel of the read-out where only that does (ANIL).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ntkseq import _checks, _provenance
from ntkseq._struct import static, struct
from ntkseq.kernels import signed
from ntkseq.kernels import tasks as taking
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.inner import GD, Flow, Inner, Stability, warn_if_unstable
from ntkseq.kernels.signed import Parts
from ntkseq.kernels.tasks import flat

ALGORITHMS = ("maml", "anil", "fomaml", "none")


@struct
class Meta(Kernel):
    """The kernel Phi of meta-learning between the query points of tasks, from any base kernel.

    Tasks are `((xs, ys), xq)`: support inputs xs (N, s, ...), support labels ys, which the kernel never reads (None
    will do), and query inputs xq (N, q, ...), with whatever shape the base kernel takes behind the first two axes.
    The examples of this kernel are the N q query points, task by task; each carries the support of its own task.

    Args:
        base: Theta, the kernel of the network that is meta-trained.
        inner: the inner loop, `kernels.inner.GD`, `Flow` or `Prox`.
        algorithm: "maml" (all parameters adapt), "anil" (the read-out adapts), "fomaml" (first-order MAML, whose
            kernel is not symmetric: `first_order` has it) or "none" (nothing adapts: Phi = Theta).
        inner_kernel: Kin, where it is not what `algorithm` says. For "anil" the default is the base with
            kind="nngp": the tangent kernel of the read-out weights. A read-out bias would add its variance to it.

    Raises:
        ValueError: no kernel or inner loop where one is wanted, an unknown algorithm, or a base whose read-out
            kernel is not known (pass `inner_kernel`).

    The formula is exact for models linear in their parameters, and the limit of infinite width for networks. A
    query that is also a support point of its own task has Phi = 0 at `Flow(jnp.inf)`: the kernel is then singular.

    Reference: finn2017maml (the algorithm); wang2020meta (its kernel).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (4, 5, 3))  # N = 4 tasks of 5 vectors
        >>> tasks = ((x[:, :3], None), x[:, 3:])  # s = 3, q = 2
        >>> kernel = kernels.Meta(kernels.Dense(sigma_w=1.4), kernels.GD(steps=2, lr=0.1))
        >>> kernel(tasks).shape, kernel.blocks(tasks).shape
        ((8, 8), (4, 2, 4, 2))
    """

    base: Any
    inner: Any = dataclasses.field(default_factory=GD)
    algorithm: str = static(default="maml")
    inner_kernel: Any = None

    references = ("finn2017maml", "wang2020meta")

    def __post_init__(self) -> None:
        if not isinstance(self.base, Kernel):
            raise ValueError(f"base must be an ntkseq Kernel; got {type(self.base).__name__}. See ntkseq.kernels.")
        if not isinstance(self.inner, Inner):
            raise ValueError(f"inner must be GD, Flow or Prox of ntkseq.kernels.inner; got {self.inner!r}.")
        _checks.choice("algorithm", self.algorithm, ALGORITHMS)
        if self.inner_kernel is not None and not isinstance(self.inner_kernel, Kernel):
            raise ValueError(f"inner_kernel must be an ntkseq Kernel or None; got {type(self.inner_kernel).__name__}.")
        for kernel in (self.base, self.inner_kernel):
            if taking.draws_per_example(kernel):
                raise ValueError(
                    'Meta needs a kernel of the inputs alone; got one with h0="independent", under which a support '
                    'point differs from itself. Use h0="shared" or "zero".'
                )
        self._inner_kernel()

    def prepare(self, x: Any, lengths: Any = None) -> Side:
        """Prepare all points and the weights of each task's support, one row per query point.

        Args:
            x: tasks `((xs, ys), xq)`.
            lengths: for sequences padded on the right, `(lengths of xs (N, s), lengths of xq (N, q))`.

        Returns:
            "points": sides of the base, (N q, 1 + s, ...): a query and its support; "weights": (N q, 1 + s).

        Raises:
            ValueError: no tasks, shapes that do not fit, `algorithm="fomaml"`, or what the base refuses.

        Warns:
            UserWarning: the step size of the inner loop is above its limit on some task.
        """
        self._check_symmetric()
        return signed.rows(self._parts(x, lengths))

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return signed.tile(self.base, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return signed.diag(self.base, side)

    def __call__(self, x1: Any, x2: Any = None, *, lengths: Any = None, lengths2: Any = None) -> Float[Array, "n m"]:
        values = super().__call__(x1, x2, lengths=lengths, lengths2=lengths2)
        if x2 is not None:
            return values
        even = (values + values.T) / 2  # cancellation shows the order of the sums
        _provenance.remember(even, _provenance.recall(values))
        return even

    def blocks(
        self, tasks: Any, tasks2: Any = None, *, lengths: Any = None, lengths2: Any = None
    ) -> Float[Array, "N q M p"]:
        """Phi by task and query, every support point prepared and paired once.

        The same numbers as `kernel(tasks)`, at ((q + s) / (q (1 + s)))^2 of its cost, but with the base kernel between
        all N (q + s) points in memory.
        """
        self._check_symmetric()
        left = self._parts(tasks, lengths)
        right = left if tasks2 is None else self._parts(tasks2, lengths2)
        if tasks2 is not None:
            self.base.check_pair(flat(left.points), flat(right.points))
        return signed.blocks(self.base, left, right, tasks2 is None)

    def first_order(
        self, tasks: Any, tasks2: Any = None, *, lengths: Any = None, lengths2: Any = None
    ) -> Float[Array, "n m"]:
        """The matrix of first-order MAML, Theta(X_i, X_j) - R_i Theta(X'_i, X_j): not symmetric.

        The answers F at the queries move by dF/dt = -K (F - y) when the outer gradient ignores how the adapted
        parameters depend on the shared ones. With algorithm "anil" R is that of ANIL.

        Returns:
            (N q, M p), task by task.
        """
        left = self._parts(tasks, lengths)
        right = left if tasks2 is None else self._parts(tasks2, lengths2)
        if tasks2 is not None:
            self.base.check_pair(flat(left.points), flat(right.points))
        return signed.first_order(self.base, left, right, tasks2 is None)

    def first_order_eigenvalues(self, tasks: Any, *, lengths: Any = None) -> Complex[np.ndarray, " n"]:
        """Eigenvalues of `first_order(tasks)`, by falling real part: training settles if all real parts are > 0."""
        values = np.linalg.eigvals(np.asarray(self.first_order(tasks, lengths=lengths), np.float64)).astype(complex)
        return values[np.argsort(-np.real(values))]

    def stable(self, tasks: Any, *, lengths: Any = None) -> Stability:
        """Whether the inner loop settles on each task; arrays (N,). Flow and Prox always do."""
        N = taking.parts(tasks)[0].shape[0]
        K = self._parts(tasks, lengths, warn=False).K
        dtype = jnp.result_type(float) if K is None else K.dtype
        return Flow().stability(jnp.zeros((N, 1, 1), dtype)) if K is None else self.inner.stability(K)

    def predict(
        self,
        train: Any,
        labels: Any,
        test: Any,
        *,
        outer: Inner | None = None,
        lengths: Any = None,
        lengths2: Any = None,
    ) -> Float[Array, "M p"]:
        """The meta-trained network, started from the zero function, after it adapted to each test task.

            F(X) = R y' + Phi(X, X_train) T(Phi(X_train, X_train)) (y_train - R_train y'_train)

        Args:
            train: tasks with support labels (N, s).
            labels: query labels of `train`, (N, q).
            test: tasks with support labels (M, s).
            outer: the outer loop; None is gradient flow to the end, `Flow(jnp.inf)`.

        Raises:
            ValueError: tasks without support labels, labels of another shape.
        """
        self._check_symmetric()
        left, right = self._parts(train, lengths), self._parts(test, lengths2)
        self.base.check_pair(flat(left.points), flat(right.points))
        start = [
            jnp.einsum("iqs,is->iq", p.R, taking.support_labels(name, tasks, p.R), precision="highest")
            for name, tasks, p in (("train", train, left), ("test", test, right))
        ]
        y = jnp.asarray(labels).astype(left.R.dtype)
        if y.shape != left.R.shape[:2]:
            raise ValueError(f"labels must have shape {left.R.shape[:2]}, one per query of train; got {y.shape}.")
        n, m = y.size, right.R.shape[0] * right.R.shape[1]
        outer = Flow(jnp.inf) if outer is None else outer
        transfer = outer.transfer(signed.blocks(self.base, left, left, True).reshape(n, n))
        cross = signed.blocks(self.base, right, left, False).reshape(m, n)
        moved = jnp.matmul(
            cross, jnp.matmul(transfer, (y - start[0]).ravel(), precision="highest"), precision="highest"
        )
        return start[1] + moved.reshape(start[1].shape)

    def finite(self, width: int) -> Any:
        """The learner of that width whose tangent kernel tends to this kernel: `models.adapt` of `base.finite(width)`.

        Its parameters are those of `kernel.base.finite(width)`, its outputs (q, o) for one task.

        Raises:
            ValueError: an inner loop that is not `GD`, an `inner_kernel` of one's own, a base without `finite`.
        """
        from ntkseq.models.adapt import adapt, squared_error

        if not isinstance(self.inner, GD):
            raise ValueError(f"finite() takes steps of gradient descent; got inner={self.inner!r}. Use GD(steps, lr).")
        if self.inner_kernel is not None:
            raise ValueError("finite() cannot know the network behind inner_kernel. Leave inner_kernel=None.")
        if not hasattr(self.base, "finite"):
            raise ValueError(f"{type(self.base).__name__} has no finite network. Use models.adapt on your own.")
        mean = self.inner.reduction == "mean"

        def loss(outputs: Array, targets: Any) -> Array:
            return squared_error(outputs, targets) / (outputs.shape[0] if mean else 1)

        steps = 0 if self.algorithm == "none" else self.inner.steps
        algorithm = "maml" if self.algorithm == "none" else self.algorithm
        return adapt(self.base.finite(width).apply, loss, lr=self.inner.lr, steps=steps, algorithm=algorithm)

    @property
    def estimated(self) -> str:
        return self.base.estimated or (self.inner_kernel.estimated if self.inner_kernel is not None else "")

    def entry_rounding(self, side: Side) -> float:
        """Upper estimate of |computed - exact| / sqrt(Phi_ii Phi_jj) in the dtype of the data.

        Adaptation cancels: Phi_ii may be far below the terms Theta_ii, (R Theta R^T)_ii whose roundings it holds, and
        the estimate grows by that ratio. The rounding of Kin enters through R, amplified as T amplifies it. An inner
        kernel of one's own is taken to be as exact as the base.
        """
        dtype = side["weights"].dtype
        unit = max(self.base.entry_rounding(flat(side["points"])), 32.0 * float(jnp.finfo(dtype).eps)) * 1.01
        gross, slack, net = (np.asarray(a, np.float64) for a in signed.scales(self.base, side))
        net = np.maximum(net, float(jnp.finfo(dtype).tiny))
        through = unit * float(np.max(slack / np.sqrt(net)))
        return unit * float(np.max(gross**2 / net)) + 2 * through + through**2

    @property
    def sampled(self) -> bool:
        return self.base.sampled

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"] | None:
        """Upper bound of the error that a sampled base brings in directly; what it does to R is not counted."""
        error = self.base.standard_error(flat(left["points"]), flat(right["points"]))
        return None if error is None else signed.sandwich(jnp.abs(left["weights"]), error, jnp.abs(right["weights"]))

    def entries_per_pair(self, side: Side) -> int:
        return self.base.entries_per_pair(flat(side["points"])) * side["weights"].shape[1] ** 2

    def steps(self, side: Side) -> int:
        return self.base.steps(flat(side["points"])) * side["weights"].shape[1] ** 2

    def check_pair(self, left: Side, right: Side) -> None:
        """Raise if the points of two prepared batches do not fit together; supports may differ in size."""
        self.base.check_pair(flat(left["points"]), flat(right["points"]))

    def _check_symmetric(self) -> None:
        if self.algorithm == "fomaml":
            raise ValueError(
                'first-order MAML has no symmetric kernel; got algorithm="fomaml". Use first_order(tasks) for its '
                'matrix and first_order_eigenvalues(tasks) for its spectrum, or algorithm="maml".'
            )

    def _inner_kernel(self) -> Kernel | None:
        """Kin; None where nothing adapts."""
        if self.algorithm == "none":
            return None
        if self.inner_kernel is not None:
            return self.inner_kernel
        return taking.head(self.base) if self.algorithm == "anil" else self.base

    def _parts(self, tasks: Any, lengths: Any, warn: bool = True) -> Parts:
        kin = self._inner_kernel()
        x, counts, (N, q, s) = taking.joined(tasks, lengths, support=kin is not None)
        split = partial(jax.tree.map, lambda leaf: leaf.reshape(N, q + s, *leaf.shape[1:]))
        points = split(self.base.prepare(x, counts))
        if kin is None:
            dtype = jax.eval_shape(self.base.diag_side, flat(points)).dtype
            return Parts(points, jnp.zeros((N, q, 0), dtype), jnp.zeros((N, q), dtype), None)
        inside = points if kin is self.base else split(kin.prepare(x, counts))
        R, slack, K = signed.weights(self.base, kin, self.inner, points, inside, q)
        if warn:
            warn_if_unstable(self.inner, K)
        return Parts(points, R, slack, K)
