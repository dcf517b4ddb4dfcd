"""The builder: drafts of definitions, from the first click to publishing."""

from . import drafts

__all__ = ["drafts"]
