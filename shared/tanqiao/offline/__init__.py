"""What a buyer, an auditor or a court checks with one file and one policy, without network and database.

A proof file carries what it rests on: the cosigned checkpoint, leaves with their paths, the signed messages
that they name, the records of the keys, and where a claim is about a whole log, all its entries. `verify`
makes the checks in order and writes each down; `make` puts files together from a log that somebody serves.
Whatever bytes come in, `tanqiao.tlog.errors.TlogError` is the only refusal that leaves.
"""
