"""Text to token rows, NumPy in and NumPy out: corpus, shards, tokenizer, packing, evaluation windows.

`python -m impl.data prepare` makes a directory once; `prepared.Prepared` opens it.
Test with `pytest bench/conformance`.
"""
