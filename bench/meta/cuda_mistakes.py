"""Known mistakes in the CUDA kernels of impl/mlx, each a change of one text; `test_cuda_kernels.py` catches them all.

Not here, because threads that take turns cannot show it: an addition to a row of a table that is not atomic.
"""

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Mistake:
    """`wrong` where `text`, a constant of a module of impl/mlx, should say `right`; asked: the model that shows it."""

    module: str
    text: str
    right: str
    wrong: str
    asked: str = "odd"

    def make(self, monkeypatch) -> None:
        """Raises AssertionError where the text no longer says what is right."""
        module = import_module(f"impl.mlx.{self.module}")
        text = getattr(module, self.text)
        assert self.right in text, (
            f"{self.module}.{self.text} no longer says {self.right!r}; change the mistake with it"
        )
        monkeypatch.setattr(module, self.text, text.replace(self.right, self.wrong))


def _loss(right: str, wrong: str, asked: str = "odd") -> Mistake:
    return Mistake("logit_kernel", "_ROW", right, wrong, asked)


def _strides_swapped(x: str) -> tuple[str, str]:
    return f"{x}_strides[1] + head * {x}_strides[2]", f"{x}_strides[2] + head * {x}_strides[1]"


def _gradient(text: str, right: str, wrong: str, asked: str = "odd") -> Mistake:
    return Mistake("gradient_kernel", text, right, wrong, asked)


def _rotary(text: str, right: str, wrong: str, asked: str = "odd") -> Mistake:
    return Mistake("rotary_kernel", text, right, wrong, asked)


def _norm(text: str, right: str, wrong: str, asked: str = "odd") -> Mistake:
    return Mistake("norm_kernel", text, right, wrong, asked)


BARRIER, HALF_A_WARP = ("__syncthreads();", ""), ("step = 16", "step = 8")

