"""Healing: weights of kept blocks, refitted in closed form so that states come back to those of the dense model."""

from lorp.healing.repair import ClosedForm, Repaired, SiteRepair, check_healing, repair

__all__ = ["ClosedForm", "Repaired", "SiteRepair", "check_healing", "repair"]
