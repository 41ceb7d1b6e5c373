"""The library every part of the federation and every client stands on.

It never imports a service. What is pure and what is not is fixed in docs/adr and checked by the layout tests.
"""

__version__ = "0.1.0"
