"""A fleet whose services run without protections: `python -m tests.faults.unprotected.fleet`."""

from deploy import fleet

if __name__ == "__main__":
    fleet.ROLE = "tests.faults.unprotected.role"
    raise SystemExit(fleet.main())
