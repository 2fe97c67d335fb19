// As much of CUDA as the kernels of impl/mlx ask for, on one CPU thread; see emulated_cuda.py.
//
// A CUDA thread is a context that runs until it must wait for others. A warp runs as far as it can before the next
// begins, first to last or last to first: what needs a barrier and has none is seen, the same way each time.
#include <ucontext.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

// To read <cmath> would take longer than all the rest of compiling a kernel.
extern "C" float exp2f(float), log2f(float), logf(float), sqrtf(float), tanhf(float);
// The linker says where a section of this name begins and ends.
#define __shared__ static __attribute__((section("shared")))

namespace {

struct Index {
  unsigned x;
};
Index threadIdx, blockIdx, blockDim, gridDim;

struct __nv_bfloat16 {
  uint16_t bits;
  operator float() const {
    const uint32_t wide = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
  }
};
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float value) {
  if (value != value) return {0x7fff};
  uint32_t wide;
  memcpy(&wide, &value, 4);
  return {uint16_t((wide + 0x7fff + (wide >> 16 & 1)) >> 16)};
}

struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline void atomicAdd(float* to, float by) { *to += by; }
inline void atomicAdd(float4* to, float4 by) { to->x += by.x, to->y += by.y, to->z += by.z, to->w += by.w; }

constexpr int MOST = 1024, LANES = 32, STACK_BYTES = 1 << 16;
enum Fault { FINE, STUCK, MISALIGNED, OUTSIDE } fault;

struct Thread {
  ucontext_t context;
  int shuffles, barriers;  // reached
  float given[2];          // to the last two shuffles: the next may begin before all have read this one
  bool done;
};
Thread threads[MOST];
ucontext_t scheduler;
char* stacks;
__shared__ __attribute__((used)) char none[16];  // so that there is a section
extern "C" __attribute__((visibility("hidden"))) char __start_shared[], __stop_shared[];

void kernel_thread();  // what the source defines

void wait_for_others() { swapcontext(&threads[threadIdx.x].context, &scheduler); }
void end_thread(Fault with) {
  if (with != FINE) fault = with;
  threads[threadIdx.x].done = true;
  wait_for_others();
}
void whole_thread() {
  kernel_thread();
  end_thread(FINE);
}

// A thread that has ended reaches nothing: who waits for it is stuck.
bool may_run(unsigned i) {
  const unsigned warp = i / LANES * LANES;
  for (unsigned j = warp; j < warp + LANES; ++j)
    if (threads[j].shuffles < threads[i].shuffles) return false;
  for (unsigned j = 0; j < blockDim.x; ++j)
    if (threads[j].barriers < threads[i].barriers) return false;
  return !threads[i].done;
}

void run_block(bool backwards) {
  memset(__start_shared, 0xff, __stop_shared - __start_shared);  // NaN
  for (unsigned i = 0; i < blockDim.x; ++i) {
    Thread& thread = threads[i];
    thread.shuffles = thread.barriers = thread.done = 0;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = stacks + i * STACK_BYTES;
    thread.context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&thread.context, whole_thread, 0);
  }
  unsigned ended = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (unsigned w = 0; w < blockDim.x / LANES; ++w) {
      const unsigned warp = (backwards ? blockDim.x / LANES - 1 - w : w) * LANES;
      for (bool again = true; again; moved |= again) {
        again = false;
        for (unsigned lane = 0; lane < LANES; ++lane) {
          const unsigned i = warp + (backwards ? LANES - 1 - lane : lane);
          if (!may_run(i)) continue;
          threadIdx.x = i, again = true;
          swapcontext(&scheduler, &threads[i].context);
          ended += threads[i].done;
        }
        if (!again) break;
      }
    }
  }
  if (ended < blockDim.x && fault == FINE) fault = STUCK;
}

inline void __syncthreads() {
  ++threads[threadIdx.x].barriers;
  wait_for_others();
}
inline float __shfl_xor_sync(unsigned, float value, int step) {
  const unsigned self = threadIdx.x;
  const int turn = threads[self].shuffles++ % 2;
  threads[self].given[turn] = value;
  wait_for_others();
  return threads[self ^ step].given[turn];
}

}  // namespace

// What the compiler's checks of addresses and indices call before a thread does what it must not.
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_type_mismatch_v1(void*, uintptr_t) {
  end_thread(MISALIGNED);
}
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_out_of_bounds(void*, uintptr_t) {
  end_thread(OUTSIDE);
}

namespace {
void** arrays;
}
extern "C" int launch(void** of, int blocks, int size, bool backwards) {
  arrays = of, fault = FINE;
  gridDim.x = blocks, blockDim.x = size;
  stacks = static_cast<char*>(malloc(size_t(size) * STACK_BYTES));
  for (int i = 0; i < blocks && fault == FINE; ++i) {
    blockIdx.x = backwards ? blocks - 1 - i : i;
    run_block(backwards);
  }
  free(stacks);
  return fault;
}
