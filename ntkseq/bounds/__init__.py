"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq._bound import Assumption, Bound, Term
from ntkseq.bounds.attention import attention_norm, attention_rank, attention_schatten
from ntkseq.bounds.attention_capacity import effective_rank_capacity
from ntkseq.bounds.attention_frozen import frozen_attention
from ntkseq.bounds.attention_head import AttentionHead
from ntkseq.bounds.attention_theorems import edelman, sakai_imaizumi, trauger_tewari, truong
from ntkseq.bounds.descent import du
from ntkseq.bounds.kernel import margin, rademacher
from ntkseq.bounds.known_target import every_step_risk, sample_size, target_risk
from ntkseq.bounds.maml import maml_lower, maml_sides, maml_upper
from ntkseq.bounds.meta_kernel import meta_kernel
from ntkseq.bounds.networks import arora, cao_gu
from ntkseq.bounds.recurrent import allen_zhu_li, panigrahi_goyal, wang_shen
from ntkseq.bounds.steps import each_step, every_step
from ntkseq.bounds.trajectory import Trajectory, along

__all__ = [
    "Assumption",
    "AttentionHead",
    "Bound",
    "Term",
    "Trajectory",
    "allen_zhu_li",
    "along",
    "arora",
    "attention_norm",
    "attention_rank",
    "attention_schatten",
    "cao_gu",
    "du",
    "each_step",
    "edelman",
    "effective_rank_capacity",
    "every_step",
    "every_step_risk",
    "frozen_attention",
    "maml_lower",
    "maml_sides",
    "maml_upper",
    "margin",
    "meta_kernel",
    "panigrahi_goyal",
    "rademacher",
    "sakai_imaizumi",
    "sample_size",
    "target_risk",
    "trauger_tewari",
    "truong",
    "wang_shen",
]
