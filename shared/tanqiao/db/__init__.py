"""Durable state for every node: SQLite or PostgreSQL behind one `Database`, one transaction per command.

The promise: what `commit()` returned from is on disk (ARCHITECTURE section 4), a refusal or a crash leaves
nothing half-written, and a disk that lied once is not trusted again before a restart. What a table may
contain is refused by the database itself (`tanqiao.db.guards`), not by the good will of its callers.
"""
