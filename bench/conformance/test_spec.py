"""What is said once must be right: sizes, groups, schedules, overrides, hashes, and what bad values are told.

`pytest -m fast -k spec`
"""

from dataclasses import fields, replace

import pytest

from impl.flops import flop_per_token
from impl.spec import (
    NS5,
    POLAR_EXPRESS,
    PRESETS,
    RECIPES,
    AdamW,
    Data,
    Dtypes,
    Model,
    Muon,
    Optimizer,
    Orthogonalizer,
    Recipe,
    Schedule,
    override,
    preset,
)
from impl.spec.model import sized
from impl.spec.optimizer import count

pytestmark = pytest.mark.fast

UPSTREAM = Model()  # depth 8, width 512, 4 heads, T=2048, V=8192

# depth: (parameters, FLOPs per token), counted from upstream's own model
REFERENCE = {
    4: (11_534_472, 47_186_688),
    6: (26_345_772, 120_325_824),
    8: (50_332_176, 239_078_400),
    10: (85_852_980, 428_610_240),
}


@pytest.mark.parametrize("depth", REFERENCE)
def test_sizes_are_upstreams(depth):
    model = sized(depth)
    assert (count(model), flop_per_token(model)) == REFERENCE[depth]


def test_sizes_follow_the_aspect():
    narrow = sized(8, aspect=32)
    assert (narrow.width, narrow.heads, narrow.head_dim) == (256, 2, 128)
    assert (count(narrow), flop_per_token(narrow)) == (18_874_640, 81_790_464)
    assert sized(5).width == 384, "depth x aspect is rounded up to whole heads"
    assert sized(8) == UPSTREAM


def test_windows_tile_the_pattern_and_the_last_layer_is_long():
    assert UPSTREAM.windows() == (1024, 1024, 1024, 2048) * 2
    assert replace(UPSTREAM, depth=6).windows() == (1024, 1024, 1024, 2048, 1024, 2048)
    assert replace(UPSTREAM, depth=1).windows() == (2048,)
    assert replace(UPSTREAM, depth=3, window_pattern="L", sequence_len=7).windows() == (7, 7, 7)
    assert replace(UPSTREAM, depth=2, window_pattern="S", sequence_len=7).windows() == (3, 7)


@pytest.mark.parametrize(("depth", "layers"), [(1, (0,)), (2, (1,)), (4, (1, 3)), (5, (0, 2, 4)), (8, (1, 3, 5, 7))])
def test_value_embeddings_are_at_every_other_layer_and_the_last(depth, layers):
    model = replace(UPSTREAM, depth=depth)
    assert model.value_layers() == layers
    shapes = model.shapes()
    assert tuple(int(n.split(".")[1]) for n in shapes if n.startswith("value_embeds")) == layers
    assert tuple(int(n.split(".")[2]) for n in shapes if n.endswith("ve_gate.weight")) == layers


def test_shapes_are_out_by_in_and_narrower_for_shared_keys():
    shapes = replace(UPSTREAM, kv_heads=2).shapes()
    attention = {
        name: shapes[f"transformer.h.1.attn.{name}.weight"] for name in ("c_q", "c_k", "c_v", "c_proj", "ve_gate")
    }
    square, narrow = (512, 512), (256, 512)
    assert attention == {"c_q": square, "c_k": narrow, "c_v": narrow, "c_proj": square, "ve_gate": (2, 32)}
    assert shapes["transformer.h.0.mlp.c_fc.weight"] == (2048, 512)
    assert shapes["transformer.h.0.mlp.c_proj.weight"] == (512, 2048)
    assert shapes["value_embeds.1.weight"] == (8192, 256)


@pytest.mark.parametrize("model", [UPSTREAM, sized(5), Model(depth=1, width=64, heads=2, kv_heads=1)], ids=str)
def test_every_parameter_is_in_exactly_one_group(model):
    groups = Optimizer().groups(model)
    names = [name for group in groups for name in group.names]
    assert sorted(names) == sorted(model.shapes()) and len(set(names)) == len(names)
    for group in groups:
        assert len({model.shapes()[name] for name in group.names}) == 1
        assert isinstance(group.rule, Muon) == group.names[0].startswith("transformer.h.")


def test_rates_are_upstreams_after_scaling():
    rates = {name: group.lr for group in Optimizer().groups(UPSTREAM) for name in group.names}
    scale = (512 / 768) ** -0.5
    expected = {
        "lm_head.weight": 0.004 * scale,
        "transformer.wte.weight": 0.6 * scale,
        "value_embeds.3.weight": 0.6 * scale,
        "resid_lambdas": 0.005,
        "x0_lambdas": 0.5,
        "transformer.h.0.attn.c_q.weight": 0.04,
        "transformer.h.0.mlp.c_fc.weight": 0.04 * 2,  # sqrt(rows / columns) where tall
        "transformer.h.0.mlp.c_proj.weight": 0.04,
        "transformer.h.1.attn.ve_gate.weight": 0.04,
    }
    assert {name: rates[name] for name in expected} == pytest.approx(expected, rel=1e-15)
    betas = {
        name: group.rule.betas for group in Optimizer().groups(UPSTREAM) for name in group.names[:1] if "h." not in name
    }
    assert betas.pop("x0_lambdas") == (0.96, 0.95) and set(betas.values()) == {(0.8, 0.95)}


