"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq._bound import Assumption, Bound, Term
from ntkseq.bounds.attention import attention_norm, attention_rank, attention_schatten
from ntkseq.bounds.attention_capacity import effective_rank_capacity
from ntkseq.bounds.attention_frozen import frozen_attention
from ntkseq.bounds.attention_head import AttentionHead
from ntkseq.bounds.attention_theorems import edelman2022, sakai_imaizumi2026, trauger_tewari2024, truong2024
from ntkseq.bounds.certificate_probe import CertificateProbe
from ntkseq.bounds.compressed import compression
from ntkseq.bounds.descent import du2019
from ntkseq.bounds.gibbs import pac_bayes
from ntkseq.bounds.gibbs_losses import LipschitzLoss
from ntkseq.bounds.inequalities import Bernstein, Catoni, Kl
from ntkseq.bounds.kernel import margin, rademacher
from ntkseq.bounds.known_target import every_step_risk, sample_size, target_risk
from ntkseq.bounds.linearised import LinearisedBound, linearised_network
from ntkseq.bounds.local import local_rademacher
from ntkseq.bounds.maml import maml_lower, maml_sides, maml_upper
from ntkseq.bounds.meta_learning import meta_kernel
from ntkseq.bounds.network_certificate import network
from ntkseq.bounds.network_posterior import NetworkPosterior
from ntkseq.bounds.network_record import NetworkBound
from ntkseq.bounds.networks import arora2019, cao_gu2019
from ntkseq.bounds.posteriors import Centred, Optimal, Regression
from ntkseq.bounds.processes import LearnedPrior, Prior
from ntkseq.bounds.rates import benign_overfitting, caponnetto_devito2007
from ntkseq.bounds.recurrent import allen_zhu_li2019, panigrahi_goyal2021, wang_shen2021
from ntkseq.bounds.search import Search
from ntkseq.bounds.stable import stability
from ntkseq.bounds.steps import rademacher_each_step, rademacher_steps
from ntkseq.bounds.tables import BoundTable, table
from ntkseq.bounds.trajectory import Trajectory, learning_speed
from ntkseq.bounds.tu_he_tao import tu_he_tao2020

__all__ = [
    "Assumption",
    "AttentionHead",
    "Bernstein",
    "Bound",
    "BoundTable",
    "Catoni",
    "Centred",
    "CertificateProbe",
    "Kl",
    "LearnedPrior",
    "LinearisedBound",
    "LipschitzLoss",
    "NetworkBound",
    "NetworkPosterior",
    "Optimal",
    "Prior",
    "Regression",
    "Search",
    "Term",
    "Trajectory",
    "allen_zhu_li2019",
    "arora2019",
    "attention_norm",
    "attention_rank",
    "attention_schatten",
    "benign_overfitting",
    "cao_gu2019",
    "caponnetto_devito2007",
    "compression",
    "du2019",
    "edelman2022",
    "effective_rank_capacity",
    "every_step_risk",
    "frozen_attention",
    "learning_speed",
    "linearised_network",
    "local_rademacher",
    "maml_lower",
    "maml_sides",
    "maml_upper",
    "margin",
    "meta_kernel",
    "network",
    "pac_bayes",
    "panigrahi_goyal2021",
    "rademacher",
    "rademacher_each_step",
    "rademacher_steps",
    "sakai_imaizumi2026",
    "sample_size",
    "stability",
    "table",
    "target_risk",
    "trauger_tewari2024",
    "truong2024",
    "tu_he_tao2020",
    "wang_shen2021",
]
