"""What is the kernel between few-shot tasks? The tangent kernel of a network after it adapted to each task's support.

A task has support inputs X' with labels and query inputs X. After the inner loop the infinitely wide network answers
f(X) + R (y' - f(X')) with R = Kin(X, X') T(Kin(X', X')), and since R does not depend on the parameters, the tangent
kernel of the adapted network is the base kernel between the signed points [X, -R X']:

    Phi_ij = Theta(X_i, X_j) - R_i Theta(X'_i, X_j) - Theta(X_i, X'_j) R_j^T + R_i Theta(X'_i, X'_j) R_j^T

Kin is Theta where all parameters adapt (MAML), the kernel of the read-out where only that does (ANIL).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ntkseq import _checks, _precision, _provenance
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray, AnyFunction, ArrayLike, Inputs, Lengths, Tasks
from ntkseq.kernels import meta_rounding, signed, span
from ntkseq.kernels import tasks as taking
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.inner import GD, Flow, Inner, Stability, warn_if_unstable
from ntkseq.kernels.signed import Parts, Points
from ntkseq.kernels.tasks import flat

ALGORITHMS = ("maml", "anil", "fomaml", "none")


@struct
class Meta(Kernel):
    """The kernel Phi of meta-learning between the query points of tasks, from any base kernel.

    Tasks are `((xs, ys), xq)`: support inputs xs (N, s, ...), support labels ys, which the kernel never reads (None
    will do), and query inputs xq (N, q, ...), with whatever shape the base kernel takes behind the first two axes.
    The examples of this kernel are the N q query points, task by task; each carries the support of its own task.
    In the methods `tasks` (N) and `tasks2` (M) are such tasks, `lengths` and `lengths2` the lengths of padded sequences
    in them, each a pair of integers (N, s) and (N, q).

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
            raise ValueError(
                f"inner must be GD, Flow or Prox of ntkseq.kernels.inner; got {_checks.shown(self.inner)}."
            )
        _checks.choice("algorithm", self.algorithm, ALGORITHMS)
        if self.inner_kernel is not None and not isinstance(self.inner_kernel, Kernel):
            raise ValueError(f"inner_kernel must be an ntkseq Kernel or None; got {type(self.inner_kernel).__name__}.")
        for kernel in (self.base, self.inner_kernel):
            if taking.draws_per_example(kernel):
                raise ValueError(
                    'Meta needs a kernel of the inputs alone; got one with h0="independent", under which a support '
                    'point differs from itself. Use h0="shared" or "zero".'
                )
        self.inner_loop_kernel()

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        """Prepare all points and the weights of each task's support, one row per query point.

        Each row carries the support of its task, 1 + s points: what single rows are computed from (audits).
        `ntkseq.gram`, `ntkseq.lazy` and `kernel(tasks)` hold every point once.

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
        self.check_symmetric()
        points = self.points(x, lengths, "x")
        return signed.rows(points, self.solved(points))

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return signed.tile(self.base, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return side["net"]

    def diag(self, x: Inputs, lengths: Lengths = None) -> Float[Array, " n"]:
        """Phi of each query with itself, task by task."""
        self.check_symmetric()
        points = self.points(x, lengths, "x")
        self.check_range(points, self.base.diag_side(points.base))
        return self.solved(points).net.ravel()

    def __call__(
        self, x1: Inputs, x2: Inputs | None = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n m"]:
        """Phi between all queries, task by task, (N q, M p); see `blocks`."""
        phi = self.blocks(x1, x2, lengths=lengths, lengths2=lengths2)
        (N, q, M, p) = phi.shape
        values = phi.reshape(N * q, M * p)
        _provenance.remember(values, _provenance.recall(phi))
        return values

    def blocks(
        self, tasks: Tasks, tasks2: Tasks | None = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "N q M p"]:
        """Phi by task and query: the base kernel between all N (q + s) points in memory, every pair looked at once.

        Raises:
            ValueError: as `prepare`; tasks and tasks2 that do not fit together.
        """
        self.check_symmetric()
        left, right, values = self._between(tasks, tasks2, lengths, lengths2)
        mine = self.solved(left, signed.diagonal_blocks(values, left.sizes[0]) if right is None else None)
        theirs = mine if right is None else self.solved(right)
        phi = signed.blocks(mine, theirs, values, right is None)
        if _checks.is_concrete(phi):
            meta_rounding.note(self, phi, (left, mine), None if right is None else (right, theirs))
        return phi

    def first_order(
        self, tasks: Tasks, tasks2: Tasks | None = None, *, lengths: Lengths = None, lengths2: Lengths = None
    ) -> Float[Array, "n m"]:
        """The matrix of first-order MAML, Theta(X_i, X_j) - R_i Theta(X'_i, X_j): not symmetric.

        The answers F at the queries move by dF/dt = -K (F - y) when the outer gradient ignores how the adapted
        parameters depend on the shared ones. With algorithm "anil" R is that of ANIL.

        Returns:
            (N q, M p), task by task.
        """
        left, right, values = self._between(tasks, tasks2, lengths, lengths2)
        mine = self.solved(left, signed.diagonal_blocks(values, left.sizes[0]) if right is None else None)
        return signed.first_order(mine, mine if right is None else self.solved(right), values)

    def first_order_eigenvalues(self, tasks: Tasks, *, lengths: Lengths = None) -> Complex[np.ndarray, " n"]:
        """Eigenvalues of `first_order(tasks)`, by falling real part: training settles if all real parts are > 0."""
        values = np.linalg.eigvals(np.asarray(self.first_order(tasks, lengths=lengths), np.float64)).astype(complex)
        return values[np.argsort(-np.real(values))]

    def stable(self, tasks: Tasks, *, lengths: Lengths = None) -> Stability:
        """Whether the inner loop settles on each task; arrays (N,). Flow and Prox always do."""
        parts = self.solved(self.points(tasks, lengths), warn=False)
        if parts.K is None:
            return Flow().stability(jnp.zeros((parts.R.shape[0], 1, 1), parts.R.dtype))
        return self.inner.stability(parts.K)

    def weights(self, tasks: Tasks, *, lengths: Lengths = None) -> Float[Array, "N q s"]:
        """R, the weights of the support labels in the adapted answer of the zero function; s = 0 where nothing adapts.

        Warns:
            UserWarning: as `prepare`.
        """
        return self.solved(self.points(tasks, lengths)).R

    def predict(
        self,
        train: Tasks,
        labels: ArrayLike,
        test: Tasks,
        *,
        outer: Inner | None = None,
        lengths: Lengths = None,
        lengths2: Lengths = None,
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
        self.check_symmetric()
        sides = self.points(train, lengths), self.points(test, lengths2)
        self.base.check_pair(sides[0].base, sides[1].base)
        whole = self.base.square_side(sides[0].base)
        left = self.solved(sides[0], signed.diagonal_blocks(whole, sides[0].sizes[0]))
        right = self.solved(sides[1])
        start = [
            jnp.einsum("iqs,is->iq", p.R, taking.support_labels(name, tasks, p.R), precision="highest")
            for name, tasks, p in (("train", train, left), ("test", test, right))
        ]
        y = jnp.asarray(labels).astype(left.R.dtype)
        if y.shape != left.R.shape[:2]:
            raise ValueError(f"labels must have shape {left.R.shape[:2]}, one per query of train; got {y.shape}.")
        n, m = y.size, right.R.shape[0] * right.R.shape[1]
        outer = Flow(jnp.inf) if outer is None else outer
        transfer = outer.transfer(signed.blocks(left, left, whole, True).reshape(n, n))
        across = self.base.tile(sides[1].base, sides[0].base)
        cross = signed.blocks(right, left, across, False).reshape(m, n)
        moved = jnp.matmul(
            cross, jnp.matmul(transfer, (y - start[0]).ravel(), precision="highest"), precision="highest"
        )
        return start[1] + moved.reshape(start[1].shape)

    def finite(self, width: int) -> AnyFunction:
        """The learner of that width whose tangent kernel tends to this kernel: `models.adapt` of `base.finite(width)`.

        Its parameters are those of `kernel.base.finite(width)`, its outputs (q, o) for one task.

        Raises:
            ValueError: an inner loop that is not `GD`, an `inner_kernel` of one's own, a base without `finite`.
        """
        from ntkseq.models.adaptation import adapt, squared_error

        if not isinstance(self.inner, GD):
            raise ValueError(
                f"finite() takes steps of gradient descent; got inner={_checks.shown(self.inner)}. Use GD(steps, lr)."
            )
        if self.inner_kernel is not None:
            raise ValueError("finite() cannot know the network behind inner_kernel. Leave inner_kernel=None.")
        if not hasattr(self.base, "finite"):
            raise ValueError(f"{type(self.base).__name__} has no finite network. Use models.adapt on your own.")
        mean = self.inner.reduction == "mean"

        def loss(outputs: Array, targets: ArrayLike) -> Array:
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
        the estimate grows by that ratio. The rounding of Kin enters through R, amplified as T amplifies it.
        """
        return meta_rounding.rounding(self, [meta_rounding.of_rows(side)])

    def cross_rounding(self, left: Side, right: Side) -> float:
        return meta_rounding.rounding(self, [meta_rounding.of_rows(left), meta_rounding.of_rows(right)])

    takes_trees = True

    @property
    def by_token(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.base.by_token

    def scales(self) -> list[Any]:
        return self.base.scales()

    @property
    def sampled(self) -> bool:
        return self.base.sampled

    def standard_error(self, left: Side, right: Side) -> Float[Array, "n m"] | None:
        """Upper bound of the error that a sampled base brings in directly; what it does to R is not counted."""
        error = self.base.standard_error(flat(left["points"]), flat(right["points"]))
        return None if error is None else signed.sandwich(jnp.abs(left["weights"]), error, jnp.abs(right["weights"]))

    def entries_per_pair(self, side: Side) -> int:
        return self.base.entries_per_pair(flat(side["points"])) * side["weights"].shape[1] ** 2

    def beside(self, count: int) -> Meta:
        return self.with_(base=self.base.beside(count))

    def steps(self, side: Side) -> int:
        return self.base.steps(flat(side["points"])) * side["weights"].shape[1] ** 2

    def check_pair(self, left: Side, right: Side) -> None:
        """Raise if the points of two prepared batches do not fit together; supports may differ in size."""
        self.base.check_pair(flat(left["points"]), flat(right["points"]))

    def check_symmetric(self) -> None:
        """Refuse `algorithm="fomaml"`, which has no symmetric kernel."""
        if self.algorithm == "fomaml":
            raise ValueError(
                'first-order MAML has no symmetric kernel; got algorithm="fomaml". Use first_order(tasks) for its '
                'matrix and first_order_eigenvalues(tasks) for its spectrum, or algorithm="maml".'
            )

    def inner_loop_kernel(self) -> Kernel | None:
        """Kin; None where nothing adapts."""
        if self.algorithm == "none":
            return None
        if self.inner_kernel is not None:
            return self.inner_kernel
        return taking.head(self.base) if self.algorithm == "anil" else self.base

    def points(self, tasks: Tasks, lengths: Lengths = None, name: str = "tasks") -> Points:
        """All points of the tasks, each prepared once; `name` is that of the tasks in messages.

        Raises:
            ValueError: no tasks, shapes that do not fit, or what the base refuses.
        """
        kin = self.inner_loop_kernel()
        x, counts, sizes = taking.joined(tasks, lengths, support=kin is not None, name=name)
        base = self.base.prepare(x, counts)
        return Points(base, None if kin is None or kin is self.base else kin.prepare(x, counts), sizes, x, counts)

    def solved(self, points: Points, own: AnyArray | None = None, *, warn: bool = True, wide: bool = False) -> Parts:
        """What the inner loop does on each task.

        Args:
            points: of the tasks.
            own: the base kernel between the points of each task (N, q + s, q + s), where it is at hand.
            warn: whether to warn where the inner loop diverges.
            wide: solve in float64, outside a trace, whatever the precision of the data; in NumPy.
        """
        q, kin = points.sizes[1], self.inner_loop_kernel()
        own = signed.squares(self.base, points.base, points.sizes) if own is None else own
        if kin is None:
            return signed.untouched(own, q)
        inside = None if points.inside is None else signed.squares(kin, points.inside, points.sizes)
        if wide:
            with _precision.setting(True):
                own, inside = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), (own, inside))
                loop = self.inner.in_dtype(jnp.float64)
                parts = signed.solved(loop, own, inside, q, smooth=False)
                if warn:
                    warn_if_unstable(loop, parts.K)
            return jax.tree.map(np.asarray, parts)
        parts = signed.solved(self.inner, own, inside, q)
        if warn:
            warn_if_unstable(self.inner, parts.K)
        return parts

    def check_range(self, points: Points, own: AnyArray | None) -> None:
        """Refuse points, scales or values of the base kernel, own (N (q + s)), that leave the range of their dtype."""
        dtype = jax.eval_shape(self.base.diag_side, points.base).dtype
        span.check(self.base, points.x, points.lengths, dtype, own)
        if points.inside is not None:
            span.check(self.inner_loop_kernel(), points.x, points.lengths, dtype, None)

    def _between(
        self, tasks: Tasks, tasks2: Tasks | None, lengths: Lengths, lengths2: Lengths
    ) -> tuple[Points, Points | None, Array]:
        """The points of one batch of tasks or of two, and the base kernel between all of them."""
        left = self.points(tasks, lengths)
        if tasks2 is None:
            values = self.base.square_side(left.base)
            self.check_range(left, span.own(values, True))
            return left, None, values
        right = self.points(tasks2, lengths2, "tasks2")
        self.base.check_pair(left.base, right.base)
        values = self.base.tile(left.base, right.base)
        self.check_range(left, span.own(values, False))
        self.check_range(right, None)
        return left, right, values
