"""The transfer protocol as pure state machines: records and facts in, a record and effects out.

`source`, `destination`, `notary` and `issuance` are the parties' machines, `offers` and `numbering` the
traffic between them, `locations` the place of every serial, `tables` the states as data. Time, ids and loaded
state are parameters; signatures, store and transport belong to the shell around this core.
"""
