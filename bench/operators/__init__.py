"""What the shipped steps call on a device that is not here: aten operators on MPS, MLX primitives on any device.

`python -m bench.operators --help`; test with `pytest -m fast -k "mps_ops or mlx_ops"`.
"""
