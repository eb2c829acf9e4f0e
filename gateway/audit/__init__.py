"""The audit log: who called what and what was changed; chained, so that no line can be altered unseen.

chain.py     one line: an entry, the hash that links it to the line before, a MAC over that
segments.py  the files of a log, as they are read
log.py       the writer: append, rotate, recover
heads.py     the end of the chain, written out where the gateway's disk cannot take it back
clerk.py     in the supervisor: entries of all processes, committed in groups
auditor.py   in a worker: what a call has to wait for before its answer leaves
verify.py    whether a log is what was written
"""

from __future__ import annotations

from gateway.audit.auditor import Auditor
from gateway.audit.chain import Entry
from gateway.audit.clerk import Clerk
from gateway.audit.log import AuditLog, DamagedError, InUseError
from gateway.audit.settings import AuditConfig
from gateway.audit.verify import Report, verify

__all__ = [
    "AuditConfig",
    "AuditLog",
    "Auditor",
    "Clerk",
    "DamagedError",
    "Entry",
    "InUseError",
    "Report",
    "verify",
]
