"""A live view of any run, and the ledger of past ones, from their own files: `python -m bench.watch`."""