def test_the_constants_are_upstreams():
    """Those that no oracle can tell, because it reads them here too."""
    data, muon, schedule = Data(), Muon(), Schedule()
    assert (data.buffer_documents, data.refill_documents) == (1000, 128)
    assert (data.tokenizer_doc_chars, data.tokenizer_chars) == (10_000, 10**9)
    assert (muon.lr, muon.beta2, muon.weight_decay, muon.variance_floor) == (0.04, 0.95, 0.2, 1e-10)
    assert (AdamW().eps, AdamW().weight_decay) == (1e-10, 0)
    assert (schedule.budget_s, schedule.warmup, schedule.warmdown, schedule.final_lr) == (300, 0, 0.5, 0)
    assert (UPSTREAM.norm_eps, UPSTREAM.rope_base, UPSTREAM.softcap) == (1.1920929e-7, 10_000, 15)
    assert (UPSTREAM.gate_channels, UPSTREAM.gate_scale, UPSTREAM.window_pattern) == (32, 2, "SSSL")


def test_the_orthogonalizers():
    assert len(POLAR_EXPRESS.rows()) == 5 and POLAR_EXPRESS.rows()[0] == (
        8.156554524902461,
        -22.48329292557795,
        15.878769915207462,
    )
    assert (POLAR_EXPRESS.safety, POLAR_EXPRESS.eps) == (1.02, 1e-6)
    assert NS5.rows() == ((3.4445, -4.7750, 2.0315),) * 5 and (NS5.safety, NS5.eps) == (1.0, 1e-7)
    assert (
        len(replace(POLAR_EXPRESS, steps=7).rows()) == 7
        and replace(POLAR_EXPRESS, steps=7).rows()[-3:] == POLAR_EXPRESS.rows()[-1:] * 3
    )


@pytest.mark.parametrize(("progress", "lr"), [(0, 1), (0.25, 1), (0.5, 1), (0.75, 0.5), (0.9, 0.2), (1, 0)])
def test_upstreams_rate_is_flat_then_falls_to_zero(progress, lr):
    assert Schedule().lr(progress) == pytest.approx(lr, abs=1e-15)


@pytest.mark.parametrize(("progress", "lr"), [(0, 0), (0.05, 0.5), (0.1, 1), (0.7, 1), (0.85, 0.6), (1, 0.2)])
def test_warm_up_and_a_floor(progress, lr):
    assert Schedule(warmup=0.1, warmdown=0.3, final_lr=0.2).lr(progress) == pytest.approx(lr, abs=1e-15)


def test_momentum_follows_steps_and_weight_decay_progress():
    schedule = Schedule()
    assert [schedule.momentum(step) for step in (0, 150, 300, 9999)] == pytest.approx([0.85, 0.90, 0.95, 0.95])
    hyper = schedule.at(150, 0.75)
    assert (hyper.lr, hyper.momentum, hyper.weight_decay) == pytest.approx((0.5, 0.90, 0.25))
    assert Schedule(warmdown=0).lr(1.0) == 1
    for wrong in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=rf"progress={wrong} lies outside \[0, 1\]"):
            schedule.at(0, wrong)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build_and_keep_the_rules(name):
    recipe = preset(name)
    assert recipe.accumulation() * recipe.data.device_batch * recipe.model.sequence_len == recipe.data.total_batch
    assert recipe.hash("recipe") == RECIPES["autoresearch"].hash("recipe"), "a preset is a size, not another rule"
    assert PRESETS[name].why and PRESETS[name].precision in ("auto", "float32", "bfloat16")


def test_the_largest_preset_is_upstreams_own():
    recipe = preset("h100")
    assert (recipe.model, recipe.data.total_batch, recipe.data.device_batch) == (UPSTREAM, 2**19, 128)


