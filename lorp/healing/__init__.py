"""Healing: weights of kept blocks, changed in closed form so that states come back to those of the dense model."""

from lorp.healing.block import SiteRepair
from lorp.healing.choice import Attempt, Choice, heal
from lorp.healing.repair import Healing, Repaired, check_healing, repair

__all__ = ["Attempt", "Choice", "Healing", "Repaired", "SiteRepair", "check_healing", "heal", "repair"]
