"""The truth: the recipe in float64 NumPy, forward and hand-written backward, with its emulation at lower precisions.

Test with `pytest -m meta -k oracle`.
"""
