"""The admin of what we promise to customers; each module registers its pages."""

from . import memberships, programs, runs

__all__ = ["memberships", "programs", "runs"]
