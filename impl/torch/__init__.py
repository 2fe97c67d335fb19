"""The recipe in PyTorch: MPS, CUDA, CPU. Mirrors `impl/mlx` line by line."""
