/* One epoch of the workload's training, as fast as one thread of this machine will go: the floor under every loop.
 *
 * Compiled with FEATURES and HIDDEN as constants, which is what a framework's compiler knows too. Hidden units are padded
 * to whole register tiles with weights of 0: such a unit passes nothing on and gets no gradient, so it stays 0.
 *
 * Weights, gradients and moments are flat vectors of PARAMETERS numbers: hidden kernel (FEATURES, UNITS), hidden bias
 * (UNITS), output kernel (UNITS), output bias in the first lane of a vector of its own. A batch is walked in chunks of
 * CHUNK rows, whose hidden layer stays in the first-level cache. A gathered row ends in a 1, so that the hidden bias is
 * one more row of the kernel. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#define COLUMNS 4 /* vectors of hidden units in a register tile */
#define ROWS 4    /* rows of the batch in a forward tile: ROWS x COLUMNS sums in registers */
#define INPUTS 5  /* inputs in a backward tile: INPUTS x COLUMNS sums in registers */
#else
#define LANES 8
#define COLUMNS 2
#define ROWS 4
#define INPUTS 3
#endif

#define TILE (LANES * COLUMNS)
#define UNITS ((HIDDEN + TILE - 1) / TILE * TILE)
#define WIDTH (FEATURES + 1)
#define CHUNK 32
#define AHEAD 8 /* rows fetched into the cache before they are gathered */

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t mask __attribute__((vector_size(LANES * sizeof(int32_t))));

#define OUTPUT_KERNEL (WIDTH * UNITS)
#define OUTPUT_BIAS (OUTPUT_KERNEL + UNITS)
#define PARAMETERS (OUTPUT_BIAS + LANES)
#define INLINE static inline __attribute__((always_inline))

enum { SGD, MOMENTUM, ADAM };

typedef struct {
    int32_t optimizer;
    int32_t padding;
    int64_t batch_size;
    double lr, momentum, beta1, beta2, epsilon;
    double beta1_power, beta2_power; /* beta^t of the updates made so far */
    float *weights, *gradients, *first, *second;
} Training;

typedef struct {
    vector hidden[CHUNK][UNITS / LANES]; /* after ReLU; then the gradient before it */
    float x[CHUNK][WIDTH];
    float y[CHUNK], logits[CHUNK], d_logits[CHUNK];
} Chunk;

int64_t parameters(void) { return PARAMETERS; }
int64_t units(void) { return UNITS; }

/* ---- gather ------------------------------------------------------------------------------------------------------ */

static void gather(Chunk *chunk, const float *restrict x, const float *restrict y, const int64_t *restrict order,
                   int rows, int64_t left)
{
    for (int r = 0; r < rows; r++) {
        if (r + AHEAD < left) {
            const float *next = x + order[r + AHEAD] * FEATURES;
            __builtin_prefetch(next);
            __builtin_prefetch(next + FEATURES - 1);
            __builtin_prefetch(y + order[r + AHEAD]);
        }
        memcpy(chunk->x[r], x + order[r] * FEATURES, FEATURES * sizeof(float));
        chunk->x[r][FEATURES] = 1.0f;
        chunk->y[r] = y[order[r]];
    }
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

INLINE float sum(vector v)
{
    float total = 0.0f;
    for (int lane = 0; lane < LANES; lane++)
        total += v[lane];
    return total;
}

/* `then` in the lanes where v > 0, else 0. */
INLINE vector where_positive(vector v, vector then)
{
    const vector none = {0};
    return (vector)((mask)then & (v > none));
}

INLINE void forward_tile(Chunk *restrict chunk, const float *restrict weights, int row, const int rows)
{
    const vector *kernel = (const vector *)weights, *output = (const vector *)(weights + OUTPUT_KERNEL);
    vector logits[ROWS] = {0}, none = {0};
    for (int column = 0; column < UNITS / LANES; column += COLUMNS) {
        vector sums[ROWS][COLUMNS];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < COLUMNS; c++)
                sums[r][c] = none;
#pragma GCC unroll 4
        for (int f = 0; f < WIDTH; f++)
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < COLUMNS; c++)
                    sums[r][c] += chunk->x[row + r][f] * kernel[f * (UNITS / LANES) + column + c];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < COLUMNS; c++) {
                vector hidden = where_positive(sums[r][c], sums[r][c]);
                chunk->hidden[row + r][column + c] = hidden;
                logits[r] += hidden * output[column + c];
            }
    }
    for (int r = 0; r < rows; r++)
        chunk->logits[row + r] = sum(logits[r]) + weights[OUTPUT_BIAS];
}

static void forward(Chunk *restrict chunk, const float *restrict weights, int rows)
{
    int row = 0;
    for (; row + ROWS <= rows; row += ROWS)
        forward_tile(chunk, weights, row, ROWS);
    for (; row < rows; row++)
        forward_tile(chunk, weights, row, 1);
}

