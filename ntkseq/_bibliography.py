"""Which papers does the library rest on? Reference keys and what BibTeX says of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    kind: str
    authors: str
    title: str
    year: int
    venue: str  # journal, book title, or publisher of a book; "" for a preprint
    arxiv: str = ""


VENUE = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}
_NEURIPS = "Advances in Neural Information Processing Systems"

ENTRIES = {
    "allenzhu2019rnn": Entry(
        "inproceedings",
        "Allen-Zhu, Zeyuan and Li, Yuanzhi",
        "Can {SGD} Learn Recurrent Neural Networks with Provable Generalization?",
        2019,
        _NEURIPS,
        "1902.01028",
    ),
    "wang2021rnn": Entry(
        "inproceedings",
        "Wang, Lifu and Shen, Bo and Hu, Bo and Cao, Xing",
        "On the Provable Generalization of Recurrent Neural Networks",
        2021,
        _NEURIPS,
        "2109.14142",
    ),
    "panigrahi2021rnn": Entry(
        "inproceedings",
        "Panigrahi, Abhishek and Goyal, Navin",
        "Learning and Generalization in {RNNs}",
        2021,
        _NEURIPS,
        "2106.00047",
    ),
    "alemohammad2021rntk": Entry(
        "inproceedings",
        "Alemohammad, Sina and Wang, Zichao and Balestriero, Randall and Baraniuk, Richard",
        "The Recurrent Neural Tangent Kernel",
        2021,
        "International Conference on Learning Representations",
        "2006.10246",
    ),
    "yang2020tp2": Entry(
        "misc", "Yang, Greg", "Tensor Programs {II}: Neural Tangent Kernel for Any Architecture", 2020, "", "2006.14548"
    ),
    "bartlett2002rademacher": Entry(
        "article",
        "Bartlett, Peter L. and Mendelson, Shahar",
        "{Rademacher} and {Gaussian} Complexities: Risk Bounds and Structural Results",
        2002,
        "Journal of Machine Learning Research",
    ),
    "arora2019finegrained": Entry(
        "inproceedings",
        "Arora, Sanjeev and Du, Simon S. and Hu, Wei and Li, Zhiyuan and Wang, Ruosong",
        "Fine-Grained Analysis of Optimization and Generalization for Overparameterized Two-Layer Neural Networks",
        2019,
        "International Conference on Machine Learning",
        "1901.08584",
    ),
    "cao2019sgd": Entry(
        "inproceedings",
        "Cao, Yuan and Gu, Quanquan",
        "Generalization Bounds of Stochastic Gradient Descent for Wide and Deep Neural Networks",
        2019,
        _NEURIPS,
        "1905.13210",
    ),
    "du2019provably": Entry(
        "inproceedings",
        "Du, Simon S. and Zhai, Xiyu and Poczos, Barnabas and Singh, Aarti",
        "Gradient Descent Provably Optimizes Over-parameterized Neural Networks",
        2019,
        "International Conference on Learning Representations",
        "1810.02054",
    ),
    "cho2009kernel": Entry(
        "inproceedings", "Cho, Youngmin and Saul, Lawrence K.", "Kernel Methods for Deep Learning", 2009, _NEURIPS
    ),
    "williams1997": Entry(
        "inproceedings", "Williams, Christopher K. I.", "Computing with Infinite Networks", 1997, _NEURIPS
    ),
    "roy2007effective": Entry(
        "inproceedings",
        "Roy, Olivier and Vetterli, Martin",
        "The Effective Rank: A Measure of Effective Dimensionality",
        2007,
        "European Signal Processing Conference",
    ),
    "bartlett2020benign": Entry(
        "article",
        "Bartlett, Peter L. and Long, Philip M. and Lugosi, Gabor and Tsigler, Alexander",
        "Benign Overfitting in Linear Regression",
        2020,
        "Proceedings of the National Academy of Sciences",
        "1906.11300",
    ),
    "huang2022maml": Entry(
        "inproceedings",
        "Huang, Yu and Liang, Yingbin and Huang, Longbo",
        "Provable Generalization of Overparameterized Meta-learning Trained with {SGD}",
        2022,
        _NEURIPS,
        "2206.09136",
    ),
    "cristianini2001": Entry(
        "inproceedings",
        "Cristianini, Nello and Shawe-Taylor, John and Elisseeff, Andre and Kandola, Jaz",
        "On Kernel-Target Alignment",
        2001,
        _NEURIPS,
    ),
    "audenaert2007": Entry(
        "article",
        "Audenaert, Koenraad M. R.",
        "A Sharp Continuity Estimate for the von {Neumann} Entropy",
        2007,
        "Journal of Physics A: Mathematical and Theoretical",
    ),
    "frangella2023": Entry(
        "article",
        "Frangella, Zachary and Tropp, Joel A. and Udell, Madeleine",
        'Randomized {Nystr{\\"o}m} Preconditioning',
        2023,
        "{SIAM} Journal on Matrix Analysis and Applications",
    ),
    "kornblith2019": Entry(
        "inproceedings",
        "Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey",
        "Similarity of Neural Network Representations Revisited",
        2019,
        "International Conference on Machine Learning",
        "1905.00414",
    ),
    "davis1970": Entry(
        "article",
        "Davis, Chandler and Kahan, W. M.",
        "The Rotation of Eigenvectors by a Perturbation. {III}",
        1970,
        "{SIAM} Journal on Numerical Analysis",
    ),
    "rump2006": Entry(
        "article",
        "Rump, Siegfried M.",
        "Verification of Positive Definiteness",
        2006,
        "{BIT} Numerical Mathematics",
    ),
    "davidson1975": Entry(
        "article",
        "Davidson, Ernest R.",
        "The Iterative Calculation of a Few of the Lowest Eigenvalues and Corresponding Eigenvectors of Large "
        "Real-Symmetric Matrices",
        1975,
        "Journal of Computational Physics",
    ),
    "kuczynski1992": Entry(
        "article",
        "Kuczy{\\'n}ski, J. and Wo{\\'z}niakowski, H.",
        "Estimating the Largest Eigenvalue by the Power and {Lanczos} Algorithms with a Random Start",
        1992,
        "{SIAM} Journal on Matrix Analysis and Applications",
    ),
    "golub2010": Entry(
        "book",
        "Golub, Gene H. and Meurant, G{\\'e}rard",
        "Matrices, Moments and Quadrature with Applications",
        2010,
        "Princeton University Press",
    ),
    "laurent2000": Entry(
        "article",
        "Laurent, B{\\'e}atrice and Massart, Pascal",
        "Adaptive Estimation of a Quadratic Functional by Model Selection",
        2000,
        "The Annals of Statistics",
    ),
    "ozaki2012": Entry(
        "article",
        "Ozaki, Katsuhisa and Ogita, Takeshi and Oishi, Shin'ichi and Rump, Siegfried M.",
        "Error-Free Transformations of Matrix Multiplication by Using Fast Routines of Matrix Multiplication and "
        "Its Applications",
        2012,
        "Numerical Algorithms",
    ),
    "anderson1999": Entry("book", "Anderson, E. and others", "{LAPACK} Users' Guide", 1999, "SIAM"),
    "cao1996": Entry(
        "article",
        "Cao, Zhi-Hao and Xie, Jin-Jun and Li, Ren-Cang",
        "A Sharp Version of {Kahan}'s Theorem on Clustered Eigenvalues",
        1996,
        "Linear Algebra and its Applications",
    ),
    "rasmussen2006": Entry(
        "book",
        "Rasmussen, Carl Edward and Williams, Christopher K. I.",
        "{Gaussian} Processes for Machine Learning",
        2006,
        "{MIT} Press",
    ),
    "parlett1998": Entry("book", "Parlett, Beresford N.", "The Symmetric Eigenvalue Problem", 1998, "SIAM"),
    "higham2002": Entry("book", "Higham, Nicholas J.", "Accuracy and Stability of Numerical Algorithms", 2002, "SIAM"),
    "hron2020attention": Entry(
        "inproceedings",
        "Hron, Jiri and Bahri, Yasaman and Sohl-Dickstein, Jascha and Novak, Roman",
        "Infinite Attention: {NNGP} and {NTK} for Deep Attention Networks",
        2020,
        "International Conference on Machine Learning",
        "2006.10540",
    ),
    "novak2019bayesian": Entry(
        "inproceedings",
        "Novak, Roman and Xiao, Lechao and Bahri, Yasaman and Lee, Jaehoon and Yang, Greg and Hron, Jiri and "
        "Abolafia, Daniel A. and Pennington, Jeffrey and Sohl-Dickstein, Jascha",
        "{Bayesian} Deep Convolutional Networks with Many Channels are {Gaussian} Processes",
        2019,
        "International Conference on Learning Representations",
        "1810.05148",
    ),
    "dauphin2017glu": Entry(
        "inproceedings",
        "Dauphin, Yann N. and Fan, Angela and Auli, Michael and Grangier, David",
        "Language Modeling with Gated Convolutional Networks",
        2017,
        "International Conference on Machine Learning",
        "1612.08083",
    ),
    "novak2020": Entry(
        "inproceedings",
        "Novak, Roman and Xiao, Lechao and Hron, Jiri and Lee, Jaehoon and Alemi, Alexander A. and "
        "Sohl-Dickstein, Jascha and Schoenholz, Samuel S.",
        "Neural Tangents: Fast and Easy Infinite Neural Networks in {Python}",
        2020,
        "International Conference on Learning Representations",
        "1912.02803",
    ),
    "jacot2018": Entry(
        "inproceedings",
        "Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment",
        "Neural Tangent Kernel: Convergence and Generalization in Neural Networks",
        2018,
        _NEURIPS,
        "1806.07572",
    ),
    "novak2022": Entry(
        "inproceedings",
        "Novak, Roman and Sohl-Dickstein, Jascha and Schoenholz, Samuel S.",
        "Fast Finite Width Neural Tangent Kernel",
        2022,
        "International Conference on Machine Learning",
        "2206.08720",
    ),
    "finn2017maml": Entry(
        "inproceedings",
        "Finn, Chelsea and Abbeel, Pieter and Levine, Sergey",
        "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
        2017,
        "International Conference on Machine Learning",
        "1703.03400",
    ),
    "rajeswaran2019imaml": Entry(
        "inproceedings",
        "Rajeswaran, Aravind and Finn, Chelsea and Kakade, Sham and Levine, Sergey",
        "Meta-Learning with Implicit Gradients",
        2019,
        _NEURIPS,
        "1909.04630",
    ),
    "wang2020meta": Entry(
        "misc",
        "Wang, Haoxiang and Sun, Ruoyu and Li, Bo",
        "Global Convergence and Generalization Bound of Gradient-Based Meta-Learning with Deep Neural Nets",
        2020,
        "",
        "2006.14606",
    ),
    "edelman2022": Entry(
        "inproceedings",
        "Edelman, Benjamin L. and Goel, Surbhi and Kakade, Sham and Zhang, Cyril",
        "Inductive Biases and Variable Creation in Self-Attention Mechanisms",
        2022,
        "International Conference on Machine Learning",
        "2110.10090",
    ),
    "trauger2024": Entry(
        "inproceedings",
        "Trauger, Jacob and Tewari, Ambuj",
        "Sequence Length Independent Norm-Based Generalization Bounds for Transformers",
        2024,
        "International Conference on Artificial Intelligence and Statistics",
        "2310.13088",
    ),
    "truong2024": Entry(
        "misc",
        "Truong, Lan V.",
        "On Rank-Dependent Generalisation Error Bounds for Transformers",
        2024,
        "",
        "2410.11500",
    ),
    "sakai2026": Entry(
        "misc",
        "Sakai, Mana and Imaizumi, Masaaki",
        "Spectrum-Adaptive Generalization Bounds for Trained Deep Transformers",
        2026,
        "",
        "2605.07297",
    ),
    "dhingra2025": Entry(
        "misc", "Dhingra, Aviral", "Provable Generalization in Overparameterized Neural Nets", 2025, "", "2508.17256"
    ),
    "lee2019wide": Entry(
        "inproceedings",
        "Lee, Jaehoon and Xiao, Lechao and Schoenholz, Samuel S. and Bahri, Yasaman and Novak, Roman and "
        "Sohl-Dickstein, Jascha and Pennington, Jeffrey",
        "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent",
        2019,
        _NEURIPS,
        "1902.06720",
    ),
    "chizat2019lazy": Entry(
        "inproceedings",
        "Chizat, Lenaic and Oyallon, Edouard and Bach, Francis",
        "On Lazy Training in Differentiable Programming",
        2019,
        _NEURIPS,
        "1812.07956",
    ),
    "rudelson2007": Entry(
        "article",
        "Rudelson, Mark and Vershynin, Roman",
        "Sampling from Large Matrices: An Approach through Geometric Functional Analysis",
        2007,
        "Journal of the ACM",
    ),
    "tropp2015": Entry(
        "article",
        "Tropp, Joel A.",
        "An Introduction to Matrix Concentration Inequalities",
        2015,
        "Foundations and Trends in Machine Learning",
        "1501.01571",
    ),
    "gao2017": Entry(
        "misc",
        "Gao, Peiran and Trautmann, Eric and Yu, Byron and Santhanam, Gopal and Ryu, Stephen and Shenoy, Krishna and "
        "Ganguli, Surya",
        "A Theory of Multineuronal Dimensionality, Dynamics and Measurement",
        2017,
        "",
    ),
    "gu2022s4d": Entry(
        "inproceedings",
        "Gu, Albert and Gupta, Ankit and Goel, Karan and R{\\'e}, Christopher",
        "On the Parameterization and Initialization of Diagonal State Space Models",
        2022,
        "Advances in Neural Information Processing Systems",
        "2206.11893",
    ),
    "sun2023retention": Entry(
        "misc",
        "Sun, Yutao and Dong, Li and Huang, Shaohan and Ma, Shuming and Xia, Yuqing and Xue, Jilong and "
        "Wang, Jianyong and Wei, Furu",
        "Retentive Network: A Successor to Transformer for Large Language Models",
        2023,
        "",
        "2307.08621",
    ),
    "orvieto2023lru": Entry(
        "inproceedings",
        "Orvieto, Antonio and Smith, Samuel L. and Gu, Albert and Fernando, Anushan and Gulcehre, Caglar and "
        "Pascanu, Razvan and De, Soham",
        "Resurrecting Recurrent Neural Networks for Long Sequences",
        2023,
        "International Conference on Machine Learning",
        "2303.06349",
    ),
    "zhang2005": Entry(
        "article",
        "Zhang, Tong",
        "Learning Bounds for Kernel Regression Using Effective Data Dimensionality",
        2005,
        "Neural Computation",
    ),
}
