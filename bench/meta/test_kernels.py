"""Kernels are counted by kind, each once. `pytest -m fast -k kernels`"""

import pytest

from bench import kernels

pytestmark = pytest.mark.fast

# Names as an H200 gave them, cut short.
SEEN = {
    "cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x128": "attention",
    "nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_NNT": "products, with the MLP's activation",
    "_product": "products, with the MLP's activation",
    "void mlx::core::cu::CV2IBroadcastBDV2IMaximumACEV2OSquareD_VC": "products, with the MLP's activation",
    "_rotate_and_norm": "rotation and norm of heads",
    "mlx::core::cu::custom_kernel_rotate_and_norm_back_1048576_2048_4_64(": "rotation and norm of heads",
    "_row": "cross-entropy",
    "mlx::core::cu::custom_kernel_cross_entropy_8192_8_2_512(__nv_bfloat16 const*": "cross-entropy",
    "void mlx::core::cu::Cf4IAsTypeADf4IBroadcastBEf4IDivideCDFf4ITanhEGf4IMultiplyFDHf4OExpG_VC_V2": "cross-entropy",
    "triton_per_fused__fused_rms_norm_backward_clone_mul_permute_relu_squared": "norms",
    "triton_per_fused__fused_rms_norm__unsafe_view_add_10": "norms",
    "void mlx::core::cu::scatter<float, int, mlx::core::cu::ScatterSum, 1, 2, int>": "embeddings",
    "void mlx::core::cu::gemv_batched<__nv_bfloat16, 8, 4>": "scaled sums' gradients",
    "void mlx::core::cu::copy_gg_nd<__nv_bfloat16, __nv_bfloat16, int, 2, 4>": "copies",
    "void mlx::core::cu::binary_vv<mlx::core::cu::Add, __nv_bfloat16": kernels.REST,
}


@pytest.mark.parametrize("name", SEEN)
def test_kinds(name):
    assert kernels.kind(name) == SEEN[name]


def test_every_kernel_counts_once():
    seen = [(name, 2.0**-i) for i, name in enumerate(SEEN)]
    assert sum(kernels.by_kind(seen).values()) == sum(seconds for _, seconds in seen)
    assert kernels.longest([("a", 0.001), ("b", 0.003), ("a", 0.001)], 1) == ["     3.00 ms      1 x  b"]


def test_what_has_no_kernels_is_refused(capsys):
    with pytest.raises(SystemExit):
        kernels.main(["torch-cpu"])
    assert "torch-cpu runs no kernels" in capsys.readouterr().err
    assert kernels.main(["mlx-cuda"]) == 2