SETTINGS = {
    "depth": ("6", lambda r: r.model.depth, 6),
    "matrices.lr": ("0.02", lambda r: r.optimizer.matrices.lr, 0.02),
    "wte.lr": ("1", lambda r: r.optimizer.wte.lr, 1.0),
    "x0_lambdas.betas": ("[0.9, 0.99]", lambda r: r.optimizer.x0_lambdas.betas, (0.9, 0.99)),
    "window_pattern": ("SL", lambda r: r.model.window_pattern, "SL"),
    "budget_s": ("60", lambda r: r.schedule.budget_s, 60.0),
    "lm_head.width_scaled": ("false", lambda r: r.optimizer.lm_head.width_scaled, False),
    "orthogonalizer.steps": ("3", lambda r: r.optimizer.matrices.orthogonalizer.steps, 3),
    "logits": ("compute", lambda r: r.dtypes.logits, "compute"),
}


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_changes_its_field_and_no_other(key):
    text, read, value = SETTINGS[key]
    before, after = preset("base"), override(preset("base"), {key: text})
    assert read(before) != value and read(after) == value and type(read(after)) is type(value)
    assert sum(getattr(before, f.name) != getattr(after, f.name) for f in fields(Recipe)) == 1


def test_settings_that_fit_together_need_no_order():
    together = {
        "heads": "3",
        "width": "96",
        "kv_heads": "1",
        "sequence_len": "64",
        "total_batch": "192",
        "device_batch": "3",
    }
    forth = override(preset("tiny"), together)
    assert forth == override(preset("tiny"), dict(reversed(together.items())))
    assert forth.model.head_dim == 32 and forth.accumulation() == 1
    assert override(preset("tiny"), {}) == preset("tiny")


HASHED = [  # setting, hashes that it changes
    ("device_batch=4", set()),
    ("matrices.lr=0.02", {"config"}),
    ("matrices.weight_decay=0.1", {"config"}),
    ("depth=4", {"config"}),
    ("total_batch=2048", {"config"}),
    ("sequence_len=64", {"config"}),
    ("softcap=30", {"recipe"}),
    ("norm_eps=1e-5", {"recipe"}),
    ("x0_lambdas.betas=[0.8,0.95]", {"recipe"}),
    ("warmdown=0.3", {"recipe"}),
    ("budget_s=60", {"recipe"}),
    ("buffer_documents=500", {"recipe"}),
    ("residual=float32", {"recipe"}),
    ("safety=1.01", {"recipe"}),
]


@pytest.mark.parametrize(("setting", "changed"), HASHED, ids=str)
def test_what_enters_which_hash(setting, changed):
    before = preset("tiny")
    after = override(before, dict([setting.split("=", 1)]))
    assert after != before
    assert {which for which in ("recipe", "config") if before.hash(which) != after.hash(which)} == changed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model(width=500, heads=6, kv_heads=6), r"^width=500 is not a multiple of heads=6; try width=504$"),
        (lambda: Model(heads=4, kv_heads=3), r"^heads=4 is not a multiple of kv_heads=3; try kv_heads=2$"),
        (lambda: Model(width=36, heads=4, gate_channels=8), r"^width=36 over heads=4 gives .*odd.*9.*; try width=40$"),
        (lambda: Model(width=16, heads=4), r"^gate_channels=32 exceeds width=16; try gate_channels=16$"),
        (lambda: Model(window_pattern="SXL"), r"^window_pattern='SXL' may hold only S and L; try 'SSSL'$"),
        (lambda: Model(softcap=100.0), r"^softcap=100.0 exceeds 60.0; try softcap=60.0$"),
        (lambda: Model(depth=0), r"^depth=0 must be finite and above 0; try depth=1$"),
        (lambda: Recipe(name="x", data=Data(total_batch=10**6)), r"^total_batch=1000000 .*; try total_batch=1048576$"),
        (lambda: AdamW(lr=float("inf")), r"^lr=inf must be finite and not negative; try lr=0.01$"),
        (lambda: AdamW(betas=(0.9,)), r"^betas=\(0.9,\) must be two numbers in \[0, 1\); try \(0.8, 0.95\)$"),
        (lambda: Muon(dtype="bfloat16"), r"^dtype='bfloat16' of Muon is neither .*; try 'float32'$"),
        (lambda: Orthogonalizer(coefficients=(), steps=1, safety=1.0, eps=0.0), r"^coefficients=\(\) must be rows"),
        (lambda: Schedule(warmup=0.7, warmdown=0.5), r"^warmup=0.7 and warmdown=0.5 .*; try warmdown=0.3"),
        (lambda: Recipe(name="x", dtypes=Dtypes(residual="half")), r"^residual='half' is no dtype here; try one of "),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_told_the_nearest_that_does(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_an_error_suggests_is_taken():
    assert Model(width=504, heads=6, kv_heads=6).head_dim == 84
    assert Model(heads=4, kv_heads=2) and Model(width=40, heads=4, gate_channels=8) and Model(softcap=60.0)
    assert Recipe(name="x", data=Data(total_batch=1048576)).accumulation() == 4
    assert Schedule(warmup=0.7, warmdown=0.3).lr(1.0) == 0


def test_a_policy_stands_for_what_is_left_to_it():
    assert Dtypes().under("bfloat16").residual == "bfloat16" and Dtypes().under("bfloat16").masters == "float32"
    assert set(vars(Dtypes().under("float32")).values()) == {"float32"}
