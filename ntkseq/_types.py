"""Names for what many functions take: arrays, inputs, lengths, keys, numbers.

A type checker and an editor see the unions. At run time each name is `Any`: what is passed by mistake comes to the
checks of this library, which say in one line what was wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol, TypeAlias

    import jax
    import numpy as np
    import optax
    import pandas
    from jax.typing import DTypeLike

    from ntkseq.bounds.attention_head import AttentionHead
    from ntkseq.concepts._target import Target
    from ntkseq.grams.base import Gram
    from ntkseq.kernels.base import Kernel
    from ntkseq.models.base import Model
    from ntkseq.risks.problem import MixedRegression
    from ntkseq.spectra.ranks.base import EffectiveRank

    class HasArray(Protocol):
        """What NumPy can turn into an array: a frame of pandas, a tensor of another library."""

        def __array__(self) -> np.ndarray: ...

    AnyArray: TypeAlias = jax.Array | np.ndarray
    """An array of JAX or of NumPy."""
    Number: TypeAlias = float | np.generic | jax.Array | np.ndarray
    """One number: of Python, of NumPy, or an array of JAX without axes, traced or not."""
    ArrayLike: TypeAlias = jax.Array | np.ndarray | np.generic | float | Sequence[Any] | HasArray
    """An array of JAX or NumPy, one number, lists of numbers, or what NumPy can turn into an array."""
    Lengths: TypeAlias = ArrayLike | None
    """Lengths of sequences, (n,) integers; None: all steps of all sequences."""
    Inputs: TypeAlias = ArrayLike | Mapping[Any, Any]
    """A batch of inputs: an array, (n, d) or (n, t, d), or a pytree of arrays with leading axis n."""
    GramLike: TypeAlias = Gram | ArrayLike
    """A Gram matrix, or an array that becomes one."""
    Tasks: TypeAlias = Inputs
    """Few-shot tasks ((xs, ys), xq), the number of tasks in front of every array."""
    Index: TypeAlias = int | slice | AnyArray | Sequence[int]
    """Which rows or examples: numbers, a mask, or a slice."""
    Key: TypeAlias = jax.Array
    """A random key, `jax.random.key(seed)`."""
    DType: TypeAlias = DTypeLike
    """A dtype, or its name; where None is allowed, the default float."""
    Seed: TypeAlias = int | np.integer
    """The seed of a generator of NumPy, an integer >= 0."""
    AnyGram: TypeAlias = Gram
    """A Gram matrix of this library."""
    AnyKernel: TypeAlias = Kernel
    """A kernel of this library."""
    AnyModel: TypeAlias = Model
    """A network of this library."""
    AnyTarget: TypeAlias = Target
    """A target function of `ntkseq.concepts`."""
    AnyHead: TypeAlias = AttentionHead
    """A `bounds.AttentionHead`."""
    RankLike: TypeAlias = str | EffectiveRank
    """A definition of the effective rank, an object or its short name."""
    Trainable: TypeAlias = str | Callable[[Any], bool] | None
    """Which leaves are trained: a regular expression, a function of the path; None: all floating leaves."""
    Integer: TypeAlias = int
    """A whole number."""
    Flag: TypeAlias = bool
    """True or False."""
    Text: TypeAlias = str
    """A word or a path."""
    Problem: TypeAlias = MixedRegression
    """A `risks.MixedRegression`."""
    Optimizer: TypeAlias = optax.GradientTransformation
    """An optimizer of optax."""
    DataFrame: TypeAlias = pandas.DataFrame
    """A table of pandas, where pandas is installed."""
    AnyFunction: TypeAlias = Callable[..., Any]
    """A function of the user."""
    Scale: TypeAlias = Any
    """One number, of Python, of NumPy or an array of JAX without axes, traced or not."""
    Scales: TypeAlias = Any
    """One number, or one number for each layer."""
    ActivationLike: TypeAlias = Any
    """A name of `activations.names()`, or an `activations.Activation`, which is what the object then holds."""
    CellLike: TypeAlias = Any
    """A cell of `ntkseq.cells`, or "gru" or "lstm"."""
    PyTree: TypeAlias = Any
    """A pytree of arrays: parameters of a network, their gradients, the state of an optimizer."""
else:
    AnyArray = Number = ArrayLike = Lengths = Inputs = GramLike = Any
    AnyKernel = AnyModel = AnyTarget = AnyHead = RankLike = Trainable = Optimizer = DataFrame = Any
    Scale = Scales = ActivationLike = CellLike = Any
    AnyGram = Integer = Flag = Text = Problem = Any
    Tasks = Index = Key = DType = Seed = AnyFunction = PyTree = Any
