"""How does a kernel become an estimator of scikit-learn? Classifier, regressor, and features for any other estimator.

X may be (n, t, d), (n, t), (n, channels, time) with `layout="nct"`, a list of sequences of unequal length, a panel with
two levels of rows, or an array with NaN behind the ends of its sequences. It is computed in float32, or in float64
where it is float64 and JAX is in its 64-bit mode; no warning says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
    )
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d
except ImportError as error:
    raise ImportError(
        f"scikit-learn >= 1.6 is not installed, and its estimators need it ({error}). Run: pip install 'ntkseq[study]'"
    ) from error

from ntkseq import _checks
from ntkseq._types import AnyArray, ArrayLike, Flag, Lengths
from ntkseq.interop import sklearn_fit, sklearn_inputs, sklearn_kernels, sklearn_store
from ntkseq.interop.sklearn_inputs import Batch
from ntkseq.interop.sklearn_kernels import KernelParameters
from ntkseq.interop.sklearn_store import forget
from ntkseq.predictors.kernel_ridge import one_hot
from ntkseq.predictors.posterior import gaussian_process

__all__ = ["NTKClassifier", "NTKRegressor", "NTKTransformer", "forget"]


class _Machine(KernelParameters, BaseEstimator):
    """What classifier and regressor share."""

    def __init__(self, kernel: Any = "auto", *, reg: Any = "loo", layout: Any = "ntd", cache_size: Any = 200):
        self.kernel = kernel
        self.reg = reg
        self.layout = layout
        self.cache_size = cache_size

    def _fit(self, batch: Batch, targets: Float[np.ndarray, "n k"]) -> sklearn_fit.Machine:
        kernels = sklearn_kernels.candidates(self.kernel, batch)
        _checks.nonnegative("cache_size", self.cache_size)
        found = sklearn_fit.machine(kernels, batch, targets, self.reg, self.cache_size)
        self.X_fit_, self.lengths_fit_ = batch.x, batch.lengths
        self.kernel_, self.reg_ = found.kernel, found.fit.reg
        self.loo_error_, self.loo_errors_ = found.loo_error, found.loo_errors
        self.dual_coef_, self._offset = found.fit.dual, found.offset
        return found

    def _read(self, X: object, lengths: Lengths) -> Batch:
        check_is_fitted(self)
        return sklearn_inputs.read(self, X, self.layout, lengths, reset=False)

    def _cross(self, batch: Batch) -> Float[np.ndarray, "q n"]:
        fitted = Batch(self.X_fit_, self.lengths_fit_, batch.axes)
        values = sklearn_store.cross(self.kernel_, batch, fitted, self.cache_size)
        return np.asarray(values, np.float64) + self._offset


class NTKClassifier(ClassifierMixin, _Machine):
    """Classification by kernel ridge regression on one-hot targets, for any kernel of this library.

        f(x) = sum_j dual_j (K(x, x_j) + c),   dual = (K + c + reg)^-1 Y,   p(class | x) = softmax(s f(x))

    The ridge, and the kernel if several are given, have the least leave-one-out error, all candidates for a ridge from
    one decomposition. s is fitted to the scores of examples that were left out, so that probabilities mean what they
    say, and the likeliest class is the predicted one. c, ten times the mean of the diagonal, is the kernel of a
    constant.

    Args:
        kernel: an `ntkseq.kernels` kernel, or its short name of `kernels.names()`; a list of them, of which one is
            chosen; or "auto", a grid of recurrent kernels scaled to the data. Arguments of one kernel are parameters
            here: `kernel__sigma_w`.
        reg: the ridge, "loo" or a number >= 0 in the units of K.
        layout: "ntd" for arrays (n, t, d) and (n, t); "nct" for (n, channels, time), as aeon and sktime have it, and
            (n, t); "nd" for vectors (n, d), as `kernels.Dense` takes them.
        cache_size: MB of kernel values that are kept for the next fit, of all estimators together, so that a
            cross-validation computes the kernel of two examples once. 0 keeps none.

    Attributes:
        classes_: the labels, sorted.
        kernel_, reg_: the kernel and the ridge in use.
        loo_error_, loo_errors_: mean squared leave-one-out residual of the one-hot targets; of every kernel tried.
        loo_accuracy_: share of training examples that are right when left out. With a choice by leave-one-out it
            flatters.
        temperature_: s.
        X_fit_, lengths_fit_: the training examples as the kernel took them: `ntkseq.gram(kernel_, X_fit_,
            lengths=lengths_fit_)` is their Gram matrix.
        dual_coef_: (n, k).

    Reference: rasmussen2006, sections 2.2 and 5.4.2; the calibration is ours.

    Example:
        >>> import numpy as np
        >>> from ntkseq import kernels
        >>> from ntkseq.interop.sklearn import NTKClassifier
        >>> X = np.array([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0], [1.0, 0.2]])  # n = 4 series of t = 2 steps
        >>> model = NTKClassifier(kernels.Recurrent(), reg=0.1).fit(X, ["up", "up", "down", "down"])
        >>> model.predict([[0.0, 0.9]]).tolist()
        ['up']
        >>> model.set_params(kernel__sigma_w=1.4).kernel.sigma_w
        1.4
    """

    def fit(self, X: ArrayLike, y: ArrayLike, lengths: Lengths = None) -> NTKClassifier:
        """Fit to labels.

        Args:
            X: n examples.
            y: (n,) labels, numbers or text, of two classes at least.
            lengths: (n,) of sequences padded on the right.

        Raises:
            ValueError: data that are not what the layout says, one class only, numbers that are no classes.
        """
        batch, y = _checked(self, X, y, lengths)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes; got 1 class, {self.classes_[0].item()!r}.")
        found = self._fit(batch, one_hot(codes))
        scores = found.fit.loo_predictions
        self.temperature_ = sklearn_fit.temperature(scores, codes)
        self.loo_accuracy_ = float(np.mean(np.argmax(scores, axis=1) == codes))
        return self

    def _scores(self, X: ArrayLike, lengths: Lengths) -> Float[np.ndarray, "n k"]:
        return self._cross(self._read(X, lengths)) @ self.dual_coef_

    def decision_function(self, X: ArrayLike, lengths: Lengths = None) -> AnyArray:
        """The scores f, (n, k); of two classes f_2 - f_1, (n,).

        Args:
            X, lengths: as for `fit`.
        """
        scores = self._scores(X, lengths)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: ArrayLike, lengths: Lengths = None) -> AnyArray:
        """The probability of each class, (n, k), in the order of `classes_`.

        Args:
            X, lengths: as for `fit`.
        """
        scores = self._scores(X, lengths)
        return np.exp(sklearn_fit.log_softmax(self.temperature_ * scores))

    def predict(self, X: ArrayLike, lengths: Lengths = None) -> AnyArray:
        """The class of largest score, (n,).

        Args:
            X, lengths: as for `fit`.
        """
        scores = self._scores(X, lengths)
        return self.classes_[np.argmax(scores, axis=1)]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None, lengths: Lengths = None) -> float:
        """The share of right answers.

        Args:
            X, y, lengths: as for `fit`.
            sample_weight: (n,) weights of the examples.
        """
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(y, self.predict(X, lengths=lengths), sample_weight=sample_weight))


class NTKRegressor(RegressorMixin, _Machine):
    """Regression by the mean of a Gaussian process, which is kernel ridge regression, for any kernel of this library.

    The ridge and the kernel are chosen as for `NTKClassifier`. Targets are centred and divided by their standard
    deviation, several share the kernel and the ridge; the constant in the kernel lets an example that is left out take
    its share of the mean along. The variance of the process is scaled so that leave-one-out residuals have the size it
    says.

    Args:
        kernel, reg, layout, cache_size: as for `NTKClassifier`.

    Attributes:
        kernel_, reg_, loo_errors_, X_fit_, lengths_fit_, dual_coef_: as of `NTKClassifier`.
        loo_error_: mean squared leave-one-out residual, in units of the variance of the targets.
        posterior_: the `predictors.GaussianProcess` of the targets so scaled; None with reg = 0.

    Reference: rasmussen2006, sections 2.2 and 5.4.2.

    Example:
        >>> import numpy as np
        >>> from ntkseq import kernels
        >>> from ntkseq.interop.sklearn import NTKRegressor
        >>> X = np.random.default_rng(0).standard_normal((30, 5))  # n = 30 series of t = 5 steps
        >>> model = NTKRegressor(kernels.Recurrent(read="mean", sigma_b=0.1)).fit(X, X.mean(axis=1))
        >>> mean, std = model.predict(X[:2], return_std=True)
        >>> mean.shape, bool((np.abs(mean - X[:2].mean(axis=1)) < 5 * std).all())
        ((2,), True)
    """

    def fit(self, X: ArrayLike, y: ArrayLike, lengths: Lengths = None) -> NTKRegressor:
        """Fit to targets.

        Args:
            X: n examples.
            y: (n,) or (n, k) targets.
            lengths: (n,) of sequences padded on the right.

        Raises:
            ValueError: data that are not what the layout says, targets that are not finite numbers.
        """
        batch, y = _checked(self, X, y, lengths, values=True)
        self._single = y.ndim == 1
        targets = y.reshape(len(y), -1)
        unit = np.exp2(np.frexp(np.max(np.abs(targets), axis=0))[1] - 1.0)  # squares of what is left do not overflow
        mean, spread = np.mean(targets / unit, axis=0), np.std(targets / unit, axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        self._mean, self._spread = mean * unit, spread * unit
        found = self._fit(batch, (targets / unit - mean) / spread)
        self.posterior_ = gaussian_process(found.K, found.fit.y, noise=found.fit.reg) if found.fit.reg > 0 else None
        self._size = np.sqrt(np.maximum(np.mean(found.fit.loo_residuals * found.fit.dual, axis=0), 0.0))
        return self

    def predict(self, X: ArrayLike, return_std: Flag = False, lengths: Lengths = None) -> Any:
        """The mean, (n,) or (n, k); with `return_std` also the standard deviation of a new target, its noise included.

        Args:
            X, lengths: as for `fit`.
            return_std: whether to return the standard deviations, too.

        Raises:
            ValueError: return_std of a fit with reg = 0, or of one example.
        """
        batch = self._read(X, lengths)
        cross = self._cross(batch)
        mean = (cross @ self.dual_coef_) * self._spread + self._mean
        mean = mean[:, 0] if self._single else mean
        if not return_std:
            return mean
        if self.posterior_ is None:
            raise ValueError("return_std needs noise, reg > 0; this fit has reg = 0.")
        if len(self.X_fit_) < 2:
            raise ValueError("return_std needs two examples, of which one is left out; this fit had 1.")
        own = sklearn_store.diagonal(self.kernel_, batch) + self._offset
        variance = self.posterior_.variance(cross, own).values + self.reg_
        std = np.sqrt(variance)[:, None] * self._size * self._spread
        return mean, std[:, 0] if self._single else std

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None, lengths: Lengths = None) -> float:
        """The coefficient of determination, R^2.

        Args:
            X, y, lengths: as for `fit`.
            sample_weight: (n,) weights of the examples.
        """
        from sklearn.metrics import r2_score

        return float(r2_score(y, self.predict(X, lengths=lengths), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class NTKTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, KernelParameters, BaseEstimator):
    """Features whose inner products are the kernel, nearly: Nystrom's, for estimators that take vectors.

        phi(x) = S^-1/2 U' K(landmarks, x),   U S U' = K(landmarks, landmarks)

    Landmarks are drawn from the training examples. Between landmarks the features give K itself; with all examples as
    landmarks a linear machine on the features is the kernel machine. Directions of which the rounding of K leaves
    nothing are dropped.

    Args:
        kernel: an `ntkseq.kernels` kernel, or "auto": a recurrent one that forgets, scaled to the data.
        n_components: landmarks, at most n.
        random_state: of the draw.
        layout, cache_size: as for `NTKClassifier`.

    Attributes:
        kernel_: the kernel in use.
        landmarks_, landmark_lengths_: the landmarks as the kernel takes them.
        landmark_indices_: which examples of the fit they are.
        projection_: U S^-1/2, (landmarks, features).

    Reference: williams2001nystrom.

    Example:
        >>> import numpy as np
        >>> from ntkseq import kernels
        >>> from ntkseq.interop.sklearn import NTKTransformer
        >>> X = np.random.default_rng(0).standard_normal((9, 5))
        >>> NTKTransformer(kernels.Recurrent(), n_components=4, random_state=0).fit_transform(X).shape
        (9, 4)
    """

    def __init__(
        self,
        kernel: Any = "auto",
        *,
        n_components: Any = 100,
        random_state: Any = None,
        layout: Any = "ntd",
        cache_size: Any = 200,
    ):
        self.kernel = kernel
        self.n_components = n_components
        self.random_state = random_state
        self.layout = layout
        self.cache_size = cache_size

    def fit(self, X: ArrayLike, y: Any = None, lengths: Lengths = None) -> NTKTransformer:
        """Draw the landmarks.

        Args:
            X: n examples.
            y: left aside.
            lengths: (n,) of sequences padded on the right.

        Raises:
            ValueError: data that are not what the layout says; several kernels, between which nothing chooses.
        """
        batch = sklearn_inputs.read(self, X, self.layout, lengths, reset=True)
        if isinstance(self.kernel, (list, tuple)) and len(self.kernel) > 1:
            raise ValueError(f"kernel must be one Kernel, as nothing chooses between features; got {len(self.kernel)}.")
        auto = isinstance(self.kernel, str) and self.kernel == "auto"
        each = [sklearn_kernels.default(batch)] if auto else sklearn_kernels.candidates(self.kernel, batch)
        m = min(_checks.positive_int("n_components", self.n_components), len(batch))
        self.landmark_indices_ = np.sort(check_random_state(self.random_state).permutation(len(batch))[:m])
        landmarks = batch.take(self.landmark_indices_)
        K = sklearn_store.square(each[0], landmarks, self.cache_size)
        values, vectors = np.linalg.eigh(np.asarray(K.array, np.float64))
        kept = values > max(float(K.rounding), m * float(np.finfo(np.float64).eps) * float(np.abs(values).max()))
        if not kept.any():
            raise ValueError("kernel must be positive on some landmark; rounding leaves nothing. Take sigma_b > 0.")
        self.kernel_, self.landmarks_, self.landmark_lengths_ = each[0], landmarks.x, landmarks.lengths
        self.projection_ = vectors[:, kept] / np.sqrt(values[kept])
        self._n_features_out = self.projection_.shape[1]
        return self

    def transform(self, X: ArrayLike, lengths: Lengths = None) -> AnyArray:
        """The features, (n, k) with k the number of landmarks, less what was dropped.

        Args:
            X, lengths: as for `fit`.

        Raises:
            ValueError: data that are not what the layout says, or unlike those of the fit.
        """
        check_is_fitted(self)
        batch = sklearn_inputs.read(self, X, self.layout, lengths, reset=False)
        landmarks = Batch(self.landmarks_, self.landmark_lengths_, batch.axes)
        cross = sklearn_store.cross(self.kernel_, batch, landmarks, self.cache_size)
        return np.asarray(cross, np.float64) @ self.projection_


def _checked(
    estimator: Any, X: ArrayLike, y: Any, lengths: Lengths, *, values: Flag = False
) -> tuple[Batch, np.ndarray]:
    """X as a batch and y as an array, one for each example."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    batch = sklearn_inputs.read(estimator, X, estimator.layout, lengths, reset=True)
    with sklearn_inputs.named("y"):
        _checks.outside("y", y, "")
        _checks.unmasked("y", y)
        _checks.not_a_key("y", y)
        listed = hasattr(y, "__array__") or (hasattr(y, "__len__") and not isinstance(y, (str, bytes, dict)))
        if not listed or getattr(y, "shape", None) == ():
            raise ValueError(f"y must have one entry for each example of X; got {_checks.shown(y)}.")
        if values:
            y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y").astype(np.float64)
        else:
            y = column_or_1d(y, warn=True)
            if y.dtype.kind == "f":
                _checks.finite("y", y)
            check_classification_targets(y)
        if len(y) != len(batch):
            raise ValueError(f"y must have one entry for each example of X, {len(batch)}; got {len(y)}.")
    return batch, y
