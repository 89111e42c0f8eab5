"""Where every weight matrix meets one vector of features: the kernel of hidden states as core times operators."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._struct import fill, static, struct
from ntkseq._types import AnyArray, AnyFunction, ArrayLike, PyTree
from ntkseq.empirical.hidden_states import HiddenKernel, Unrolled


@struct
class HiddenCore:
    """The Kronecker form of the kernel of hidden states, where weight matrices W_s meet features phi_s (Elman-like).

        z_s = W_s phi_s(h_{t-1}, x_t),    h_t = update(z, h_{t-1}, x_t)
        K = sum_s B_s (G_s (x) 1) B_s^T,   G_s[(a, t), (b, s)] = phi_s(a, t) . phi_s(b, s)          (hidden_states.5)

    G_s, the core, is a Gram matrix of features along the sequences, from one forward pass; B_s carries a change of z_s
    to all later states, and is a derivative in the states alone: no gradient in a weight matrix is made.

    Args:
        params: {name: W}, W (d, c).
        features: features(h, x) -> {name: phi (c,)}, of one example at one time; for an Elman network {"W": the
            vector of h, x and 1}.
        update: update(z, h, x) -> the next state (h,), z = {name: (d,)}. No trained parameter is in it.
        x: inputs, (n, t, ...), or a pytree of them.
        h0: the hidden state before the first step, (h,) or (n, h).

    Raises:
        ValueError: names or shapes that do not fit; whatever `HiddenKernel` refuses.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> W = {"W": jax.random.normal(jax.random.key(0), (8, 11)) / 3}
        >>> core = empirical.HiddenCore(
        ...     W,
        ...     lambda h, x: {"W": jnp.concatenate([h, x, jnp.ones(1)])},
        ...     lambda z, h, x: jnp.tanh(z["W"]),
        ...     jax.random.normal(jax.random.key(1), (4, 5, 2)),
        ...     h0=jnp.zeros(8),
        ... )
        >>> core.grams()["W"].shape, core.kernel.shape
        ((4, 5, 4, 5), (4, 5, 8))
    """

    kernel: HiddenKernel
    features: Any = static()
    update: Any = static()

    def __init__(self, params: PyTree, features: AnyFunction, update: AnyFunction, x: PyTree, *, h0: ArrayLike) -> None:
        features = _checks.function("features", features, "(h, x)")
        update = _checks.function("update", update, "(z, h, x)")
        _checks.mapping("params", params, "matrices (d, c)")
        for name, W in params.items():
            if jnp.ndim(W) != 2:
                raise ValueError(f"params must be matrices (d, c); got shape {jnp.shape(W)} at {name!r}.")
        step = Driven(features, update)
        fill(self, kernel=HiddenKernel(step, dict(params), x, h0=h0), features=features, update=update)

    def grams(self) -> dict[str, Float[Array, "n t n t"]]:
        """The core: of each matrix the Gram of its features over examples and times, by one forward pass."""
        made = _features(self)
        return {name: jnp.einsum("atc,bsc->atbs", phi, phi, precision="highest") for name, phi in made.items()}

    def mv(self, v: AnyArray) -> Float[Array, "n t h"]:
        """K v by (hidden_states.5): the operators in reverse, the core, the operators forward. Equal to `kernel.mv`.

        Costs (n t)^2 d for each matrix in place of n t c d: cheaper where there are fewer times than features.
        """
        return _mv(self, self.kernel._like(v))

    def __repr__(self) -> str:
        n, t, h = self.kernel.shape
        names = ", ".join(self.kernel.params)
        return _display.folded(f"HiddenCore({names}; {n} examples, {t} steps, {h} units)")


@dataclasses.dataclass(frozen=True)
class Driven:
    """One step: matrices times features, then the update."""

    features: AnyFunction
    update: AnyFunction

    def __call__(self, params: dict[str, Any], h: Array, x: PyTree, taps: dict[str, Array] | None = None) -> Array:
        phi = self.features(h, x)
        if not isinstance(phi, dict) or set(phi) != set(params):
            raise ValueError(f"features must give a dict with the names of params, {sorted(params)}; got {phi}.")
        z = {name: params[name] @ phi[name] for name in params}
        if taps is not None:
            z = {name: value + taps[name] for name, value in z.items()}
        return self.update(z, h, x)


def _features(core: HiddenCore) -> dict[str, Array]:
    """phi of every example and time, (n, t, c)."""
    kernel = core.kernel
    ((x, start),) = kernel.inputs
    before = jnp.concatenate([start[:, None], kernel.states()[:, :-1]], axis=1)
    return jax.vmap(jax.vmap(core.features))(before, x)


@jax.jit
def _mv(core: HiddenCore, v: Array) -> Array:
    kernel = core.kernel
    params, step = kernel.params, Driven(core.features, core.update)
    ((x, start),) = kernel.inputs
    n, t, _ = kernel.shape
    along = Unrolled(lambda params, h, given: step(params, h, *given))

    def states(taps: dict[str, Array]) -> Array:
        return jax.vmap(partial(along, params))(((x, taps), start)).reshape(kernel.shape)

    zero = {name: jnp.zeros((n, t, W.shape[0]), W.dtype) for name, W in params.items()}
    with jax.default_matmul_precision("highest"):
        _, back = jax.vjp(states, zero)
        (drives,) = back(v)
        phi = _features(core)
        carried = {
            name: jnp.einsum(
                "atc,bsc,bsd->atd", phi[name], phi[name], u, precision="highest", optimize=[(0, 1), (0, 1)]
            )
            for name, u in drives.items()
        }
        return jax.jvp(states, (zero,), (carried,))[1]