/* Sum of the cross-entropies of the chunk; leaves d_logits, the gradient of the batch's mean. */
static float loss(Chunk *restrict chunk, int rows, float share)
{
    float total = 0.0f;
    for (int r = 0; r < rows; r++) {
        float z = chunk->logits[r], y = chunk->y[r], e = expf(-fabsf(z)), inverse = 1.0f / (1.0f + e);
        total += fmaxf(z, 0.0f) - z * y + log1pf(e);
        chunk->d_logits[r] = share * ((z >= 0.0f ? inverse : e * inverse) - y);
    }
    return total;
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Gradients of the output layer; leaves the gradient before ReLU in place of the hidden layer. */
INLINE void backward_output(Chunk *restrict chunk, const float *restrict weights, float *restrict gradients, int rows)
{
    const vector *kernel = (const vector *)(weights + OUTPUT_KERNEL);
    vector *to_kernel = (vector *)(gradients + OUTPUT_KERNEL);
    for (int column = 0; column < UNITS / LANES; column += COLUMNS) {
        vector sums[COLUMNS], output[COLUMNS];
        for (int c = 0; c < COLUMNS; c++)
            sums[c] = to_kernel[column + c], output[c] = kernel[column + c];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < COLUMNS; c++) {
                vector hidden = chunk->hidden[r][column + c];
                sums[c] += chunk->d_logits[r] * hidden;
                chunk->hidden[r][column + c] = where_positive(hidden, chunk->d_logits[r] * output[c]);
            }
        for (int c = 0; c < COLUMNS; c++)
            to_kernel[column + c] = sums[c];
    }
    for (int r = 0; r < rows; r++)
        gradients[OUTPUT_BIAS] += chunk->d_logits[r];
}

INLINE void backward_tile(const Chunk *restrict chunk, vector *restrict to_kernel, int input, const int inputs, int rows)
{
    for (int column = 0; column < UNITS / LANES; column += COLUMNS) {
        vector sums[INPUTS][COLUMNS];
        for (int f = 0; f < inputs; f++)
            for (int c = 0; c < COLUMNS; c++)
                sums[f][c] = to_kernel[(input + f) * (UNITS / LANES) + column + c];
        for (int r = 0; r < rows; r++)
            for (int f = 0; f < inputs; f++)
                for (int c = 0; c < COLUMNS; c++)
                    sums[f][c] += chunk->x[r][input + f] * chunk->hidden[r][column + c];
        for (int f = 0; f < inputs; f++)
            for (int c = 0; c < COLUMNS; c++)
                to_kernel[(input + f) * (UNITS / LANES) + column + c] = sums[f][c];
    }
}

static void backward(Chunk *restrict chunk, const float *restrict weights, float *restrict gradients, int rows)
{
    int input = 0;
    backward_output(chunk, weights, gradients, rows);
    for (; input + INPUTS <= WIDTH; input += INPUTS)
        backward_tile(chunk, (vector *)gradients, input, INPUTS, rows);
    for (; input < WIDTH; input++)
        backward_tile(chunk, (vector *)gradients, input, 1, rows);
}

/* ---- update ------------------------------------------------------------------------------------------------------ */

static void adam(Training *training)
{
    float *restrict w = __builtin_assume_aligned(training->weights, 64);
    float *restrict g = __builtin_assume_aligned(training->gradients, 64);
    float *restrict m = __builtin_assume_aligned(training->first, 64);
    float *restrict v = __builtin_assume_aligned(training->second, 64);
    training->beta1_power *= training->beta1;
    training->beta2_power *= training->beta2;
    const float beta1 = training->beta1, beta2 = training->beta2, epsilon = training->epsilon;
    const float rest1 = 1.0 - training->beta1, rest2 = 1.0 - training->beta2;
    const float rate = training->lr / (1.0 - training->beta1_power);
    const float root = 1.0 / sqrt(1.0 - training->beta2_power);
    for (int i = 0; i < PARAMETERS; i++) {
        m[i] = beta1 * m[i] + rest1 * g[i];
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
        w[i] -= rate * m[i] / (root * sqrtf(v[i]) + epsilon);
        g[i] = 0.0f;
    }
}

static void heavy_ball(Training *training)
{
    float *restrict w = __builtin_assume_aligned(training->weights, 64);
    float *restrict g = __builtin_assume_aligned(training->gradients, 64);
    float *restrict v = __builtin_assume_aligned(training->first, 64);
    const float momentum = training->momentum, lr = training->lr;
    for (int i = 0; i < PARAMETERS; i++) {
        v[i] = momentum * v[i] + g[i];
        w[i] -= lr * v[i];
        g[i] = 0.0f;
    }
}

static void descent(Training *training)
{
    float *restrict w = __builtin_assume_aligned(training->weights, 64);
    float *restrict g = __builtin_assume_aligned(training->gradients, 64);
    const float lr = training->lr;
    for (int i = 0; i < PARAMETERS; i++) {
        w[i] -= lr * g[i];
        g[i] = 0.0f;
    }
}

static void update(Training *training)
{
    if (training->optimizer == ADAM)
        adam(training);
    else if (training->optimizer == MOMENTUM)
        heavy_ball(training);
    else
        descent(training);
}

/* ---- epoch ------------------------------------------------------------------------------------------------------- */

static float step(Training *training, const float *x, const float *y, const int64_t *order, int64_t rows, int64_t left)
{
    Chunk chunk;
    double total = 0.0;
    for (int64_t low = 0; low < rows; low += CHUNK) {
        int count = rows - low < CHUNK ? (int)(rows - low) : CHUNK;
        gather(&chunk, x, y, order + low, count, left - low);
        forward(&chunk, training->weights, count);
        total += loss(&chunk, count, 1.0f / rows);
        backward(&chunk, training->weights, training->gradients, count);
    }
    update(training);
    return total / rows;
}

/* Trains the n rows of `order` in batches, the short last one included; `losses` takes one mean loss per step.
 * Numbers too small for a normal float count as 0, as in XLA's programs: a dead unit's moments would crawl through them. */
void train_epoch(Training *training, const float *x, const float *y, const int64_t *order, int64_t n, float *losses)
{
#ifdef __SSE__
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
#endif
    for (int64_t low = 0; low < n; low += training->batch_size) {
        int64_t rows = n - low < training->batch_size ? n - low : training->batch_size;
        *losses++ = step(training, x, y, order + low, rows, n - low);
    }
#ifdef __SSE__
    __builtin_ia32_ldmxcsr(before);
#endif
}
