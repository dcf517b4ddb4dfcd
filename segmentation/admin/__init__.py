"""The admin of what we know about customers; each module registers its pages."""

from . import access, definitions, facts, history, lists, runs

__all__ = ["access", "definitions", "facts", "history", "lists", "runs"]
