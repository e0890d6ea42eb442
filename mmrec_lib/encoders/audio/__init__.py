"""Sounds to vectors."""
