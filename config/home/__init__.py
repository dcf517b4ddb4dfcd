"""Home: what ran, who moved, what waits for the person who looks and what is wrong."""

from .page import home

__all__ = ["home"]
