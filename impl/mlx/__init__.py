"""The recipe in MLX: Metal, CUDA, CPU. Mirrors `impl/torch` line by line."""