MISTAKES = {
    "loss: the slope of tanh without its square": _loss("4 * p[j][k] * (1 - p[j][k])", "2 * p[j][k]"),
    "loss: a share for targets of -1": _loss("target < 0 ? 0 : 1 / count[0]", "1 / count[0]"),
    "loss: nats for targets of -1": _loss("target < 0 ? 0 : logf", "logf"),
    "loss: the sum lacks a warp": _loss("i < THREADS / 32;", "i < THREADS / 32 - 1;"),
    "loss: the sum lacks half of each warp": _loss(*HALF_A_WARP),
    "loss: no barrier": _loss(*BARRIER),
    "loss: the last round is left out": _loss("j < EACH", "j < EACH - 1"),
    "loss: one pack more than a row has": _loss("i < PACKS", "i <= PACKS"),
    "loss: the target among packs": _loss("i * WIDTH + k == target", "i + k == target", "packs of 8"),
    "scaled sum: scales swapped": _gradient("_SCALED_SUM", "k = keep[0], a = add[0]", "k = add[0], a = keep[0]"),
    "scaled sum: sums swapped": _gradient("_SCALED_SUM", "of_warps[threadIdx.x][w]", "of_warps[1 - threadIdx.x][w]"),
    "scaled sum: the sum lacks a warp": _gradient("_SCALED_SUM", "w = 0", "w = 1", "packs of 8"),
    "scaled sum: the sum lacks half of each warp": _gradient("_SCALED_SUM", *HALF_A_WARP),
    "scaled sum: no barrier": _gradient("_SCALED_SUM", *BARRIER),
    "scaled sum: one round": _gradient("_SCALED_SUM", "i += int64_t(gridDim.x) * blockDim.x", "i += PACKS"),
    "scaled rows: the scale of the first row": _gradient("_SCALED_ROWS", "by = scale[row]", "by = scale[0]"),
    "scaled rows: one row more than there are": _gradient("_SCALED_ROWS", "row >= ROWS", "row > ROWS"),
    "scaled rows: one round": _gradient("_SCALED_ROWS", "i += 32", "i += PACKS"),
    "scaled rows: the sum lacks half of each warp": _gradient("_SCALED_ROWS", *HALF_A_WARP),
    "joined: a range ends early": _gradient("_ADD_PART", "token < {stop}", "token + 1 < {stop}"),
    "joined: a range begins late": _gradient("_ADD_PART", "token >= {start}", "token > {start}"),
    "joined: parts begin at token 0": _gradient("_ADD_PART", "(token - {start})", "token"),
    "joined: strides of heads and tokens swapped": _gradient("_ADD_PART", *_strides_swapped("{x}"), "packs of 8"),
    "joined: elements lie side by side": _gradient("_ADD_PART", "step == 1", "true", "layouts"),
    "joined: a step for the pack, none within": _gradient(
        "_ADD_PART", "(column + j) * step", "column * step + j", "layouts"
    ),
    "joined: one pack more than there are": _gradient("_JOINED", "i >= COUNT", "i > COUNT"),
    "rows: the first token's": _gradient("_TAKE_ROWS", "tokens[i / PACKS]", "tokens[0]"),
    "rows: one pack more than there are": _gradient("_TAKE_ROWS", "i >= COUNT", "i > COUNT"),
    "rows' gradient: the last token's alone": _gradient(
        "_ADD_ROWS", "atomicAdd(to + j, __bfloat162float(d.of[j]))", "to[j] = d.of[j]"
    ),
    "rows' gradient: one pack more than there are": _gradient("_ADD_ROWS", "i >= COUNT", "i > COUNT"),
    "rows' gradient: four in another order": _gradient("_ADD_ROWS", "at(2), at(3)", "at(3), at(2)", "packs of 4"),
    "rows' norm: the mean over packs": _norm("_NORM", "(PACKS * WIDTH)", "PACKS", "packs of 8"),
    "rows' norm: one row more than there are": _norm("_ROW", "row >= ROWS", "row > ROWS"),
    "rows' norm: one pack more than a row has": _norm("_NORM", "i < PACKS", "i <= PACKS"),
    "rows' norm: one round": _norm("_NORM", "j < EACH", "j < 1"),
    "rows' norm: the sum lacks half of each warp": _norm("_NORM", *HALF_A_WARP),
    "rows' norm: the scale of the first row": _norm("_NORM", "scale[row]", "scale[0]"),
    "rows' norm's gradient: the way along the result stays in": _norm("_BACK", "* along", "* 0"),
    "rows' norm's gradient: the mean is a sum": _norm("_BACK", "along /= PACKS * WIDTH;", ""),
    "rows' norm's gradient: the sum lacks half of each warp": _norm("_BACK", *HALF_A_WARP),
    "rows' norm's gradient: one round": _norm("_BACK", "j < EACH", "j < 1"),
    "rotation: by the opposite angle": _rotary("_ROTATE_AND_NORM", "right * s, ", "right * -s, "),
    "rotation: angles of the first token": _rotary("_HALVES", "token * HALF", "0"),
    "rotation: one round": _rotary("_HALVES", "(HALF + 31) / 32", "1", "packs of 8"),
    "rotation: one head more than there are": _rotary("_HALVES", "row >= COUNT", "row > COUNT"),
    "rotation: strides of heads and tokens swapped": _rotary("_ROTATE_AND_NORM", *_strides_swapped("x"), "packs of 8"),
    "rotation: elements lie side by side": _rotary("_ROTATE_AND_NORM", "i * x_strides[3]", "i", "layouts"),
    "norm: the mean over half": _rotary("_ROTATE_AND_NORM", "squares / (2 * HALF)", "squares / HALF"),
    "norm: the sum lacks half of each warp": _rotary("_ROTATE_AND_NORM", *HALF_A_WARP),
    "rotation's gradient: by the same angle": _rotary("_BACK", "up * c - down * s", "up * c + down * s"),
    "rotation's gradient: strides of heads and tokens swapped": _rotary("_BACK", *_strides_swapped("dy"), "packs of 8"),
    "rotation's gradient: elements lie side by side": _rotary("_BACK", "i * dy_strides[3]", "i", "layouts"),
    "norm's gradient: the way along the result stays in": _rotary("_BACK", "left[j] * along", "0"),
    "norm's gradient: the sum lacks half of each warp": _rotary("_BACK", *HALF_A_WARP),
}
