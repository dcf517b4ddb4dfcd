"""Figures about groups of customers: frames and arrays in, frames and plain values out.

Nothing here reads a database or a file.
"""
