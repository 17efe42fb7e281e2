"""Calls of tools: how they are asked for, how a model writes them, how they are read again.

asked.py     what a request offers and wants
grammar.py   keeps a model to calls that fit
prompting.py tells a model of tools whose chat template does not
values.py    reads what a model wrote for JSON
parser.py    finds calls in an answer while it comes
reading.py   the same, for an answer to which nothing or one call only was offered
"""
