import pytest

from ntkseq.studies import two_classes


@pytest.mark.parametrize(
    ("classes", "named", "chosen", "words"),
    [
        ("ab", None, 1, "class 'a' is -1, class 'b' is +1"),
        ("ab", "a", 0, "class 'b' is -1, class 'a' is +1"),
        ("abc", None, 0, "class 'a' is +1, the other 2 classes together are -1"),
        ("abc", "c", 2, "class 'c' is +1, the other 2 classes together are -1"),
    ],
)
def test_the_second_of_two_and_the_first_of_more_is_plus_one_unless_one_is_named(classes, named, chosen, words):
    assert two_classes.positive(tuple(classes), named) == chosen
    assert two_classes.words(tuple(classes), chosen) == words


def test_a_class_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="positive must be one of the classes a, b; got 'c'"):
        two_classes.positive(("a", "b"), "c")
