"""The bridge of the federation.

Directory, recognition, location of every block, the decision on every transfer, claims and the log.
"""
