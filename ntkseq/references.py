"""Which papers does this object rest on? Reference keys, their BibTeX, and `cite`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple


class _Entry(NamedTuple):
    kind: str
    authors: str
    title: str
    year: int
    venue: str  # journal, book title, or publisher of a book; "" for a preprint
    arxiv: str = ""


_VENUE = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}
_NEURIPS = "Advances in Neural Information Processing Systems"

_ENTRIES = {
    "allenzhu2019rnn": _Entry(
        "inproceedings",
        "Allen-Zhu, Zeyuan and Li, Yuanzhi",
        "Can {SGD} Learn Recurrent Neural Networks with Provable Generalization?",
        2019,
        _NEURIPS,
        "1902.01028",
    ),
    "wang2021rnn": _Entry(
        "inproceedings",
        "Wang, Lifu and Shen, Bo and Hu, Bo and Cao, Xing",
        "On the Provable Generalization of Recurrent Neural Networks",
        2021,
        _NEURIPS,
        "2109.14142",
    ),
    "panigrahi2021rnn": _Entry(
        "inproceedings",
        "Panigrahi, Abhishek and Goyal, Navin",
        "Learning and Generalization in {RNNs}",
        2021,
        _NEURIPS,
        "2106.00047",
    ),
    "alemohammad2021rntk": _Entry(
        "inproceedings",
        "Alemohammad, Sina and Wang, Zichao and Balestriero, Randall and Baraniuk, Richard",
        "The Recurrent Neural Tangent Kernel",
        2021,
        "International Conference on Learning Representations",
        "2006.10246",
    ),
    "yang2020tp2": _Entry(
        "misc", "Yang, Greg", "Tensor Programs {II}: Neural Tangent Kernel for Any Architecture", 2020, "", "2006.14548"
    ),
    "bartlett2002rademacher": _Entry(
        "article",
        "Bartlett, Peter L. and Mendelson, Shahar",
        "{Rademacher} and {Gaussian} Complexities: Risk Bounds and Structural Results",
        2002,
        "Journal of Machine Learning Research",
    ),
    "arora2019finegrained": _Entry(
        "inproceedings",
        "Arora, Sanjeev and Du, Simon S. and Hu, Wei and Li, Zhiyuan and Wang, Ruosong",
        "Fine-Grained Analysis of Optimization and Generalization for Overparameterized Two-Layer Neural Networks",
        2019,
        "International Conference on Machine Learning",
        "1901.08584",
    ),
    "cao2019sgd": _Entry(
        "inproceedings",
        "Cao, Yuan and Gu, Quanquan",
        "Generalization Bounds of Stochastic Gradient Descent for Wide and Deep Neural Networks",
        2019,
        _NEURIPS,
        "1905.13210",
    ),
    "du2019provably": _Entry(
        "inproceedings",
        "Du, Simon S. and Zhai, Xiyu and Poczos, Barnabas and Singh, Aarti",
        "Gradient Descent Provably Optimizes Over-parameterized Neural Networks",
        2019,
        "International Conference on Learning Representations",
        "1810.02054",
    ),
    "cho2009kernel": _Entry(
        "inproceedings", "Cho, Youngmin and Saul, Lawrence K.", "Kernel Methods for Deep Learning", 2009, _NEURIPS
    ),
    "williams1997": _Entry(
        "inproceedings", "Williams, Christopher K. I.", "Computing with Infinite Networks", 1997, _NEURIPS
    ),
    "roy2007effective": _Entry(
        "inproceedings",
        "Roy, Olivier and Vetterli, Martin",
        "The Effective Rank: A Measure of Effective Dimensionality",
        2007,
        "European Signal Processing Conference",
    ),
    "bartlett2020benign": _Entry(
        "article",
        "Bartlett, Peter L. and Long, Philip M. and Lugosi, Gabor and Tsigler, Alexander",
        "Benign Overfitting in Linear Regression",
        2020,
        "Proceedings of the National Academy of Sciences",
        "1906.11300",
    ),
    "huang2022maml": _Entry(
        "inproceedings",
        "Huang, Yu and Liang, Yingbin and Huang, Longbo",
        "Provable Generalization of Overparameterized Meta-learning Trained with {SGD}",
        2022,
        _NEURIPS,
        "2206.09136",
    ),
    "cristianini2001": _Entry(
        "inproceedings",
        "Cristianini, Nello and Shawe-Taylor, John and Elisseeff, Andre and Kandola, Jaz",
        "On Kernel-Target Alignment",
        2001,
        _NEURIPS,
    ),
    "audenaert2007": _Entry(
        "article",
        "Audenaert, Koenraad M. R.",
        "A Sharp Continuity Estimate for the von {Neumann} Entropy",
        2007,
        "Journal of Physics A: Mathematical and Theoretical",
    ),
    "ozaki2012": _Entry(
        "article",
        "Ozaki, Katsuhisa and Ogita, Takeshi and Oishi, Shin'ichi and Rump, Siegfried M.",
        "Error-Free Transformations of Matrix Multiplication by Using Fast Routines of Matrix Multiplication and "
        "Its Applications",
        2012,
        "Numerical Algorithms",
    ),
    "anderson1999": _Entry("book", "Anderson, E. and others", "{LAPACK} Users' Guide", 1999, "SIAM"),
    "cao1996": _Entry(
        "article",
        "Cao, Zhi-Hao and Xie, Jin-Jun and Li, Ren-Cang",
        "A Sharp Version of {Kahan}'s Theorem on Clustered Eigenvalues",
        1996,
        "Linear Algebra and its Applications",
    ),
    "parlett1998": _Entry("book", "Parlett, Beresford N.", "The Symmetric Eigenvalue Problem", 1998, "SIAM"),
    "higham2002": _Entry("book", "Higham, Nicholas J.", "Accuracy and Stability of Numerical Algorithms", 2002, "SIAM"),
    "hron2020attention": _Entry(
        "inproceedings",
        "Hron, Jiri and Bahri, Yasaman and Sohl-Dickstein, Jascha and Novak, Roman",
        "Infinite Attention: {NNGP} and {NTK} for Deep Attention Networks",
        2020,
        "International Conference on Machine Learning",
        "2006.10540",
    ),
    "novak2020": _Entry(
        "inproceedings",
        "Novak, Roman and Xiao, Lechao and Hron, Jiri and Lee, Jaehoon and Alemi, Alexander A. and "
        "Sohl-Dickstein, Jascha and Schoenholz, Samuel S.",
        "Neural Tangents: Fast and Easy Infinite Neural Networks in {Python}",
        2020,
        "International Conference on Learning Representations",
        "1912.02803",
    ),
    "jacot2018": _Entry(
        "inproceedings",
        "Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment",
        "Neural Tangent Kernel: Convergence and Generalization in Neural Networks",
        2018,
        _NEURIPS,
        "1806.07572",
    ),
    "novak2022": _Entry(
        "inproceedings",
        "Novak, Roman and Sohl-Dickstein, Jascha and Schoenholz, Samuel S.",
        "Fast Finite Width Neural Tangent Kernel",
        2022,
        "International Conference on Machine Learning",
        "2206.08720",
    ),
    "finn2017maml": _Entry(
        "inproceedings",
        "Finn, Chelsea and Abbeel, Pieter and Levine, Sergey",
        "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
        2017,
        "International Conference on Machine Learning",
        "1703.03400",
    ),
    "wang2020meta": _Entry(
        "misc",
        "Wang, Haoxiang and Sun, Ruoyu and Li, Bo",
        "Global Convergence and Generalization Bound of Gradient-Based Meta-Learning with Deep Neural Nets",
        2020,
        "",
        "2006.14606",
    ),
    "dhingra2025": _Entry(
        "misc", "Dhingra, Aviral", "Provable Generalization in Overparameterized Neural Nets", 2025, "", "2508.17256"
    ),
}

KEYS = tuple(_ENTRIES)
"""Every known reference key."""


def bibtex(key: str) -> str:
    """The BibTeX entry of one reference key.

    Raises:
        ValueError: an unknown key.

    Example:
        >>> print(bibtex("cho2009kernel"))
        @inproceedings{cho2009kernel,
          author = {Cho, Youngmin and Saul, Lawrence K.},
          title = {Kernel Methods for Deep Learning},
          year = {2009},
          booktitle = {Advances in Neural Information Processing Systems},
        }
    """
    if key not in _ENTRIES:
        raise ValueError(f"unknown reference key {key!r}; the known ones are {', '.join(KEYS)}.")
    entry = _ENTRIES[key]
    fields = {"author": entry.authors, "title": entry.title, "year": str(entry.year)}
    if entry.venue:
        fields[_VENUE[entry.kind]] = entry.venue
    if entry.arxiv:
        fields |= {"eprint": entry.arxiv, "archiveprefix": "arXiv"}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{entry.kind}{{{key},", *lines, "}"])


def keys_of(obj: Any) -> tuple[str, ...]:
    """The reference keys that `obj` and the objects in its fields carry in `references`, each once, in order."""
    found: dict[str, None] = {}
    seen: set[int] = set()

    def visit(part: Any) -> None:
        if id(part) in seen:
            return
        seen.add(id(part))
        keys = getattr(part, "references", ())
        if isinstance(keys, (tuple, list)):
            found.update(dict.fromkeys(key for key in keys if isinstance(key, str)))
        if isinstance(part, Mapping):
            for child in part.values():
                visit(child)
        elif isinstance(part, (tuple, list)):
            for child in part:
                visit(child)
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            for field in dataclasses.fields(part):
                visit(getattr(part, field.name, None))

    visit(obj)
    return tuple(found)


def cite(*objects: Any) -> str:
    """The BibTeX of everything that the given kernels, bounds or reference keys rest on.

    A `Sum` of kernels cites what its parts cite. An object without references adds nothing.

    Args:
        *objects: kernels, bounds, lists of them, or reference keys.

    Returns:
        BibTeX entries, each once, separated by empty lines; "" if there are none.

    Raises:
        ValueError: an unknown reference key.

    Example:
        >>> print(cite("williams1997").splitlines()[0])
        @inproceedings{williams1997,
    """
    keys: dict[str, None] = {}
    for obj in objects:
        keys.update(dict.fromkeys((obj,) if isinstance(obj, str) else keys_of(obj)))
    return "\n\n".join(bibtex(key) for key in keys)
