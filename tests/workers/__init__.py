"""All tests on several processes: `python -m tests.workers` starts them, `plugin` shares the tests out among them."""
