"""One process of a fleet without protections: `python -m tests.faults.unprotected.role licensing`."""

import sys

# It makes sockets green, before anything else is imported that may open one (rule D1).
from deploy import role
from tests.faults.unprotected.substitutes import unprotect

if __name__ == "__main__":
    unprotect(setattr, idempotency=True, outbox=True)
    raise SystemExit(role.main(sys.argv[1:]))
