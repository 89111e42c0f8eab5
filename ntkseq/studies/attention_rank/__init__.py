"""Does the effective rank of attention predict how well a trained transformer generalizes; do proved bounds hold?"""

from ntkseq.studies.attention_rank.study import AttentionRank as AttentionRank
