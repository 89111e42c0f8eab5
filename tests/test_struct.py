import jax
import jax.numpy as jnp
import pytest

from ntkseq import kernels
from ntkseq._struct import replace, static, struct


@struct
class Pair:
    value: object
    name: str = static(default="a")

    def __post_init__(self) -> None:
        if isinstance(self.value, float) and self.value < 0:
            raise ValueError("negative")


def test_static_fields_are_structure_and_others_are_leaves():
    leaves, tree = jax.tree.flatten(Pair(2.0, "b"))
    assert leaves == [2.0]
    assert jax.tree.unflatten(tree, [3.0]).name == "b"
    assert jax.tree.structure(Pair(1.0, "b")) != jax.tree.structure(Pair(1.0, "c"))
    ((path, _),) = jax.tree_util.tree_leaves_with_path(Pair(2.0))
    assert jax.tree_util.keystr(path) == ".value"


@pytest.mark.slow
def test_a_gradient_may_hold_what_the_constructor_refuses():
    with pytest.raises(ValueError, match="negative"):
        Pair(-1.0)
    assert jax.grad(lambda p: -p.value)(Pair(2.0)).value == -1.0
    x = jnp.ones((2, 3, 1))
    assert jax.grad(lambda k: -k(x).sum())(kernels.Recurrent()).sigma_w < 0


def test_an_object_is_frozen_and_replace_makes_a_changed_copy():
    pair = Pair(1.0)
    with pytest.raises(AttributeError):
        pair.value = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(pair, value=2.0).value == 2.0 and pair.value == 1.0


def positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be positive")
    return int(value)


@struct
class Sized:
    size: int = static(check=positive)
    name: str = static(default="a")

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.name == "":
            raise ValueError("a name is wanted")


def test_the_check_of_a_field_says_what_is_kept_before_the_object_checks_itself():
    assert type(Sized(True).size) is int and Sized(2, "b").size == 2
    with pytest.raises(ValueError, match="size must be positive"):
        Sized(0, "")
    with pytest.raises(ValueError, match="name"):
        Sized(1, "")
    with pytest.raises(ValueError, match="size"):
        replace(Sized(1), size=0)
    assert jax.tree.map(lambda leaf: leaf, Sized(3)).size == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pair(1.0, nam="b"), r"Pair takes no argument 'nam'\. Did you mean name\? It takes value, name\."),  # pyright: ignore
        (lambda: kernels.Gated(depth=2), r"'depth'\. Deep .* kernels\.Serial\(blocks\.Recurrent\(cells\.GRU\(\)\), "),  # pyright: ignore
        (lambda: kernels.Gated(sigma_w=1.2), r"its own: kernels\.Gated\(cells\.LSTM\(sigma_w=1\.3\)\)\. It takes cell"),  # pyright: ignore
        (lambda: kernels.Recurrent(width=64), r"\.finite\(width\) is the network of a width\. It takes sigma_w,"),  # pyright: ignore
        (
            lambda: kernels.Serial("relu", depth=2),
            r"no argument 'depth'\. Layers .* It takes \*parts, read",
        ),  # pyright: ignore
        (lambda: kernels.Dense().with_(reed="last"), r"Dense takes no argument 'reed'\. It takes"),
    ],
)
def test_an_argument_that_there_is_not_is_answered_with_those_that_there_are(make, said):
    with pytest.raises(TypeError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)
