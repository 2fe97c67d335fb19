"""Newton-Schulz in bfloat16 against float32: what each rounding costs an update, and a run.

`python -m bench.newton_schulz measure --backend NAME` and `diverge` write data, `python -m bench.newton_schulz report`
renders reports/findings/newton-schulz-precision.md from them. Test with `pytest -m fast -k newton_schulz`.
"""
