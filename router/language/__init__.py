"""Detects the language of a message: tags, countries, words, n-grams, and the weighing of this evidence.

This package handles texts and language tags; it does not know flows, contacts or the store. It does no input or output,
except that it reads models from their packages.
"""
