"""Policy + what is known of an approved version -> whether an alias may be moved to it."""

from lorp.promotion.decision import Approval, CanaryAnswer, Decision, Known, weigh
from lorp.promotion.policy import Canary, PromotionPolicy

__all__ = ["Approval", "Canary", "CanaryAnswer", "Decision", "Known", "PromotionPolicy", "weigh"]
