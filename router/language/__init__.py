"""The language of a message: tags, countries, words, n-grams, and the evidence that combines them.

It knows texts and language tags, never flows, contacts or the store. No input or output, except that models are read
from their packages when they are loaded.
"""
