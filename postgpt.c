/* postgpt.c: a GPT whose weights are counted, not trained. The twin of postgpt.py.
 *
 * A corpus is cut into byte-pair tokens (I). What is counted in it, the metaweights (II), already is
 * a language model. A small transformer (III) is seeded from the counts (IV), the
 * Dario field (V) mixes both, and a sampler speaks (VI). Training (VII) is optional; evaluation (VIII)
 * says honestly what each part is worth. Both twins print the same bytes, so every float operation
 * here stands in the order in which postgpt.py does it.
 *
 *     cc -std=c11 -O3 -ffp-contract=off -o postgpt postgpt.c -lm -pthread
 *
 * Memory, errors and lists come first. A first reading begins at chapter 0, goes down to "Second reading",
 * and from there to the next chapter:
 *
 *     0    Arithmetic     53 lines   sums, softmax, RMSNorm
 *     I    Tokenizer     142 lines   bytes to tokens
 *     II   Metaweights   403 lines   the chain, and who stands near whom
 *     III  Transformer   182 lines   two kinds of attention, one residual stream
 *     IV   Seeding       257 lines   three questions that the counts can answer
 *     V    Dario field   224 lines   all that is known, in one sum
 *     VI   Sampling      199 lines   a token is drawn, and there is text on the screen
 *                       1460 lines
 */
#define _XOPEN_SOURCE 700
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#if __STDC_VERSION__ >= 201112L && !defined __STDC_NO_ATOMICS__
#include <stdatomic.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __FAST_MATH__
#error "-ffast-math changes the order of sums, and with it every figure: compile without it"
#endif
#if defined FLT_EVAL_METHOD && (FLT_EVAL_METHOD < 0 || FLT_EVAL_METHOD == 2 || FLT_EVAL_METHOD > 64)
#error "a double is to have 64 bits, also while it is computed: for x86 of 32 bits add -msse2 -mfpmath=sse"
#endif

/* ---------------------------------------------------------------------------------------------
 * Failing, and memory. One exit for what cannot be done; every allocation is checked.
 */
static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One line on the terminal, in place, about what takes longer than a second. Nothing is said before
 * progress_next is set. */
static double progress_next;
static int progress_shown;

static void progress_show(const char *format, va_list args) {
    progress_shown = *format != 0;
    fputs("\r\x1b[K", stderr);
    vfprintf(stderr, format, args);
    fflush(stderr);
}

/* What is being done, at most ten times a second. */
static void progress(const char *format, ...) {
    va_list args;
    if (progress_next <= 0.0 || seconds() < progress_next) return;
    progress_next = seconds() + 0.1;
    va_start(args, format);
    progress_show(format, args);
    va_end(args);
}

/* The line is taken away: something else is to be written. */
static void progress_clear(void) {
    if (progress_shown) fputs("\r\x1b[K", stderr);
    progress_shown = 0;
}

/* Does bytes[i] control a terminal? */
static int controls(const unsigned char *bytes, size_t i) {
    const unsigned char c = bytes[i];
    return (c < ' ' && c != '\t' && c != '\n') || c == 127
        || (c >= 128 && c < 160 && i && bytes[i - 1] == 0xC2);
}

/* One line, also where a file's name has two; a terminal gets no control bytes. */
static void put_error(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args), terminal = isatty(STDERR_FILENO);
    unsigned char *text = n < 0 ? NULL : malloc((size_t)n + 11);
    progress_clear();
    if (!text) fputs("postgpt: out of memory\n", stderr);
    else {
        memcpy(text, "postgpt: ", 9);
        vsnprintf((char *)text + 9, (size_t)n + 1, format, again);
        for (size_t i = (size_t)n + 9; i-- > 9;)
            if (text[i] == '\n' || (terminal && controls(text, i))) text[i] = '?';
        text[n + 9] = '\n';
        fwrite(text, 1, (size_t)n + 10, stderr);
    }
    va_end(again);
    va_end(args);
    free(text);
}

#define fail(...) (put_error(__VA_ARGS__), exit(1))

static void *alloc(size_t count, size_t size) {   /* zeroed */
    void *p = calloc(count ? count : 1, size);
    if (!p) fail("out of memory");
    return p;
}

static void *resize(void *old, size_t count, size_t size) {
    void *p = size && count > SIZE_MAX / size ? NULL : realloc(old, count ? count * size : 1);
    if (!p) fail("out of memory");
    return p;
}

/* A list with room for n entries and, if it has to grow, as many again. */
static void *grow(void *list, size_t n, size_t *size, size_t each) {
    return list && n <= *size ? list : resize(list, *size = 2 * n + 64, each);
}

/* Bytes that grow, and those that somebody else keeps. */
typedef struct { unsigned char *data; size_t length, size; } Bytes;
typedef struct { const unsigned char *data; size_t length; } Slice;

static void bytes_add(Bytes *to, const void *data, size_t n) {
    to->data = grow(to->data, to->length + n, &to->size, 1);
    if (n) memcpy(to->data + to->length, data, n);
    to->length += n;
}

static void bytes_put(Bytes *to, const char *format, ...) {       /* up to 250 bytes at a time */
    char text[256];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bytes_add(to, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* training: 1 from the first step to the saved file, when a signal asks to stop; conversing: 1 while an
 * answer is said, which an interrupt ends; waiting: 1 or 2 while a line is waited for; stopped: the signal
 * that came. */
static volatile sig_atomic_t training, conversing, waiting, stopped;

/* ---------------------------------------------------------------------------------------------
 * 0  ARITHMETIC
 */
/* y[m] += x[n] W: y[j] + sum over i of x[i] w[i][j], ascending i for each j, rows of w `stride` apart. The
 * compiler may run across j, and four rows at a time spare it three visits to y: twice as fast. A zero x[i]
 * adds nothing; to multiply by it is quicker than to ask.
 *     y = 0 0, x = 1 2, w = 1 10, 100 1000: y becomes 201 2010 */
static void matvec(double *restrict y, const double *restrict x, const double *restrict w, size_t n, size_t m,
                   size_t stride) {
    const size_t fours = n / 4 * 4;
    for (size_t i = 0; i < fours; i += 4) {
        const double *w0 = w + i * stride, *w1 = w0 + stride, *w2 = w1 + stride, *w3 = w2 + stride;
        const double x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
        for (size_t j = 0; j < m; j++) y[j] = (((y[j] + x0 * w0[j]) + x1 * w1[j]) + x2 * w2[j]) + x3 * w3[j];
    }
    for (size_t i = fours; i < n; i++)
        for (size_t j = 0; j < m; j++) y[j] += x[i] * w[i * stride + j];
}

/* The sum of x[i] y[i], ascending i, from 0. */
static double dot(const double *x, const double *y, size_t n) {
    double s = 0.0;
    for (size_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}

static double total(const double *x, size_t n) {
    double s = 0.0;
    for (size_t i = 0; i < n; i++) s += x[i];
    return s;
}

static void zero(double *x, size_t n) { memset(x, 0, n * sizeof *x); }

/* exp(x[i]) / the sum of all exp(x[j]): positive numbers that sum to 1. The largest comes off first.
 *     0 1 2 becomes 0.090 0.245 0.665 */
static void softmax(double *x, size_t n) {
    double top = x[0], sum = 0.0;
    for (size_t i = 1; i < n; i++) if (x[i] > top) top = x[i];
    for (size_t i = 0; i < n; i++) {
        x[i] = exp(x[i] - top);
        sum += x[i];
    }
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

/* y = x / sqrt(mean(x^2) + 1e-5), no gain (Zhang and Sennrich 2019). Returns what x was multiplied by. */
static double rmsnorm(double *y, const double *x, size_t n) {
    const double scale = 1.0 / sqrt(dot(x, x, n) / (double)n + 1e-5);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale;
    return scale;
}

/* Second reading of 0 */

/* Eight at a time, for each comparison waits for the one before. */
static double greatest(const double *x, size_t n) {
    double top[8];
    for (size_t k = 0; k < 8; k++) top[k] = x[0];
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++) top[k] = x[i + k] > top[k] ? x[i + k] : top[k];
    for (; i < n; i++) top[0] = x[i] > top[0] ? x[i] : top[0];
    for (size_t k = 1; k < 8; k++) top[0] = top[k] > top[0] ? top[k] : top[0];
    return top[0];
}

/* -log softmax(logits)[id], in nats: what it costs to be told `id` where these were the logits (Shannon
 * 1948).
 *     of the logits 0 0: log 2, 0.6931 */
static double cross_entropy(const double *logits, size_t n, uint32_t id) {
    const double top = greatest(logits, n);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += exp(logits[i] - top);
    return log(sum) - (logits[id] - top);
}

typedef struct { uint64_t state; } Rng;           /* SplitMix64 (Steele, Lea and Flood 2014) */

static uint64_t rng_next(Rng *rng) {
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double rng_uniform(Rng *rng) { return (double)(rng_next(rng) >> 11) * 0x1p-53; }       /* in [0, 1) */

/* Is a product rounded before it is added, and are sums taken in their order? A compiler may have been told
 * otherwise; what is volatile it cannot know beforehand. */
static void arithmetic_check(void) {
    /* twice this is the distance from 1 to the next double */
    volatile double tiny = 0x1p-53;
    volatile size_t n = 16;
    double one[16], many[16], y[16], squares[16];
    for (size_t i = 0; i < n; i++) {
        one[i] = 1.0;
        many[i] = i ? tiny : 1.0;
        y[i] = 1.0 + 1024.0 * tiny;
    }
    for (size_t i = 0; i < n; i++) squares[i] = -(y[i] * y[0]);
    matvec(squares, &y[1], y, 1, n, n);
    if (squares[n - 1] != 0.0 || dot(one, many, n) != 1.0)
        fail("this build computes otherwise than it is told: "
             "compile with -ffp-contract=off, and without -ffast-math");
}

/* A hash table from 64-bit keys to 32-bit values: open addressing, power-of-two size, at most two thirds
 * full. */
typedef struct { uint64_t key; uint32_t value; } Slot;
typedef struct { Slot *slots; size_t size, used; } Map;
#define NONE UINT32_MAX          /* the value of an empty slot */

static Slot *map_slot(const Map *map, uint64_t key) {
    size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 32) & (map->size - 1);
    while (map->slots[i].value != NONE && map->slots[i].key != key) i = (i + 1) & (map->size - 1);
    return &map->slots[i];
}

static void map_make(Map *map, size_t expected) {
    *map = (Map){.size = 64};
    while (2 * map->size < 3 * expected) map->size *= 2;
    map->slots = alloc(map->size, sizeof *map->slots);
    for (size_t i = 0; i < map->size; i++) map->slots[i].value = NONE;
}

static void map_free(Map *map) { free(map->slots); }

static uint32_t map_get(const Map *map, uint64_t key) { return map_slot(map, key)->value; }

/* The value's place for a key; a new key's value is NONE, and the caller sets it. */
static uint32_t *map_at(Map *map, uint64_t key) {
    if (3 * map->used >= 2 * map->size) {
        Map old = *map;
        map_make(map, old.size + 1);
        map->used = old.used;
        for (size_t i = 0; i < old.size; i++)
            if (old.slots[i].value != NONE) *map_slot(map, old.slots[i].key) = old.slots[i];
        map_free(&old);
    }
    Slot *slot = map_slot(map, key);
    map->used += slot->value == NONE;
    slot->key = key;
    return &slot->value;
}

static uint64_t pair_key(size_t left, size_t right) { return (uint64_t)left << 32 | right; }

/* A min-heap of 64-bit keys: the caller packs what is to come first into the high bits. */
typedef struct { uint64_t *keys; size_t used, size; } Heap;

static void heap_push(Heap *heap, uint64_t key) {
    heap->keys = grow(heap->keys, heap->used + 1, &heap->size, sizeof *heap->keys);
    size_t i = heap->used++;
    for (; i && heap->keys[(i - 1) / 2] > key; i = (i - 1) / 2) heap->keys[i] = heap->keys[(i - 1) / 2];
    heap->keys[i] = key;
}

static uint64_t heap_pop(Heap *heap) {
    const uint64_t top = heap->keys[0], last = heap->keys[--heap->used];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap->used; i = child) {
        if (child + 1 < heap->used && heap->keys[child + 1] < heap->keys[child]) child++;
        if (heap->keys[child] >= last) break;
        heap->keys[i] = heap->keys[child];
    }
    heap->keys[i] = last;
    return top;
}

/* ---------------------------------------------------------------------------------------------
 * I  TOKENIZER: bytes to tokens and back (byte pair encoding: Gage 1994; Sennrich, Haddow, Birch 2016)
 *
 * A Map has a 32-bit value for each 64-bit key; NONE is no value. map_get() only looks; map_at() gives the
 * value's place, and a new key one that holds NONE; pair_key() makes one key of two ids.
 */
enum { LETTER, DIGIT, MARK, SPACE, WHITE };                /* kinds of bytes; those under SPACE are spelled */
enum { LONGEST = 256 };                                    /* bytes a token may have */

typedef struct { uint32_t *ids; size_t n, size; } Ids;

/* Byte-level BPE: a token for each byte of the alphabet, then one for each learned pair: again and again the
 * two neighbouring tokens that are met most often become one.
 *     learned from "low lower lowest" with 3 merges: `lo`, `low`, ` low`; "lowly" is then `low` `l` `y` */
typedef struct {
    size_t base, merges, vocab;      /* byte tokens, learned pairs, their sum */
    uint32_t id_of_byte[256];        /* NONE where the alphabet lacks the byte */
    uint32_t *pairs;                 /* [merges][2]: token base + i is pairs[i] joined */
    Map rank;                        /* (left, right) -> the token that joins them; NONE: there is none */
    size_t *start;                   /* [vocab + 1]: token t's bytes are text[start[t]] .. */
    unsigned char *text;
    size_t pairs_size, start_size, text_size;
    /* the pieces seen so far, so that each distinct piece is merged once */
    Map seen;                        /* hash of the piece -> its entry */
    struct Piece {
        size_t at, length;           /* its bytes in `bytes` */
        size_t ids, count;           /* its ids in `ids`, count of them; while learning, count: how often
                                      * it occurs */
        size_t met;                  /* how often it was encoded */
        uint32_t next;               /* piece of the same hash */
    } *pieces;
    size_t n_pieces, pieces_size;
    Bytes bytes;                     /* of all pieces */
    Ids ids;                         /* of those that were merged */
} Tokenizer;

static unsigned char kind_of[256];

static void kinds_make(void) {
    for (unsigned c = 0; c < 256; c++)
        kind_of[c] = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 128 ? LETTER
                   : c >= '0' && c <= '9' ? DIGIT : c == ' ' ? SPACE : c >= '\t' && c <= '\r' ? WHITE : MARK;
}

/* The end of the piece that starts at data[at]: a run of letters (and of all that is not ASCII), of digits or
 * of marks, each with the one space before it; or white space, less the space that goes with what follows. No
 * token crosses a piece.
 *     `to be,  or 42` is `to` ` be` `,` ` ` ` or` ` 42` */
static size_t piece_end(const unsigned char *data, size_t at, size_t length) {
    size_t end = at + (data[at] == ' ' && at + 1 < length && kind_of[data[at + 1]] < SPACE);
    const unsigned char kind = kind_of[data[end]];
    if (kind < SPACE) {
        while (end < length && kind_of[data[end]] == kind) end++;
        return end;
    }
    while (end < length && kind_of[data[end]] >= SPACE) end++;
    return end < length && data[end - 1] == ' ' ? end - 1 : end;
}

static void ids_add(Ids *ids, uint32_t id) {
    ids->ids = grow(ids->ids, ids->n + 1, &ids->size, sizeof *ids->ids);
    ids->ids[ids->n++] = id;
}

/* The bytes of a token. */
static Slice token_text(const Tokenizer *tok, size_t id) {
    return (Slice){tok->text + tok->start[id], tok->start[id + 1] - tok->start[id]};
}

/* The next token's bytes are text[start[vocab]] .. and n of them. */
static unsigned char *tokenizer_room(Tokenizer *tok, size_t n) {
    tok->start = grow(tok->start, tok->vocab + 2, &tok->start_size, sizeof *tok->start);
    if (!tok->vocab) tok->start[0] = 0;
    tok->start[tok->vocab + 1] = tok->start[tok->vocab] + n;
    tok->text = grow(tok->text, tok->start[tok->vocab + 1], &tok->text_size, 1);
    return tok->text + tok->start[tok->vocab++];
}

/* The alphabet: all bytes, or those that occur; with `lines` each line is a document, which begins and ends
 * with a newline. */
static void tokenizer_make(Tokenizer *tok, const unsigned char *data, size_t length, int lines,
                           int alphabet_of_corpus) {
    int occurs[256] = {0};
    memset(tok, 0, sizeof *tok);
    kinds_make();
    for (size_t i = 0; i < length; i++) occurs[data[i]] = 1;
    if (lines) occurs['\n'] = 1;
    for (size_t c = 0; c < 256; c++) {
        tok->id_of_byte[c] = occurs[c] || !alphabet_of_corpus ? (uint32_t)tok->base++ : NONE;
        if (tok->id_of_byte[c] != NONE) *tokenizer_room(tok, 1) = (unsigned char)c;
    }
    map_make(&tok->seen, 4096);
    map_make(&tok->rank, 4096);
}

/* The next token: left and right joined. */
static void tokenizer_add(Tokenizer *tok, size_t left, size_t right) {
    const size_t n = token_text(tok, left).length, m = token_text(tok, right).length;
    tok->pairs = grow(tok->pairs, 2 * (tok->merges + 1), &tok->pairs_size, sizeof *tok->pairs);
    tok->pairs[2 * tok->merges] = (uint32_t)left;
    tok->pairs[2 * tok->merges++ + 1] = (uint32_t)right;
    *map_at(&tok->rank, pair_key(left, right)) = (uint32_t)tok->vocab;
    unsigned char *to = tokenizer_room(tok, n + m);
    memcpy(to, token_text(tok, left).data, n);
    memcpy(to + n, token_text(tok, right).data, m);
}

/* Finds or adds a distinct piece. */
static struct Piece *tokenizer_piece(Tokenizer *tok, const unsigned char *bytes, size_t length) {
    uint64_t hash = length;
    for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 0x100000001B3u;      /* FNV-1a */
    uint32_t *first = map_at(&tok->seen, hash);
    for (uint32_t i = *first; i != NONE; i = tok->pieces[i].next)
        if (tok->pieces[i].length == length && !memcmp(tok->bytes.data + tok->pieces[i].at, bytes, length))
            return &tok->pieces[i];
    tok->pieces = grow(tok->pieces, tok->n_pieces + 1, &tok->pieces_size, sizeof *tok->pieces);
    struct Piece *piece = &tok->pieces[tok->n_pieces];
    *piece = (struct Piece){tok->bytes.length, length, SIZE_MAX, 0, 0, *first};
    bytes_add(&tok->bytes, bytes, length);
    *first = (uint32_t)tok->n_pieces++;
    return piece;
}

static void tokenizer_merge(Tokenizer *tok, struct Piece *piece);     /* the earliest learned pair first */

/* The ids of the piece that starts at data[*at], which becomes its end. */
static struct Piece *tokenizer_merged(Tokenizer *tok, const unsigned char *data, size_t *at, size_t length) {
    const size_t end = piece_end(data, *at, length);
    struct Piece *piece = tokenizer_piece(tok, data + *at, end - *at);
    if (piece->ids == SIZE_MAX) tokenizer_merge(tok, piece);
    *at = end;
    return piece;
}

static void tokenizer_encode(Tokenizer *tok, Ids *out, const unsigned char *data, size_t length) {
    for (size_t at = 0; at < length;) {
        struct Piece *piece = tokenizer_merged(tok, data, &at, length);
        piece->met++;
        for (size_t i = 0; i < piece->count; i++) ids_add(out, tok->ids.ids[piece->ids + i]);
    }
}

/* Second reading of I */

/* What learning works with: the distinct pieces as linked lists of tokens, and for each pair the list of its
 * places, in text order, so that a merge touches its own occurrences and nothing else: the cost grows with
 * the number of distinct pieces. */
typedef struct { size_t count; uint32_t left, right, head, tail; } Pair;
typedef struct {
    uint32_t *token, *before, *after;    /* the pieces */
    uint32_t *earlier, *later;           /* the places of one pair, by position of its left token */
    size_t *weight;                      /* how often the corpus has the piece that this position is in */
    Map index;                           /* (left, right) -> its entry in pairs */
    Pair *pairs;
    size_t n_pairs, size;
} Learner;

/* The pair at a place occurs there. */
static void learner_add(Learner *L, uint32_t at) {
    const uint32_t left = L->token[at], right = L->token[L->after[at]];
    uint32_t *slot = map_at(&L->index, pair_key(left, right));
    if (*slot == NONE) {
        L->pairs = grow(L->pairs, L->n_pairs + 1, &L->size, sizeof *L->pairs);
        L->pairs[L->n_pairs] = (Pair){0, left, right, NONE, NONE};
        *slot = (uint32_t)L->n_pairs++;
    }
    Pair *pair = &L->pairs[*slot];
    pair->count += L->weight[at];
    L->earlier[at] = pair->tail;
    L->later[at] = NONE;
    if (pair->tail == NONE) pair->head = at; else L->later[pair->tail] = at;
    pair->tail = at;
}

/* It does no longer. */
static void learner_remove(Learner *L, uint32_t at) {
    Pair *pair = &L->pairs[map_get(&L->index, pair_key(L->token[at], L->token[L->after[at]]))];
    const uint32_t earlier = L->earlier[at], later = L->later[at];
    pair->count -= L->weight[at];
    if (earlier == NONE) pair->head = later; else L->later[earlier] = later;
    if (later == NONE) pair->tail = earlier; else L->earlier[later] = earlier;
}

static uint64_t pair_priority(const Pair *pair) {   /* larger count, then smaller left, then smaller right */
    const uint64_t rest = UINT32_MAX - (pair->count < UINT32_MAX ? pair->count : UINT32_MAX);
    return rest << 32 | (uint64_t)pair->left << 16 | pair->right;
}

/* Up to `merges` pairs: again and again the most frequent pair becomes a token. It stops where no pair occurs
 * twice; no token becomes longer than LONGEST. */
static void tokenizer_learn(Tokenizer *tok, const unsigned char *data, size_t length, size_t merges) {
    for (size_t at = 0, end; at < length; at = end) {
        end = piece_end(data, at, length);
        tokenizer_piece(tok, data + at, end - at)->count++;
    }
    const size_t n = tok->bytes.length;
    if (n >= NONE) fail("the corpus has more distinct text than 32-bit positions can name");
    Learner L = {alloc(n, 4), alloc(n, 4), alloc(n, 4), alloc(n, 4), alloc(n, 4), alloc(n, sizeof(size_t)),
        {0}, NULL, 0, 0};
    Heap heap = {0};
    map_make(&L.index, 4096);
    for (size_t p = 0; p < tok->n_pieces; p++) {
        const size_t start = tok->pieces[p].at, end = start + tok->pieces[p].length;
        for (size_t i = start; i < end; i++) {
            L.token[i] = tok->id_of_byte[tok->bytes.data[i]];
            L.before[i] = i == start ? NONE : (uint32_t)i - 1;
            L.after[i] = i + 1 == end ? NONE : (uint32_t)i + 1;
            L.weight[i] = tok->pieces[p].count;
        }
    }
    for (size_t i = 0; i < n; i++) if (L.after[i] != NONE) learner_add(&L, (uint32_t)i);
    for (size_t i = 0; i < L.n_pairs; i++) heap_push(&heap, pair_priority(&L.pairs[i]));
    while (tok->merges < merges && heap.used) {
        const uint64_t top = heap_pop(&heap);
        const uint32_t index = map_get(&L.index, pair_key(top >> 16 & 0xFFFF, top & 0xFFFF));
        const Pair pair = L.pairs[index];
        if (pair.count < 2 || token_text(tok, pair.left).length
            + token_text(tok, pair.right).length > LONGEST) continue;
        if (pair_priority(&pair) != top) {           /* it has lost occurrences since: later */
            heap_push(&heap, pair_priority(&pair));
            continue;
        }
        progress("learning merges: %zu of %zu", tok->merges, merges);
        const size_t known = L.n_pairs, id = tok->vocab;
        tokenizer_add(tok, pair.left, pair.right);
        for (uint32_t at; (at = L.pairs[index].head) != NONE;) {
            const uint32_t right = L.after[at], left = L.before[at], beyond = L.after[right];
            if (left != NONE) learner_remove(&L, left);
            learner_remove(&L, at);
            if (beyond != NONE) learner_remove(&L, right);
            L.token[at] = (uint32_t)id;
            L.after[at] = beyond;
            if (beyond != NONE) L.before[beyond] = at;
            if (left != NONE) learner_add(&L, left);
            if (beyond != NONE) learner_add(&L, at);
        }
        for (size_t i = known; i < L.n_pairs; i++) heap_push(&heap, pair_priority(&L.pairs[i]));
    }
    free(L.token); free(L.before); free(L.after); free(L.earlier); free(L.later); free(L.weight);
    free(L.pairs);
    map_free(&L.index);
    free(heap.keys);
}

/* Merges one piece: the earliest learned pair first, leftmost first, until none is left. */
static void tokenizer_merge(Tokenizer *tok, struct Piece *piece) {
    const size_t n = piece->length;
    uint32_t *token = alloc(3 * n, sizeof *token), *before = token + n, *after = before + n;
    Heap heap = {0};
    for (size_t i = 0; i < n; i++) {
        token[i] = tok->id_of_byte[tok->bytes.data[piece->at + i]];
        before[i] = i ? (uint32_t)i - 1 : NONE;
        after[i] = i + 1 < n ? (uint32_t)i + 1 : NONE;
        const uint32_t joined = i ? map_get(&tok->rank, pair_key(token[i - 1], token[i])) : NONE;
        if (joined != NONE) heap_push(&heap, pair_key(joined, i - 1));
    }
    while (heap.used) {
        const uint64_t top = heap_pop(&heap);
        const uint32_t at = (uint32_t)top, id = (uint32_t)(top >> 32), right = after[at];
        if (token[at] == NONE || right == NONE) continue;
        if (map_get(&tok->rank, pair_key(token[at], token[right])) != id) continue;
        token[at] = id;
        token[right] = NONE;
        after[at] = after[right];
        if (after[at] != NONE) before[after[at]] = at;
        const uint32_t sides[2] = {before[at], at};
        for (int s = 0; s < 2; s++) {
            const uint32_t l = sides[s], r = l == NONE ? NONE : after[l];
            const uint32_t joined = r == NONE ? NONE : map_get(&tok->rank, pair_key(token[l], token[r]));
            if (joined != NONE) heap_push(&heap, pair_key(joined, l));
        }
    }
    piece->ids = tok->ids.n;
    for (size_t i = 0; i < n; i++) if (token[i] != NONE) ids_add(&tok->ids, token[i]);
    piece->count = tok->ids.n - piece->ids;
    free(token); free(heap.keys);
}

/* Could learning `merges` pairs from data have given these, as far as counts tell? What
 * a pair joined occurs in the text that they make, in itself or in what was joined of it; none was joined
 * less than twice or more often than one before it, and none is left that should have been. Of two equal
 * tokens every other pair at least is joined: aaa has two, of which one is. */
static int tokenizer_passes(Tokenizer *tok, const unsigned char *data, size_t n, size_t merges) {
    size_t *made = alloc(tok->vocab, sizeof *made), most = n;
    int fine = 1;
    Map left_over;
    map_make(&left_over, 4096);
    for (size_t at = 0; at < n;) {
        const struct Piece *piece = tokenizer_merged(tok, data, &at, n);
        const uint32_t *ids = tok->ids.ids + piece->ids;
        for (size_t i = 0; i < piece->count; i++) {
            made[ids[i]]++;
            uint32_t *often = i ? map_at(&left_over, pair_key(ids[i - 1], ids[i])) : NULL;
            if (often) *often = *often == NONE ? 1 : *often + 1;
        }
    }
    for (size_t i = 2 * tok->merges; i-- > 0;) made[tok->pairs[i]] += made[tok->base + i / 2];
    for (size_t i = 0; i < tok->merges; i++) {
        const size_t often = made[tok->base + i], twice = 1 + (tok->pairs[2 * i] != tok->pairs[2 * i + 1]);
        if (often < twice || often > most) fine = 0;
        if (often * 2 / twice < most) most = often * 2 / twice;
    }
    if (tok->merges < merges) most = 1;
    for (size_t i = 0; i < left_over.size; i++) {
        const Slot *slot = &left_over.slots[i];
        fine = fine && (slot->value == NONE || slot->value <= most
                        || token_text(tok, slot->key >> 32).length
                            + token_text(tok, slot->key & NONE).length > LONGEST);
    }
    map_free(&left_over);
    free(made);
    return fine;
}

/* ---------------------------------------------------------------------------------------------
 * II  METAWEIGHTS: what is counted
 */
/* Token ids in documents: start[d] .. start[d + 1]. In one running text there is one document; with `lines` a
 * document's first token is only context, never predicted. */
typedef struct { const uint32_t *ids; size_t n; const size_t *start; size_t n_docs; int lines; } Text;

static size_t text_document(const Text *text, size_t at) {      /* the document that holds a position */
    size_t low = 0, high = text->n_docs;
    while (high - low > 1) {
        const size_t mid = (low + high) / 2;
        if (text->start[mid] <= at) low = mid; else high = mid;
    }
    return low;
}

/* The chain: interpolated modified Kneser-Ney (Chen and Goodman 1998). The probability of the token x after
 * the context c, with n(c x) the count of x after c, n(c) the sum of these counts, and D what is taken off a
 * count (as a rule more off a larger one):
 *
 *     P(x | c) = (n(c x) - D(n(c x))) / n(c)  +  backoff(c) * P(x | c without its oldest token)
 *     backoff(c) = (the sum over x of D(n(c x))) / n(c)      the weight of the shorter context
 *
 * and below the empty context every token has 1 / vocab. A chain of order 3 looks at contexts of up to 2
 * tokens. Only the longest contexts count how often x came. A shorter one counts, instead, how many
 * different tokens stood before c x (the continuation count): it is asked where the longer one knows little,
 * and there it matters in how many places x has been at home, not how often in one of them.
 *
 * Contexts form a tree, newest token first: node 0 is the empty context, and a node's child by t is the
 * context with t before it.
 *     a b c a b d a b c, order 3: after nothing a 2, b 1 (it comes thrice, always after a), c 1, d 1;
 *         after `a b` c 2, d 1
 *     order 2: D(1) = 0.6, D(2) = 0.2, and c after b has (2 - 0.2) / 3 + (0.2 + 0.6) / 3 P(c), 0.660; P(c) is
 *         0.225, 0.5 / 5 + 2.5 / 5 / 4: no count of the empty context is 3, so there D(k) is k / 2 */
typedef struct { uint32_t node, token; size_t count; } Entry;
typedef struct {
    size_t order, vocab, n_nodes, n_entries;         /* order: 1 .. 8 */
    Map child;
    size_t *first;               /* [n_nodes + 1]: node's entries are first[node] .. */
    uint32_t *token;             /* [n_entries], ascending within a node */
    double *prob;                /* [n_entries]: the first summand of P */
    double *backoff;             /* [n_nodes]; 1 where nothing was counted */
    double *unigram;             /* [vocab]: P(x | nothing) */
    double cut[4];               /* D of the longest contexts, by count */
} Chain;

/* D of a count of 0, of 1, of 2, and of 3 or more; n[k] is how many counts are k (their equation 26). What
 * came k times would come about (k + 1) n[k + 1] / n[k] times in another such text (Good 1953). D is k less
 * Y times that, Y = n[1] / (n[1] + 2 n[2]) being the authors' correction; half of k where there are too few
 * counts to tell. */
static void discounts(const size_t n[5], double cut[4]) {
    const double y = (double)n[1] / (double)(n[1] + 2 * n[2]);
    for (size_t k = 0; k < 4; k++) {
        cut[k] = 0.5 * (double)k;
        if (!k || !n[1] || !n[2] || !n[3]) continue;
        cut[k] = (double)k - (double)(k + 1) * y * (double)n[k + 1] / (double)n[k];
        if (cut[k] < 0.01) cut[k] = 0.01;          /* never 0: nothing may have probability 0 */
        if (cut[k] > (double)k) cut[k] = (double)k;
    }
}

/* A context's counts after the discounts: prob[i] = (count[i] - D(count[i])) / sum. Returns its backoff.
 *     3 1 with D = 0 0.5 1 1.5: 0.375 0.125, and 0.5 */
static double discounted(const size_t *count, size_t n, const double cut[4], double *prob) {
    size_t met = 0, many[4] = {0};
    for (size_t i = 0; i < n; i++) {
        met += count[i];
        many[count[i] < 3 ? count[i] : 3]++;
    }
    for (size_t i = 0; i < n; i++) prob[i] = count[i] ? ((double)count[i] - cut[count[i] < 3 ? count[i] : 3])
        / (double)met : 0.0;
    return met ? (cut[1] * (double)many[1] + cut[2] * (double)many[2] + cut[3]
                  * (double)many[3]) / (double)met : 1.0;
}

/* The tree: for every node how often each token followed. Both kinds of count in one pass, from the longest
 * context to the empty one: where x is new after a context, the next shorter one has met one more token
 * before c x and counts 1 more; where x is known, it has not, and neither have those below. Where nothing
 * stands before c, at a document's beginning, x is entered with 0, only to be known; but with `lines` (each
 * line is a document) it counts, for a line's beginning is a habit. */
static Entry *chain_count(Chain *chain, const Text *text, unsigned char **depth) {
    size_t size = 0, deep_size = 1024;
    Entry *entries = NULL;
    Map index;                                       /* (node, token) -> its entry */
    *depth = alloc(deep_size, 1);
    chain->n_nodes = 1;
    map_make(&chain->child, chain->order > 2 ? text->n / 2 : 1024);
    map_make(&index, text->n * chain->order / 3);
    for (size_t doc = 0; doc < text->n_docs; doc++) {
        const size_t begin = text->start[doc], end = text->start[doc + 1];
        for (size_t i = begin + (size_t)text->lines; i < end; i++) {
            if (!((i - begin) & 4095)) progress("counting: %zu contexts", chain->n_nodes);
            uint32_t path[8] = {0};
            size_t deep = 0;
            while (deep + 1 < chain->order && i - begin > deep) {
                uint32_t *slot = map_at(&chain->child, pair_key(path[deep], text->ids[i - deep - 1]));
                if (*slot == NONE) {
                    *depth = grow(*depth, chain->n_nodes + 1, &deep_size, 1);
                    (*depth)[chain->n_nodes] = (unsigned char)(deep + 1);
                    *slot = (uint32_t)chain->n_nodes++;
                }
                path[++deep] = *slot;
            }
            size_t more = deep + 1 == chain->order || text->lines;
            for (size_t k = deep + 1; k-- > 0; more = 1) {             /* the longest context first */
                uint32_t *slot = map_at(&index, pair_key(path[k], text->ids[i]));
                const int known = *slot != NONE;
                if (!known) {
                    entries = grow(entries, chain->n_entries + 1, &size, sizeof *entries);
                    entries[chain->n_entries] = (Entry){path[k], text->ids[i], 0};
                    *slot = (uint32_t)chain->n_entries++;
                }
                entries[*slot].count += more;
                if (known) break;
            }
        }
    }
    map_free(&index);
    return entries;
}

static void chain_make(Chain *chain, const Text *text, size_t vocab, size_t order) {
    *chain = (Chain){.order = order, .vocab = vocab};
    unsigned char *depth;
    Entry *entries = chain_count(chain, text, &depth);
    const size_t nodes = chain->n_nodes, n = chain->n_entries;
    /* sort by token, then stably by node */
    chain->first = alloc(nodes + 1, sizeof *chain->first);
    chain->token = alloc(n, sizeof *chain->token);
    chain->prob = alloc(n, sizeof *chain->prob);
    chain->backoff = alloc(nodes, sizeof *chain->backoff);
    size_t *by_token = alloc(vocab + 1, sizeof *by_token), *sorted = alloc(n, sizeof *sorted);
    size_t *fill = alloc(nodes, sizeof *fill), *count = alloc(n, sizeof *count), tally[8][5] = {{0}};
    double cuts[8][4];
    for (size_t i = 0; i < n; i++) {
        by_token[entries[i].token + 1]++;
        chain->first[entries[i].node + 1]++;
        /* how many counts are 1, 2, 3, 4 */
        if (entries[i].count < 5) tally[depth[entries[i].node]][entries[i].count]++;
    }
    for (size_t t = 0; t < vocab; t++) by_token[t + 1] += by_token[t];
    for (size_t k = 0; k < nodes; k++) chain->first[k + 1] += chain->first[k];
    for (size_t i = 0; i < n; i++) sorted[by_token[entries[i].token]++] = i;
    memcpy(fill, chain->first, nodes * sizeof *fill);
    for (size_t j = 0; j < n; j++) {
        const Entry *entry = &entries[sorted[j]];
        chain->token[fill[entry->node]] = entry->token;
        count[fill[entry->node]++] = entry->count;
    }
    for (size_t k = 0; k < order; k++) {               /* the last are the longest context's */
        discounts(tally[k], cuts[k]);
        memcpy(chain->cut, cuts[k], sizeof chain->cut);
    }
    for (size_t k = 0; k < nodes; k++) {
        const size_t at = chain->first[k];
        chain->backoff[k] = discounted(count + at, chain->first[k + 1] - at, cuts[depth[k]],
                                       chain->prob + at);
    }
    chain->unigram = alloc(vocab, sizeof *chain->unigram);
    for (size_t t = 0; t < vocab; t++) chain->unigram[t] = chain->backoff[0] * (1.0 / (double)vocab);
    for (size_t i = 0; i < chain->first[1]; i++) chain->unigram[chain->token[i]] += chain->prob[i];
    free(entries); free(depth); free(by_token); free(sorted); free(fill); free(count);
}

static void chain_free(Chain *chain) {
    map_free(&chain->child);
    free(chain->first); free(chain->token); free(chain->prob); free(chain->backoff); free(chain->unigram);
}

/* The nodes of the contexts that were met at the end of ids[n], the empty one not, shortest first. Returns
 * how many. */
static size_t chain_nodes(const Chain *chain, const uint32_t *ids, size_t n, uint32_t nodes[8]) {
    size_t k = 0;
    for (uint32_t node = 0; k + 1 < chain->order && k < n; nodes[k++] = node) {
        node = map_get(&chain->child, pair_key(node, ids[n - k - 1]));
        if (node == NONE) break;
    }
    return k;
}

/* P after a longer context: prob + backoff * p, prob of the few tokens that it has met. */
static void mixed(double *p, size_t vocab, const uint32_t *token, const double *prob, size_t n,
                  double backoff) {
    for (size_t t = 0; t < vocab; t++) p[t] *= backoff;
    for (size_t i = 0; i < n; i++) p[token[i]] += prob[i];
}

/* p[vocab]: P(x | ids[0 .. n)) for every token x. */
static void chain_probs(const Chain *chain, double *p, const uint32_t *ids, size_t n) {
    uint32_t nodes[8];
    const size_t many = chain_nodes(chain, ids, n, nodes);
    memcpy(p, chain->unigram, chain->vocab * sizeof *p);
    for (size_t k = 0; k < many; k++) {
        const size_t first = chain->first[nodes[k]];
        mixed(p, chain->vocab, chain->token + first, chain->prob + first, chain->first[nodes[k] + 1] - first,
              chain->backoff[nodes[k]]);
    }
}

/* P(id | ids[0 .. n)): the same sums, for it alone. */
static double chain_token_prob(const Chain *chain, const uint32_t *ids, size_t n, uint32_t id) {
    uint32_t nodes[8];
    const size_t many = chain_nodes(chain, ids, n, nodes);
    double p = chain->unigram[id];
    for (size_t k = 0; k < many; k++) {
        size_t low = chain->first[nodes[k]], high = chain->first[nodes[k] + 1];
        p *= chain->backoff[nodes[k]];
        while (high - low > 1) {
            const size_t mid = (low + high) / 2;
            if (chain->token[mid] <= id) low = mid; else high = mid;
        }
        if (low < high && chain->token[low] == id) p += chain->prob[low];
    }
    return p;
}

/* Chapter V weighs the transformer by this, the root (it did better) of what is left to the bigram: the
 * product of the backoffs of all contexts met of 2 tokens and more; before 2 are heard, the last. */
static double chain_doubt(const Chain *chain, const uint32_t *ids, size_t n) {
    uint32_t nodes[8];
    const size_t many = chain_nodes(chain, ids, n, nodes);
    double share = n > 1 ? 1.0 : chain->backoff[many ? nodes[many - 1] : 0];
    for (size_t k = 1; k < many; k++) share *= chain->backoff[nodes[k]];
    return sqrt(share);
}

/* Pairs: who stands near whom. A sparse table over pairs of tokens: row a's entries are first[a] .. first[a +
 * 1], columns ascending. */
typedef struct {
    size_t rows, n;
    size_t *first;                   /* [rows + 1] */
    uint32_t *column;                /* [n] */
    double *value;                   /* [n] */
    double *row_sum, *column_sum, sum;     /* of all that was counted, also what is too rare to be kept */
} Table;

static void table_free(Table *t) { free(t->first); free(t->column); free(t->value); free(t->row_sum);
    free(t->column_sum); }

static Table table_make(size_t rows, size_t n) {
    return (Table){.rows = rows, .n = n, .first = alloc(rows + 2, sizeof(size_t)),
        .column = alloc(n, sizeof(uint32_t)), .value = alloc(n, sizeof(double))};
}

/* The table with rows and columns exchanged, without sums. */
static Table table_transposed(const Table *from) {
    Table to = table_make(from->rows, from->n);
    /* first[r + 1] is where the next entry of row r goes; in the end, where row r + 1 begins */
    for (size_t i = 0; i < from->n; i++) to.first[from->column[i] + 2]++;
    for (size_t r = 0; r < to.rows; r++) to.first[r + 2] += to.first[r + 1];
    for (size_t r = 0; r < from->rows; r++)
        for (size_t i = from->first[r]; i < from->first[r + 1]; i++) {
            const size_t at = to.first[from->column[i] + 1]++;
            to.column[at] = (uint32_t)r;
            to.value[at] = from->value[i];
        }
    return to;
}

/* y[rows][r] = table x[rows][r] */
static void table_times(double *y, const Table *table, const double *x, size_t r) {
    zero(y, table->rows * r);
    for (size_t a = 0; a < table->rows; a++)
        for (size_t i = table->first[a]; i < table->first[a + 1]; i++) {
            const double *restrict from = x + table->column[i] * r, value = table->value[i];
            double *restrict to = y + a * r;
            for (size_t k = 0; k < r; k++) to[k] += value * from[k];
        }
}

/* Co-occurrence: value(a, x) = the sum of weight[d] over the places where x stands d tokens after a, d <=
 * reach (ONCE: each a counts each x once). Entries under `least` are summed but not kept. Weights are whole
 * numbers: the order of such sums does not matter.
 *     0 1 2 0 2 with weights 2 1: 2 after 0 has 3, once side by side, once with one between */
enum { EVERY, ONCE };

static int ascending(const void *x, const void *y) {
    const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static void count_pairs(Table *table, const Text *text, size_t vocab, const double *weight, size_t reach,
                        int how, double least) {
    size_t columns = 0, values = 0, *place = alloc(text->n, sizeof *place),
        *from = alloc(vocab + 1, sizeof *from);
    /* 1 + the place of the a that counted x last */
    size_t *last = alloc(vocab, sizeof *last);
    double *sum = alloc(vocab, sizeof *sum);
    uint32_t *met = alloc(vocab + 1, sizeof *met);                  /* the x of an a, ascending in the end */
    unsigned char *touched = alloc(vocab, 1);
    size_t nearest = 1;
    while (nearest < reach && weight[nearest] <= 0.0) nearest++;
    *table = (Table){.rows = vocab, .first = alloc(vocab + 1, sizeof(size_t)),
        .row_sum = alloc(vocab, sizeof(double)), .column_sum = alloc(vocab, sizeof(double))};
    for (size_t i = 0; i < text->n; i++) from[text->ids[i] + 1]++;
    for (size_t t = 0; t < vocab; t++) from[t + 1] += from[t];
    for (size_t i = 0; i < text->n; i++) place[from[text->ids[i]]++] = i;
    /* from[a] has become where a + 1 begins */
    for (size_t a = 0; a < vocab; a++) {
        size_t many = 0;
        progress(how == ONCE ? "counting: promises, %zu of %zu" : "counting: pairs, %zu of %zu", a, vocab);
        for (size_t p = a ? from[a - 1] : 0; p < from[a]; p++) {
            const size_t at = place[p], end = text->start[text_document(text, at) + 1];
            for (size_t d = nearest; d <= reach && at + d < end; d++) {
                const uint32_t x = text->ids[at + d];
                if (how == ONCE && last[x] == at + 1) continue;
                last[x] = at + 1;
                if (!touched[x]) met[many++] = x;
                touched[x] = 1;
                sum[x] += weight[d];
            }
        }
        table->column = grow(table->column, table->n + many + 1, &columns, sizeof *table->column);
        table->value = grow(table->value, table->n + many + 1, &values, sizeof *table->value);
        /* few are sorted, many are found by looking at all; without a branch: what does not count is
         * overwritten */
        if (many < vocab / 64) qsort(met, many, sizeof *met, ascending);
        else for (size_t x = many = 0; x < vocab; x++) {
            met[many] = (uint32_t)x;
            many += touched[x];
        }
        for (size_t i = 0; i < many; i++) {
            const uint32_t x = met[i];
            table->row_sum[a] += sum[x];
            table->column_sum[x] += sum[x];
            table->column[table->n] = x;
            table->value[table->n] = sum[x];
            table->n += sum[x] >= least;
            sum[x] = 0.0;
            touched[x] = 0;
        }
        table->first[a + 1] = table->n;
        table->sum += table->row_sum[a];
    }
    free(place); free(from); free(last); free(sum); free(met); free(touched);
}

/* Drops the entries that are not positive. */
static void table_prune(Table *table) {
    size_t n = 0;
    for (size_t a = 0, i = 0; a < table->rows; a++) {
        for (; i < table->first[a + 1]; i++) {
            table->column[n] = table->column[i];
            table->value[n] = table->value[i];
            n += table->value[i] > 0.0;
        }
        table->first[a + 1] = n;
    }
    table->n = n;
}

/* Positive pointwise mutual information (Church and Hanks 1990): how much oftener than chance a and x meet,
 * max(0, log(p(a, x) / (p(a) q(x)))), q(x) being n(x)^0.75 over the sum of all such, so that what is rare is
 * not overrated (Levy, Goldberg and Dagan 2015). It takes the place of the counts.
 *     1 3 / 4 0, columns 5 3: of the 3 log(3/8 / (4/8 q)) = 0.615, q = 3^.75 / (5^.75 + 3^.75) = 0.405 */
static void pmi(Table *table) {
    double *flat = alloc(table->rows, sizeof *flat);
    for (size_t x = 0; x < table->rows; x++) if (table->column_sum[x] > 0.0)
        flat[x] = exp(0.75 * log(table->column_sum[x]));
    const double whole = total(flat, table->rows);
    for (size_t a = 0; a < table->rows; a++)
        for (size_t i = table->first[a]; i < table->first[a + 1]; i++)
            table->value[i] = log(table->value[i] * whole / (table->row_sum[a] * flat[table->column[i]]));
    table_prune(table);
    free(flat);
}

#define ROOM_FOR_TRACE 16        /* tokens: the reach of the Hebbian trace */
#define ROOM_FOR_PROMISE 12      /* tokens: a promise counts where it is kept within so many */
#define WHOLE 720720.0           /* the least common multiple of 1 .. 16: WHOLE / distance is a whole
                                  * number */

/* What is counted in a text of token ids: weights that nobody trained, a language model already. Positional
 * affinity, the pairs at each distance alone, is counted where it is read, in chapter IV. */
typedef struct {
    Text text;
    size_t vocab;
    Chain chain;                 /* the probability of the next token after the last order - 1 */
    Table trace;                 /* the Hebbian trace (what fires together wires together: Hebb 1949): PMI
                                  * of (a, then x) at distances 2 .. 16, each meeting weighed by 1 /
                                  * distance */
    Table promise;               /* prophecy: how much likelier x is within 12 tokens after an a than
                                  * within any 12, as a logarithm: where it is likelier */
    double *share;               /* destiny: how much of the text each token is, [vocab] */
} Metaweights;

static void metaweights_promises(Metaweights *meta, const double *often);

static void metaweights_make(Metaweights *meta, Text text, size_t vocab, size_t order) {
    double weight[ROOM_FOR_TRACE + 1] = {0.0}, *often = alloc(vocab, sizeof *often);
    meta->text = text;
    meta->vocab = vocab;
    chain_make(&meta->chain, &text, vocab, order);
    for (size_t d = 2; d <= ROOM_FOR_TRACE; d++) weight[d] = WHOLE / (double)d;
    /* dropped where all meetings of a pair weigh no more than one at distance 3 */
    count_pairs(&meta->trace, &text, vocab, weight, ROOM_FOR_TRACE, EVERY, WHOLE / 3.0 + 1.0);
    pmi(&meta->trace);
    for (size_t i = 0; i < text.n; i++) often[text.ids[i]] += 1.0;
    metaweights_promises(meta, often);
    meta->share = often;
    for (size_t x = 0; x < vocab; x++) often[x] = (often[x] + 0.5) / ((double)text.n + 0.5 * (double)vocab);
}

/* Second reading of II */

/* log((met + chance) / ((n(a) + 1) chance)), met: how many of the n(a) places of a have an x within 12
 * tokens, once or more; chance: that any 12 tokens have one, 1 - (1 - share of x)^12. often[vocab] */
static void metaweights_promises(Metaweights *meta, const double *often) {
    const double weight[ROOM_FOR_PROMISE + 1] = {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    Table *promise = &meta->promise;
    count_pairs(promise, &meta->text, meta->vocab, weight, ROOM_FOR_PROMISE, ONCE, 2.0);
    for (size_t a = 0; a < meta->vocab; a++)
        for (size_t i = promise->first[a]; i < promise->first[a + 1]; i++) {
            const double q = 1.0 - often[promise->column[i]] / (double)meta->text.n, q3 = q * q * q,
                chance = 1.0 - q3 * q3 * (q3 * q3);
            promise->value[i] = log((promise->value[i] + chance) / ((often[a] + 1.0) * chance));
        }
    table_prune(promise);
}

/* What the speaker of chapter VI must know of words and sentences; and the tree of whole words */
enum { UNKNOWN, BEGUN, WHOLE_WORD };
#define STUB 4.0                 /* nats, times trust: what a token loses that would end the word under way
                                  * unfinished */
#define BREAK 1.6                /* and what one loses that goes on with it as no word does */
#define NEVER 20.0               /* what a token loses that cannot come */
#define LONGEST_WORD 48          /* bytes: a longer run of letters is no word but a text without spaces,
                                  * and is not spelled */

/* Has a text characters of Han or kana, which begin so in UTF-8? They stand without spaces: a run of them is
 * no word. */
static int has_han(const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) if (bytes[i] >= 0xE3 && bytes[i] <= 0xE9) return 1;
    return 0;
}

/* What there is to know of a token: is it white space, does it begin and end so; how many bytes and how many
 * characters of Han and kana; does it end a sentence, a line; has it a digit; brackets, quotes, line ends. */
typedef struct {
    unsigned char white, begins, ends, closes, breaks, digit, brackets;
    uint32_t length, han;
} Trait;

static int is_one_of(unsigned char byte, const char *set) { return byte && strchr(set, byte); }

static Trait trait_of(Slice text) {
    size_t n = text.length;
    Trait trait = {.white = 1, .begins = kind_of[text.data[0]] >= SPACE,
        .ends = kind_of[text.data[n - 1]] >= SPACE, .length = (uint32_t)n};
    for (size_t i = 0; i < n; i++) {
        trait.white &= kind_of[text.data[i]] >= SPACE;
        trait.han += (uint32_t)has_han(text.data + i, 1);
        trait.digit |= kind_of[text.data[i]] == DIGIT;
        trait.breaks |= text.data[i] == '\n';
        trait.brackets |= (unsigned char)is_one_of(text.data[i], "([{)]}\"\n");
    }
    while (n && is_one_of(text.data[n - 1], ")]}'\"")) n--;
    trait.closes = n && is_one_of(text.data[n - 1], ".!?");
    trait.closes |= n > 2 && !memcmp(text.data + n - 3, "\xE3\x80\x82", 3);
    return trait;
}

enum { LINE, STOP, NEITHER };        /* what a token may end: a line, a sentence */
#define OLD 1023                 /* bytes: what has lasted longer counts as this old */
#define FEW 70.0                 /* tokens: an age that was met so often goes half by itself, half by all */
#define DUE 0.8                  /* of what the ages know: the chain knows some of it */

/* How long the lines and the sentences of a text last, in bytes: a table of their lives, as Halley (1693)
 * made one of people's. Of those that have come to an age, how many end there?
 *     sentences of two tokens of one byte, 300 times, then of three, 100 times: due -1.9, 0.5, 0.6 */
typedef struct {
    Trait *traits;               /* [vocab] */
    unsigned char *ends;         /* [vocab]: LINE, STOP or NEITHER */
    int lines;                   /* each line is a document */
    /* for LINE and STOP, at each age: log(share of ends among the tokens that come at this age / among all),
     * FEW tokens being as all are. Ages of one int(8 sqrt(age)) are one: the older, the coarser */
    double due[2][OLD + 1];
} Lives;

/* How old the line and the sentence are after the next token; a new one is 1. */
static void lives_after(const Lives *lives, size_t lasted[2], uint32_t id) {
    const size_t size = lives->traits[id].length, what = lives->ends[id];
    lasted[LINE] = what == LINE ? 1 : lasted[LINE] + size < OLD ? lasted[LINE] + size : OLD;
    lasted[STOP] = what != NEITHER ? 1 : lasted[STOP] + size < OLD ? lasted[STOP] + size : OLD;
}

static void lives_make(Lives *lives, const Text *text, const Tokenizer *tok) {
    size_t (*came)[OLD + 1] = alloc(2, sizeof *came), (*ended)[OLD + 1] = alloc(2, sizeof *ended);
    *lives = (Lives){.traits = alloc(tok->vocab, sizeof(Trait)), .ends = alloc(tok->vocab, 1),
                     .lines = text->lines};
    for (size_t t = 0; t < tok->vocab; t++) {
        const Trait trait = lives->traits[t] = trait_of(token_text(tok, t));
        lives->ends[t] = trait.breaks ? LINE : trait.closes ? STOP : NEITHER;
    }
    for (size_t d = 0; d < text->n_docs; d++) {
        size_t lasted[2] = {1, 1};
        for (size_t i = text->start[d]; i < text->start[d + 1]; i++) {
            const unsigned char what = lives->ends[text->ids[i]];
            if (i > text->start[d] || !text->lines) {
                came[LINE][lasted[LINE]]++;
                came[STOP][lasted[STOP]]++;
                if (what != NEITHER) ended[what][lasted[what]]++;
            }
            lives_after(lives, lasted, text->ids[i]);
        }
    }
    for (int what = LINE; what <= STOP; what++) {
        size_t n_all = 0, k_all = 0, n_in[256] = {0}, k_in[256] = {0};
        for (size_t age = 0; age <= OLD; age++) {
            const size_t cell = (size_t)(8.0 * sqrt((double)age));
            n_all += came[what][age];
            k_all += ended[what][age];
            n_in[cell] += came[what][age];
            k_in[cell] += ended[what][age];
        }
        const double share = (double)k_all / (double)(n_all ? n_all : 1);
        for (size_t age = 0; age <= OLD && k_all; age++) {
            const size_t cell = (size_t)(8.0 * sqrt((double)age));
            lives->due[what][age] = log(((double)k_in[cell] + FEW * share) / ((double)n_in[cell] + FEW)
                                        / share);
        }
    }
    free(came); free(ended);
}

/* The words of a text: its pieces that are not white, without their space, sorted; and for each kind of byte
 * the tokens that go on with a word of that kind, sorted by their bytes. */
/* n of a text's word: how often it was met; of a token: its id */
typedef struct { const unsigned char *bytes; size_t length, n; } Word;
typedef struct {
    Word *words; size_t n;
    unsigned char *bytes;
    double trust;                /* the share of the text's words that were met more than once */
    int han;                     /* there are characters of Han or kana in the text */
    Word *inside[SPACE]; size_t n_inside[SPACE];
    const Tokenizer *tok;
    uint32_t *joins, *next;      /* of each token one that was joined of it and another after it; the next
                                  * such; NONE */
    Lives lives;                 /* how long its lines and sentences last */
} Words;

static int by_bytes(const void *a, const void *b) {
    const Word *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->length < y->length ? x->length : y->length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static int by_bytes_and_place(const void *a, const void *b) {
    const Word *x = *(const Word *const *)a, *y = *(const Word *const *)b;
    const int order = by_bytes(x, y);
    return order ? order : (x > y) - (x < y);
}

/* Of a word that is longer than any token the beginning will do.
 *     `to be,  or to` has to 2, be 1, `,` 1, or 1 */
static void words_add(Words *words, const unsigned char *piece, size_t length, size_t met) {
    const size_t space = piece[0] == ' ', n = length - space < LONGEST ? length - space : LONGEST;
    if (kind_of[piece[length - 1]] < SPACE && met) words->words[words->n++] = (Word){piece + space, n, met};
}

/* From the pieces that were encoded so far: the corpus and nothing else. */
static void words_make(Words *words, const Tokenizer *tok, const Text *text) {
    const size_t n_bytes = tok->bytes.length;
    size_t all = 0, once = 0, distinct = 0;
    *words = (Words){.words = alloc(tok->n_pieces, sizeof(Word)), .bytes = alloc(n_bytes, 1), .tok = tok};
    if (n_bytes) memcpy(words->bytes, tok->bytes.data, n_bytes);
    for (size_t i = 0; i < tok->n_pieces; i++)
        words_add(words, words->bytes + tok->pieces[i].at, tok->pieces[i].length, tok->pieces[i].met);
    qsort(words->words, words->n, sizeof *words->words, by_bytes);
    for (size_t i = 0; i < words->n; i++) {                         /* with a space and without: one word */
        Word *last = distinct ? &words->words[distinct - 1] : NULL;
        if (last && !by_bytes(last, &words->words[i])) last->n += words->words[i].n;
        else words->words[distinct++] = words->words[i];
    }
    words->n = distinct;
    for (size_t i = 0; i < distinct; i++) {
        all += words->words[i].n;
        once += words->words[i].n == 1;
    }
    lives_make(&words->lives, text, tok);
    words->joins = alloc(tok->vocab, sizeof *words->joins);
    words->next = alloc(tok->vocab, sizeof *words->next);
    for (size_t t = 0; t < tok->vocab; t++) words->joins[t] = NONE;
    for (size_t t = tok->base; t < tok->vocab; t++) {
        uint32_t *first = &words->joins[tok->pairs[2 * (t - tok->base)]];
        words->next[t] = *first;
        *first = (uint32_t)t;
    }
    words->han = has_han(words->bytes, n_bytes);
    words->trust = all ? 1.0 - (double)once / (double)all : 0.0;
    for (size_t kind = 0; kind < SPACE; kind++) words->inside[kind] = alloc(tok->vocab, sizeof(Word));
    for (size_t t = 0; t < tok->vocab; t++) {
        const Slice token = token_text(tok, t);
        const unsigned char kind = kind_of[token.data[0]];
        if (kind < SPACE) words->inside[kind][words->n_inside[kind]++] = (Word){token.data, token.length, t};
    }
    for (size_t kind = 0; kind < SPACE; kind++)
        qsort(words->inside[kind], words->n_inside[kind], sizeof(Word), by_bytes);
}

/* A copy that knows the words of a prompt too, but for the last, which may be cut short. */
static Words words_with(const Words *words, const unsigned char *prompt, size_t length) {
    Words more = *words;
    more.words = alloc(words->n + length, sizeof *more.words);
    memcpy(more.words, words->words, words->n * sizeof *more.words);
    for (size_t at = 0, end; at < length && (end = piece_end(prompt, at, length)) < length; at = end)
        words_add(&more, prompt + at, end - at, 1);
    if (more.n > words->n) qsort(more.words, more.n, sizeof *more.words, by_bytes);
    return more;
}

/* The first word that does not come before these bytes. */
static size_t words_from(const Words *words, const unsigned char *bytes, size_t length) {
    const Word wanted = {bytes, length, 0};
    size_t low = 0, high = words->n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (by_bytes(&words->words[mid], &wanted) < 0) low = mid + 1; else high = mid;
    }
    return low;
}

static int begins(const Word *word, const unsigned char *bytes, size_t length) {
    return word->length >= length && !memcmp(word->bytes, bytes, length);
}

/* UNKNOWN: no word begins so; BEGUN: some word does; WHOLE_WORD: it is a word. */
static int words_find(const Words *words, const unsigned char *bytes, size_t length) {
    const size_t at = words_from(words, bytes, length);
    if (at == words->n || !begins(&words->words[at], bytes, length)) return UNKNOWN;
    return words->words[at].length == length ? WHOLE_WORD : BEGUN;
}

/* f[x] = -NEVER for every x that begins with a token, and for it. */
static void words_part(const Words *words, uint32_t id, double *f) {
    f[id] = -NEVER;
    for (uint32_t longer = words->joins[id]; longer != NONE; longer = words->next[longer])
        words_part(words, longer, f);
}

/* f[x] = -NEVER for the tokens that cannot come after this one inside a word: encoding would have joined what
 * ends the one and what begins the other before it joined either to its own neighbour. Tokens count up in the
 * order of joining.
 *     learned from "low lower lowest" with 3 merges: after `l` not `o` */
static void words_parted(const Words *words, uint32_t id, double *f) {
    const Tokenizer *tok = words->tok;
    uint32_t before = (uint32_t)tok->vocab;                         /* what joined the end to its neighbour */
    for (;; before = id, id = tok->pairs[2 * (id - tok->base) + 1]) {
        for (uint32_t joined = words->joins[id]; joined != NONE; joined = words->next[joined]) {
            if (joined >= before) continue;
            const uint32_t begins = tok->pairs[2 * (joined - tok->base) + 1];
            f[begins] = -NEVER;
            for (uint32_t longer = words->joins[begins]; longer != NONE; longer = words->next[longer])
                if (longer >= joined) words_part(words, longer, f);
        }
        if (id < tok->base) return;
    }
}

/* The word under way in a text, and what may follow it; and how long the line and the sentence have lasted.
 * */
typedef struct {
    const Words *words;
    uint32_t last;               /* token */
    size_t lasted[2], length;
    int known;                   /* what words_find says of it */
    int free;                    /* it is none: a text without spaces */
    unsigned char word[2 * LONGEST + 2];           /* without its space; between words it is empty */
} Spelling;

static void spelling_clear(Spelling *sp) {                          /* a new document */
    sp->lasted[LINE] = sp->lasted[STOP] = 1;
    sp->length = 0;
    sp->known = WHOLE_WORD;
    sp->free = 0;
}

/* Is the last character of Han or kana? */
static int spelling_han(const Spelling *sp) {
    const size_t tail = sp->length < 3 ? sp->length : 3;
    return has_han(sp->word + sp->length - tail, tail);
}

/* Would a byte go on with the word under way? After a character of Han or kana none does that begins another.
 * */
static int spelling_goes_on(const Spelling *sp, unsigned char byte) {
    return sp->length && kind_of[byte] == kind_of[sp->word[0]]
        && ((byte >= 0x80 && byte < 0xC0) || !spelling_han(sp));
}

static void spelling_write(Spelling *sp, uint32_t id) {
    const Slice text = token_text(sp->words->tok, id);
    sp->last = id;
    lives_after(&sp->words->lives, sp->lasted, id);
    for (size_t i = 0; i < text.length; i++) {
        if (!spelling_goes_on(sp, text.data[i])) sp->length = 0;
        if (kind_of[text.data[i]] < SPACE) sp->word[sp->length++] = text.data[i];
        /* no word is longer: its end will do */
        if (sp->length > LONGEST + 1) memmove(sp->word, sp->word + 1, --sp->length);
    }
    sp->known = sp->length ? words_find(sp->words, sp->word, sp->length) : WHOLE_WORD;
    sp->free = sp->length > LONGEST_WORD || spelling_han(sp);
}

/* May these bytes, a token's, come next? They must go on like a word, or begin like one after a whole one. A
 * word that the corpus does not have, in the prompt, is whole. */
static int spelling_allows(Spelling *sp, Slice text) {
    const size_t space = kind_of[text.data[0]] >= SPACE, core = text.length - space;
    if (spelling_goes_on(sp, text.data[0])) {
        memcpy(sp->word + sp->length, text.data, text.length);
        return sp->free || (sp->words->han && has_han(text.data, text.length)) || words_find(sp->words,
                sp->word, sp->length + text.length) != UNKNOWN;
    }
    if (sp->known == BEGUN && !sp->free) return 0;
    return !core || kind_of[text.data[space]] >= SPACE
        || (sp->words->han && has_han(text.data + space, core)) || words_find(sp->words, text.data + space,
                core) != UNKNOWN;
}

/* f[x] for every x that goes on with the word under way. */
static void spelling_endings(const Spelling *sp, double *f) {
    const Words *words = sp->words;
    const double on = -(BREAK * words->trust);
    const Word *inside = words->inside[kind_of[sp->word[0]]];
    const size_t n = words->n_inside[kind_of[sp->word[0]]];
    size_t at = words_from(words, sp->word, sp->length);
    /* both lists are sorted: one walk through the two */
    for (size_t i = 0; i < n; i++) {
        Word rest = {NULL, 0, 0};
        for (; at < words->n && begins(&words->words[at], sp->word, sp->length); at++) {
            rest = (Word){words->words[at].bytes + sp->length, words->words[at].length - sp->length, 0};
            if (by_bytes(&rest, &inside[i]) >= 0) break;
            rest.length = 0;
        }
        f[inside[i].n] = rest.length && begins(&rest, inside[i].bytes, inside[i].length) ? 0.0 : on;
    }
}

/* f[vocab]: what each token would cost the word under way, in nats, 0 or negative: times trust, for where
 * many words of a text are new (Good 1953: as often as one was met once), the next may be new too. In a text
 * that is heard what ends a line or a sentence gains where many that have lasted as long end, and the tokens
 * that encoding would have joined cannot come. Who speaks may go on with a prompt that was cut anywhere, and
 * has rules for ends; but with `lines` they come in time too. */
static void spelling_spelled(const Spelling *sp, double *f, int heard) {
    const Words *words = sp->words;
    const double end = sp->known == BEGUN && !sp->free ? -(STUB * words->trust) : 0.0;
    for (size_t x = 0; x < words->tok->vocab; x++) f[x] = end;
    if (sp->length && sp->known != UNKNOWN && !sp->free) spelling_endings(sp, f);
    for (size_t x = 0; (heard || words->lives.lines) && x < words->tok->vocab; x++) {
        const unsigned char what = words->lives.ends[x];
        if (what != NEITHER) f[x] += DUE * words->lives.due[what][sp->lasted[what]];
    }
    if (sp->length && heard) words_parted(words, sp->last, f);
}

#define LONG 16                  /* bytes: in a script without spaces so many count as a word; a character
                                  * of Han or kana is one */
#define SENTENCE 5               /* words: a sentence that has as many is not short */

/* Reads a text token by token, as whoever speaks must: in words and sentences. */
typedef struct {
    const Tokenizer *tok;
    const Trait *traits;         /* [vocab] */
    uint32_t words;              /* how many have begun; what follows white space begins one */
    uint32_t spoken;             /* the same since the sentence began */
    uint32_t nested;             /* how many brackets are open, and 8 more within quotes; a line's end
                                  * closes all */
    size_t length;
    int apart, ended;            /* what comes begins a word, a sentence */
} Reader;

static void reader_clear(Reader *reader) {
    *reader = (Reader){.tok = reader->tok, .traits = reader->traits, .apart = 1, .ended = 1};
}

static void reader_read(Reader *reader, uint32_t id) {
    const Trait trait = reader->traits[id];
    reader->length += trait.length;
    if (!trait.white) {
        if (trait.han || trait.begins || reader->apart || reader->length > LONG) {
            const uint32_t begun = trait.han ? trait.han : 1;
            reader->words += begun;
            reader->spoken = (reader->ended ? 0 : reader->spoken) + begun;
            reader->length = trait.length;
        }
        reader->ended = trait.closes;
    }
    reader->apart = trait.ends;
    reader->ended |= trait.breaks;
    const Slice text = token_text(reader->tok, id);
    for (size_t i = 0; trait.brackets && i < text.length; i++) {
        const uint32_t open = reader->nested % 8;
        if (text.data[i] == '\n') reader->nested = 0;
        else if (text.data[i] == '"') reader->nested ^= 8;
        else if (is_one_of(text.data[i], "([{")) reader->nested += open < 7;
        else if (is_one_of(text.data[i], ")]}")) reader->nested -= open > 0;
    }
}

#define SHARED 2                 /* words that a good junction shares with where it goes */
#define JUNCTION 64              /* tokens: words that take more share nothing */
#define FAR 20                   /* words: as far as places_until_fork looks */

/* Where a text has what it has: the index a speaker goes by. A place is a position in ids: what it follows,
 * what follows it. */
typedef struct {
    const uint32_t *ids; size_t n;
    const Trait *traits;         /* [vocab] */
    uint32_t *bare;              /* [vocab]: the token without its space: " The" begins a sentence as "The"
                                  * begins a paragraph */
    uint32_t *same;              /* [n]: the text's tokens as those */
    Map newest;                  /* (a, b) -> the newest place that an a and a b stand before; none is the
                                  * text's end */
    uint32_t *older;             /* [n]: the place before it of the same pair, 0: none */
    uint32_t *words, *spoken;    /* [n + 1], as the next two: what a Reader knows at each place */
    unsigned char *nested, *ended;
    uint32_t *home;              /* [n + 1]: the words at the next end of a sentence */
    unsigned char *fork;         /* [n]: is this a place to leave the text? */
    uint32_t *leave;             /* [n + 1]: the words at the next one */
} Places;

/* Do as many of the last tokens stand before two places, the same ones within as many brackets? */
static int places_alike(const Places *places, const uint32_t *start, size_t a, size_t b) {
    return places->nested[a] == places->nested[b] && a - start[a] == b - start[b]
        && !memcmp(places->same + start[a], places->same + start[b], (a - start[a]) * sizeof *places->same);
}

/* found[n + 1]: the words at the next place that is marked[n], or at the text's end. */
static void places_next_words(const Places *places, const unsigned char *marked, uint32_t *found) {
    found[places->n] = places->words[places->n];
    for (size_t at = places->n; at-- > 0;) found[at] = marked[at] ? places->words[at] : found[at + 1];
}

/* Where to leave the text: where a sentence ends; and where another place shares SHARED words with it, stands
 * within as many brackets, and goes on otherwise. Fills fork. */
static void places_find_forks(Places *places) {
    const uint32_t *words = places->words, *same = places->same;
    const uint32_t many = NONE - 1;                        /* it goes on in two ways */
    const size_t n = places->n;
    /* of each place: where what it shares starts; the first place like it, NONE: it shares too little; of a
     * first place: how it and those like it go on */
    uint32_t *start = alloc(n, sizeof *start), *first = alloc(n, sizeof *first),
        *next = alloc(n, sizeof *next);
    Map index;
    map_make(&index, n);
    for (size_t at = 0, from = 0; at < n; at++) {
        while (from + 2 < at && words[at] - words[from + 1] >= SHARED) from++;
        start[at] = (uint32_t)from;
        first[at] = NONE;
        if (words[at] - words[from] < SHARED || at - from < 2 || at - from > JUNCTION) continue;
        uint64_t key = 14695981039346656037u + places->nested[at];        /* FNV-1a, of numbers */
        for (size_t i = from; i < at; i++) key = (key ^ (same[i] + 1)) * 1099511628211u;
        uint32_t *slot = map_at(&index, key);
        while (*slot != NONE && !places_alike(places, start, *slot, at)) slot = map_at(&index, ++key);
        if (*slot == NONE) {
            *slot = (uint32_t)at;
            next[at] = same[at];
        } else if (next[*slot] != same[at])
            next[*slot] = many;
        first[at] = *slot;
    }
    for (size_t at = 0; at < n; at++)
        places->fork[at] = places->ended[at] || (first[at] != NONE && next[first[at]] == many);
    free(start); free(first); free(next);
    map_free(&index);
}

/* How many words one must say from a place on to come to one where the text forks; FAR at most. */
static uint32_t places_until_fork(const Places *places, size_t place) {
    const uint32_t far = places->leave[place + 1] - places->words[place];
    return far < FAR ? far : FAR;
}

/* How many words one must say from a place on to come to the end of its sentence. */
static uint32_t places_until_home(const Places *places, size_t place) {
    return places->home[place + 1] - places->words[place];
}

static void places_make(Places *places, const Text *text, Tokenizer *tok, const Trait *traits) {
    const size_t n = text->n;
    Ids bare = {0};
    *places = (Places){.ids = text->ids, .n = n, .older = alloc(n, sizeof(uint32_t)), .fork = alloc(n, 1),
                       .leave = alloc(n + 1, sizeof(uint32_t)), .home = alloc(n + 1, sizeof(uint32_t)),
                       .traits = traits,
                       .bare = alloc(tok->vocab, sizeof(uint32_t)), .same = alloc(n, sizeof(uint32_t)),
                       .words = alloc(n + 1, sizeof(uint32_t)), .spoken = alloc(n + 1, sizeof(uint32_t)),
                       .nested = alloc(n + 1, 1), .ended = alloc(n + 1, 1)};
    map_make(&places->newest, n / 2);
    places->ended[0] = 1;
    for (uint32_t id = 0; id < tok->vocab; id++) {
        const Slice token = token_text(tok, id);
        places->bare[id] = id;
        if (token.length < 2 || token.data[0] != ' ' || token.data[1] < 'A' || token.data[1] > 'Z') continue;
        bare.n = 0;
        tokenizer_encode(tok, &bare, token.data + 1, token.length - 1);
        if (bare.n == 1) places->bare[id] = bare.ids[0];
    }
    free(bare.ids);
    for (size_t i = 0; i < n; i++) places->same[i] = places->bare[text->ids[i]];
    Reader reader = {.tok = tok, .traits = places->traits};
    reader_clear(&reader);
    for (size_t i = 0; i < n; i++) {
        reader_read(&reader, text->ids[i]);
        places->words[i + 1] = reader.words;
        places->spoken[i + 1] = reader.spoken;
        places->nested[i + 1] = (unsigned char)reader.nested;
        places->ended[i + 1] = (unsigned char)reader.ended;
        if (!i || i + 1 == n) continue;
        uint32_t *newest = map_at(&places->newest, pair_key(places->same[i - 1], places->same[i]));
        places->older[i + 1] = *newest == NONE ? 0 : *newest;
        *newest = (uint32_t)i + 1;
    }
    places_find_forks(places);
    places_next_words(places, places->fork, places->leave);
    places_next_words(places, places->ended, places->home);
}

/* The newest place that a pair stands before, 0: none. */
static uint32_t places_after(const Places *places, uint32_t a, uint32_t b) {
    const uint32_t newest = map_get(&places->newest, pair_key(a, b));
    return newest == NONE ? 0 : newest;
}

#define COMMON 400               /* a word more frequent than one in so many, */
#define EVEN 2.5                 /* whose gaps' mean square is under so many times their mean's square (2:
                                  * chance), means nothing */
/* of a tree: how many are nearest to a word, and to each of them */
static const size_t BRANCHES[3] = {5, 3};

/* Whole words and the company they keep, counted as the trace of tokens is. Two words are near where the same
 * words stand before and after them: the cosine of what they keep, 0 to 1. */
typedef struct {
    Word *words;                 /* in order; n: the number of the name */
    size_t n_words, n;
    Word *name;                  /* [n]: sorted */
    Table after, before;         /* who stands after a word, as positive PMI, and who before it */
    double *square, *near;       /* [n] each: of what a word keeps; how near all are to one */
    size_t *met;
    unsigned char *common, *shown;
} Company;

/* The words of letters in data, in order; small and capital letters are alike. */
static Word *letters_of(const unsigned char *data, size_t length, size_t *n) {
    unsigned char *small = alloc(length, 1);
    Word *words = alloc(length, sizeof *words);
    *n = 0;
    for (size_t i = 0; i < length; i++) small[i] = data[i] >= 'A' && data[i] <= 'Z'
        ? (unsigned char)(data[i] + 32) : data[i];
    for (size_t at = 0, end; at < length; at = end) {
        const size_t space = small[at] == ' ';
        end = piece_end(small, at, length);
        if (kind_of[small[end - 1]] == LETTER)
            words[(*n)++] = (Word){small + at + space, end - at - space, 0};
    }
    return words;
}

/* The number of a word, or n. */
static size_t company_number(const Company *c, const Word *word) {
    const Word *found = c->n ? bsearch(word, c->name, c->n, sizeof *word, by_bytes) : NULL;
    return found ? (size_t)(found - c->name) : c->n;
}

static void company_make(Company *c, const unsigned char *data, size_t length) {
    memset(c, 0, sizeof *c);
    c->words = letters_of(data, length, &c->n_words);
    c->name = alloc(c->n_words, sizeof *c->name);
    memcpy(c->name, c->words, c->n_words * sizeof *c->name);
    qsort(c->name, c->n_words, sizeof *c->name, by_bytes);
    for (size_t i = 0; i < c->n_words; i++) if (!i || by_bytes(&c->name[c->n - 1], &c->name[i]))
        c->name[c->n++] = c->name[i];
    const size_t n = c->n, start[2] = {0, c->n_words};
    uint32_t *ids = alloc(c->n_words, sizeof *ids);
    double weight[ROOM_FOR_TRACE + 1], *gaps = alloc(n, sizeof *gaps);
    size_t *first = alloc(n, sizeof *first), *last = alloc(n, sizeof *last);
    c->square = alloc(n, sizeof *c->square);
    c->near = alloc(n, sizeof *c->near);
    c->met = alloc(n, sizeof *c->met);
    c->common = alloc(n, 1);
    c->shown = alloc(n, 1);
    for (size_t at = 0; at < c->n_words; at++) {
        const size_t a = company_number(c, &c->words[at]);
        const double gap = c->met[a] ? (double)(at - last[a]) : 0.0;
        ids[at] = (uint32_t)a;
        gaps[a] += gap * gap;
        last[a] = at;
        if (!c->met[a]++) first[a] = at;
    }
    /* the text is a ring: after the last place comes the first */
    for (size_t a = 0; a < n; a++) {
        const double gap = (double)(first[a] + c->n_words - last[a]), all = (double)c->n_words;
        gaps[a] += gap * gap;
        c->common[a] = c->met[a] > 8 && c->met[a] * COMMON > c->n_words && gaps[a] * (double)c->met[a] < EVEN
            * all * all;
    }
    for (size_t d = 1; d <= ROOM_FOR_TRACE; d++) weight[d] = WHOLE / (double)d;
    count_pairs(&c->after, &(Text){ids, c->n_words, start, 1, 0}, n, weight, ROOM_FOR_TRACE, EVERY, 1.0);
    pmi(&c->after);
    c->before = table_transposed(&c->after);
    for (size_t side = 0; side < 2; side++) {
        const Table *table = side ? &c->before : &c->after;
        for (size_t a = 0; a < n; a++)
            for (size_t i = table->first[a]; i < table->first[a + 1]; i++)
                c->square[a] += table->value[i] * table->value[i];
    }
    free(ids); free(gaps); free(first); free(last);
}

/* Up to `most` words that carry meaning and are not shown yet, the nearest first. Returns how many. */
static size_t company_nearest(Company *c, size_t a, size_t *found, double *similar, size_t most) {
    size_t n = 0;
    zero(c->near, c->n);
    for (size_t side = 0; side < 2; side++) {
        const Table *table = side ? &c->before : &c->after, *back = side ? &c->after : &c->before;
        for (size_t i = table->first[a]; i < table->first[a + 1]; i++)
            for (size_t k = table->column[i], j = back->first[k]; j < back->first[k + 1]; j++)
                c->near[back->column[j]] += table->value[i] * back->value[j];
    }
    for (size_t x = 0; x < c->n; x++)
        c->near[x] = c->near[x] > 0.0 && c->met[x] > 2 && !c->common[x] && !c->shown[x]
            ? c->near[x] / sqrt(c->square[a] * c->square[x]) : 0.0;
    for (; n < most; n++) {
        size_t best = 0;
        for (size_t x = 1; x < c->n; x++) if (c->near[x] > c->near[best]) best = x;
        if (!(c->near[best] > 0.0)) break;
        found[n] = best;
        similar[n] = c->near[best];
        c->near[best] = 0.0;
        c->shown[best] = 1;
    }
    return n;
}

/* Writes the lines under a word: the sizes[0] nearest, under each of them the sizes[1] nearest to it, ..;
 * bars: of the levels above. */
static void company_branch(Company *c, size_t a, const char *bars, const size_t *sizes,
                           void (*write)(const unsigned char *, size_t)) {
    size_t at[8];
    double similar[8];
    char text[64];
    const size_t n = company_nearest(c, a, at, similar, *sizes);
    for (size_t i = 0; i < n; i++) {
        write((unsigned char *)text, (size_t)sprintf(text, "%s%s", bars, i + 1 < n ? "├── " : "└── "));
        write(c->name[at[i]].bytes, c->name[at[i]].length);
        write((unsigned char *)text, (size_t)sprintf(text, "  %.2f\n", similar[i]));
        sprintf(text, "%s%s", bars, i + 1 < n ? "│   " : "    ");
        if (sizes[1]) company_branch(c, at[i], text, sizes + 1, write);
    }
}

/* Writes a tree for each of the words that carries meaning (if none does, for each): who is nearest to it,
 * two levels deep. */
static void company_tree(Company *c, const unsigned char *prompt, size_t length,
                         void (*write)(const unsigned char *, size_t)) {
    size_t n_words, telling = 0;
    Word *words = letters_of(prompt, length, &n_words);
    for (size_t i = 0; i < n_words; i++) telling += (words[i].n = company_number(c, &words[i]))
        == c->n || !c->common[words[i].n];
    const Word **sorted = alloc(n_words, sizeof *sorted);
    unsigned char *again = alloc(n_words, 1);              /* it was told of before */
    for (size_t i = 0; i < n_words; i++) sorted[i] = &words[i];
    qsort(sorted, n_words, sizeof *sorted, by_bytes_and_place);
    for (size_t i = 1; i < n_words; i++) again[sorted[i] - words] = !by_bytes(sorted[i - 1], sorted[i]);
    for (size_t i = 0; i < n_words; i++) {
        const int known = words[i].n < c->n;
        if (again[i] || (telling && known && c->common[words[i].n])) continue;
        write(words[i].bytes, words[i].length);
        write((const unsigned char *)(known ? "\n" : "  (not in the corpus)\n"), known ? 1 : 22);
        if (!known) continue;
        memset(c->shown, 0, c->n);
        c->shown[words[i].n] = 1;
        company_branch(c, words[i].n, "", BRANCHES, write);
    }
    free(words); free(sorted); free(again);
}

/* ---------------------------------------------------------------------------------------------
 * III  TRANSFORMER: content heads, RRPRAM heads, one residual stream (Vaswani and others 2017)
 *
 * A token becomes a vector x, the residual stream; each part reads it and adds to it; the output head turns
 * the last x into logits, a score for each token. At place i of the window, with n = rmsnorm(x):
 *
 *     first          x_i = wte[token] + wpe[i]                                    [embd]
 *     each layer     x = x + concat(heads) Wo                                     what its heads bring, then
 *                    x = x + relu(n W_up) W_down                                  the MLP
 *     content head   a_ij = (n_i Wq) . (n_j Wk) / sqrt(head_dim)   for j <= i     what is relevant
 *     RRPRAM head    a_ij = n_i . Wr[:, j]                         for j <= i     which places form a pattern
 *     either brings  softmax over j of a_ij, times n_j Wv                         [head_dim]
 *     last           logits = rmsnorm(x) W_head                                   [vocab]
 *
 * In a content head place i asks with its query, n_i Wq, and each place j answers with its key, n_j Wk: the
 * better they fit, the more of j's value, n_j Wv, comes to i.
 *
 * RRPRAM is the Recursive Resonant Pattern Recognition Attention Mechanism: its scores do not compare two
 * tokens; they depend on x_i and on the number j alone, not on the token there (Wr has a column for each
 * place). With sines and cosines of the place in x_i and in Wr, it looks at one distance back: chapter IV.
 *
 * By default (Shape) there are 2 layers of 2 content and 2 RRPRAM heads, x is 48 numbers wide (embd), a head
 * 12 (head_dim, embd / heads), the MLP 192, and a window has 64 places (context).
 */
typedef struct { size_t layers, embd, content, rrpram, context, mlp; } Shape;

typedef struct {
    double *q, *k, *v;           /* content heads: [embd][content_dim] each */
    double *r, *rv;              /* RRPRAM heads: [rrpram][embd][context], and their values
                                  * [embd][rrpram_dim] */
    double *out;                 /* [embd][embd] */
    double *up, *down;           /* [embd][mlp * embd], [mlp * embd][embd] */
} Layer;

typedef struct {
    Shape shape;
    size_t vocab, head_dim, content_dim, rrpram_dim, n_params;
    double *params;              /* one block, in the order of the pointers below */
    double *wte, *wpe;           /* [vocab][embd], [context][embd] */
    Layer *layer;                /* [layers] */
    double *head;                /* [embd][vocab] */
} Transformer;

static void transformer_make(Transformer *net, Shape shape, size_t vocab) {
    const size_t embd = shape.embd, hidden = shape.mlp * embd, d = embd / (shape.content + shape.rrpram);
    *net = (Transformer){.shape = shape, .vocab = vocab, .head_dim = d, .content_dim = shape.content * d,
        .rrpram_dim = shape.rrpram * d};
    const size_t sizes[8] = {embd * net->content_dim, embd * net->content_dim, embd * net->content_dim,
                             shape.rrpram * embd * shape.context, embd * net->rrpram_dim, embd * embd,
                                 embd * hidden, hidden * embd};
    size_t a_layer = 0;
    for (size_t i = 0; i < 8; i++) a_layer += sizes[i];
    /* the one size that 32 bits may not hold: of the others none is over 2^31 numbers, and alloc() checks the
     * bytes */
    const uint64_t n_params = (uint64_t)vocab * embd * 2 + (uint64_t)shape.context * embd
        + (uint64_t)shape.layers * a_layer;
    if (n_params > SIZE_MAX / 16) fail("out of memory");
    net->n_params = (size_t)n_params;
    net->params = alloc(net->n_params, sizeof *net->params);
    net->layer = alloc(shape.layers, sizeof *net->layer);
    double *at = net->params;
    net->wte = at;
    net->wpe = at += vocab * embd;
    at += shape.context * embd;
    for (size_t l = 0; l < shape.layers; l++) {
        Layer *layer = &net->layer[l];
        double **part[8] = {&layer->q, &layer->k, &layer->v, &layer->r, &layer->rv, &layer->out, &layer->up,
            &layer->down};
        for (size_t i = 0; i < 8; i++) {
            *part[i] = at;
            at += sizes[i];
        }
    }
    net->head = at;
}

/* The text that the transformer sees, going through it token by token, keys and values cached; chapter VII
 * does the same for all positions at once. */
typedef struct {
    const Transformer *net;
    size_t n;                    /* tokens in the window, at most context */
    uint32_t *ids;               /* [context] */
    double *keys;                /* [layers][content_dim][context]: a position is a column, so scores are a
                                  * matvec */
    double *values;              /* [layers][context][embd]: of the content heads, then of the RRPRAM heads */
    double *x, *normed, *query, *mixed, *hidden, *logits;
    double *seen;                /* [layers][heads][context]: how the newest token's attention is shared
                                  * among the window's tokens */
} Window;

static void window_make(Window *w, const Transformer *net) {
    const Shape s = net->shape;
    const size_t d = sizeof(double), heads = s.content + s.rrpram;
    *w = (Window){.net = net, .ids = alloc(s.context, sizeof *w->ids), .x = alloc(s.embd, d),
                  .keys = alloc(s.layers * net->content_dim * s.context, d),
                  .values = alloc(s.layers * s.context * s.embd, d), .normed = alloc(s.embd, d),
                  .query = alloc(s.embd, d), .mixed = alloc(s.embd, d), .hidden = alloc(s.mlp * s.embd, d),
                  .logits = alloc(net->vocab, d), .seen = alloc(s.layers * heads * s.context, d)};
}

static void window_free(Window *w) {
    free(w->ids); free(w->keys); free(w->values); free(w->x); free(w->normed); free(w->query); free(w->mixed);
    free(w->seen); free(w->hidden); free(w->logits);
}

/* y[m] = x[embd] w[embd][m] */
static void window_times(const Window *w, double *y, const double *x, const double *matrix, size_t m) {
    zero(y, m);
    matvec(y, x, matrix, w->net->shape.embd, m, m);
}

/* What a layer's heads bring to the newest token from the window's places: w->normed [embd] -> w->mixed
 * [embd]. */
static void window_attend(Window *w, size_t l) {
    const Transformer *net = w->net;
    const Shape s = net->shape;
    const Layer *layer = &net->layer[l];
    const size_t embd = s.embd, context = s.context, d = net->head_dim, content_dim = net->content_dim,
        n = w->n, heads = s.content + s.rrpram;
    const double root = sqrt((double)d);
    double *keys = w->keys + l * content_dim * context, *values = w->values + l * context * embd,
        *value = values + (n - 1) * embd;
    /* this position's key, before it is filed */
    window_times(w, w->mixed, w->normed, layer->k, content_dim);
    for (size_t i = 0; i < content_dim; i++) keys[i * context + n - 1] = w->mixed[i];
    window_times(w, w->query, w->normed, layer->q, content_dim);
    window_times(w, value, w->normed, layer->v, content_dim);
    window_times(w, value + content_dim, w->normed, layer->rv, net->rrpram_dim);
    zero(w->mixed, embd);
    for (size_t h = 0; h < heads; h++) {
        double *score = w->seen + (l * heads + h) * context;              /* [n] */
        zero(score, n);
        if (h < s.content) {                                             /* q_i . k_j / sqrt(d) */
            matvec(score, w->query + h * d, keys + h * d * context, d, n, context);
            for (size_t j = 0; j < n; j++) score[j] /= root;
        } else                                                           /* n_i . Wr[:, j] */
            matvec(score, w->normed, layer->r + (h - s.content) * embd * context, embd, n, context);
        softmax(score, n);
        /* [n], [n][head_dim] -> [head_dim] */
        matvec(w->mixed + h * d, score, values + h * d, n, d, embd);
    }
}

/* One token through all layers at the window's next position; the residual stream is left in w->x. */
static void window_forward(Window *w, uint32_t id) {
    const Transformer *net = w->net;
    const size_t embd = net->shape.embd, hidden = net->shape.mlp * embd;
    for (size_t i = 0; i < embd; i++) w->x[i] = net->wte[id * embd + i] + net->wpe[w->n * embd + i];
    w->ids[w->n++] = id;
    for (size_t l = 0; l < net->shape.layers; l++) {
        const Layer *layer = &net->layer[l];
        /* a transformer may have been silenced: chapter VIII */
        if (layer->out) {
            rmsnorm(w->normed, w->x, embd);
            window_attend(w, l);
            matvec(w->x, w->mixed, layer->out, embd, embd, embd);
        }
        rmsnorm(w->normed, w->x, embd);
        window_times(w, w->hidden, w->normed, layer->up, hidden);
        for (size_t i = 0; i < hidden; i++) if (!(w->hidden[i] > 0.0)) w->hidden[i] = 0.0;
        matvec(w->x, w->hidden, layer->down, hidden, embd, embd);
    }
}

/* The next token of a text of any length. When the context is full it slides: the newest half of it becomes
 * the first positions, computed anew, so that the cost a token stays constant. */
static void window_push(Window *w, uint32_t id) {
    const size_t context = w->net->shape.context, half = context / 2;
    if (w->n == context) {
        w->n = 0;
        for (size_t i = 0; i < half; i++) window_forward(w, w->ids[context - half + i]);
    }
    window_forward(w, id);
}

/* [vocab]: what the transformer says of the next token. */
static const double *window_logits(Window *w) {
    rmsnorm(w->normed, w->x, w->net->shape.embd);
    window_times(w, w->logits, w->normed, w->net->head, w->net->vocab);
    return w->logits;
}

/* Second reading of III */

/* Random weights instead of the ghost of chapter IV: what training usually starts from. */
static void randomize(Transformer *net, uint64_t seed) {
    Rng rng = {seed};
    for (size_t i = 0; i < net->n_params; i++)
        net->params[i] = (rng_uniform(&rng) - 0.5) / sqrt((double)net->shape.embd);
}

/* ---------------------------------------------------------------------------------------------
 * IV  SEEDING: the ghost becomes flesh
 *
 * The ghost is a transformer that nobody trained: what its embeddings and heads know answers questions that
 * the counts can answer, by least squares or one step of Newton's method; the MLP adds nothing yet. First,
 * what stands where? The residual stream is divided into rooms (coordinates at width 48):
 *
 *     |             follow             | before | place | 1 | f |
 *     0                               33       42      46  47  48
 *
 * follow: x, who follows the token; before: empty, until a head writes there who stood before; place: two
 * sines and two cosines of it; 1: a constant, through whose row a matrix can add anything fixed or take it
 * off, such as a mean; f: what fills every embedding up to one length, so that RMSNorm multiplies all by the
 * same number (what the heads add makes a row a little longer).
 *
 * The first question: who follows whom (wte, head)? In this chapter x[a] is a vector for each token a, what
 * the follow room of wte holds, and h[b] column b of the output head's rows for that room. Its row for the
 * constant adds log unigram(b), so the logit of b is x[a] . h[b] + log unigram(b): a bigram, and it is to
 * come close to the Kneser-Ney bigram P(b | a). The target is t = log(P(b | a) / unigram(b)), up to a
 * constant, one for each a, which softmax does not see; call it c. Small misses cost nats (units of -log p):
 * about half the mean of their squares, b drawn from the bigram and their own mean taken off. So each x[a]
 * is
 *
 *     argmin over x and c of   sum over b of w_b (x . h[b] + c - t_b)^2 + RIDGE |x|^2
 *
 * (weighted least squares), where w_b is how often the bigram expects b after a. Where the slope is 0, c
 * takes the weighted mean of the misses off: with m the weighted mean of h, h[b] - m stands for h[b] in what
 * remains, the normal equations (Gauss 1809; vectors as columns, I the identity)
 *
 *     (sum over b of w_b (h[b] - m)(h[b] - m)^T + RIDGE I) x = sum over b of w_b t_b (h[b] - m)
 *
 * h begins as t's leading singular vectors (subspace), the few directions that rebuild t best; x, h and x
 * are then fitted in turn by regress() (alternating least squares: Hu, Koren and Volinsky 2008), in a few
 * rounds of conjugate gradients; even() makes all directions weigh alike. Constants of h's fit are dropped.
 *
 * The second question: what does a token further back tell that the bigram does not know (RRPRAM heads)? The
 * head for the distance d looks at the token d before the one to come, d - 1 before the newest: its Wr holds
 * the waves of later places, so that at place i of the window the score of place j,
 *
 *     a_ij = loud * waves(i) . waves(j + d - 1),      is largest where j = i - (d - 1)
 *
 * for the product of two places' waves is a sum of cosines of their distance. loud lets the next best place
 * lose SHARPNESS (6) nats, so that 99 of 100 parts go to one place (if the window has it: its first token
 * sees itself). What a head writes lands in the follow room, which the output head multiplies by h[b]. So it
 * can add x_d P h[b]^T to the logit of b (vectors as rows from here on), x_d the x of the token there, less
 * the mean of all, P a matrix and no probability. Which P? Newton's step goes from P = 0 to the bottom of
 * the parabola that has the loss's slope there (of -log softmax: what is expected less what came) and its
 * curvature (the covariance of the h[b] expected: the mean of (h[b] - e)^T (h[b] - e), e their mean).
 *
 *     loss(P) = - the mean over places of log softmax(log bigram + what nearer heads add + x_d P h^T)[next]
 *     gradient  at 0:  -G,  G = the mean of x_d^T (h[next] - e),  e what is expected: the mean of h by the
 *                      bigram, plus x_k P_k C, how far the head for each nearer distance k shifts it
 *     curvature at 0:  the mean of x_d^T x_d P Cov(h | bigram), nearly Cov(x) P C,  C the mean of that Cov
 *     Newton:  Cov(x) P C = G,  so  P = Cov(x)^-1 G C^-1    (Cov(x) and C mixed with I: SHRINK)
 *
 * Cut to as many directions as a head has columns, the strongest (svd, singular value decomposition: a sum
 * of u_k s_k v_k^T, the largest s_k first), P = u diag(s) v^T: the head reads x_d u and writes it times s
 * v^T.
 *
 * The third question: what stood here the last time (content heads)? Trained transformers of two layers or
 * more form this circuit early: induction heads (Elhage and others 2021, Olsson and others 2022). The first
 * RRPRAM head, that for d = 2, also writes what it reads, (x - mean) u of the token before, into the room
 * `before`, as far as it goes. From layer 2 on, content heads ask, with the same u, where `before` is like
 * the newest token (x_i: `follow` at i; power: the mean square of a number in `before`; RELEVANCE: 1.5):
 *
 *     q_i = (x_i - mean) u RELEVANCE / power,  k_j = before_j,  a_ij = q_i . k_j / sqrt(head_dim)
 *
 *     text      so | the | ghost | speaks | of     | the | ?
 *     before    so | so  | the   | ghost  | speaks | of        the last `the` finds `ghost`: after a `the`
 *
 * What stands there came after such a token, and its like may come again: RRPRAM heads look by distance,
 * content heads by likeness. A content head does not copy: for x_d comes the mean of x over all places,
 * weighed by its attention, and what to say of it is Newton's step again, CHORUS (0.22) of the way. No table
 * of pairs tells what such a head finds: G and the covariances are taken where it is tried, at LESSONS
 * places of the corpus. (Follow by then holds more than x, what layer 1 added; the step takes it for x.)
 *
 * By default (REACH is 4) layer 1 has d = 2, which writes `before`, and d = 3; layer 2 has d = 4 and two
 * content heads, which share the answer. The other three heads are silent, to be trained.
 */
#define WIDEST 64                /* coordinates of follow: more would fit accidents; the rest is free for
                                  * training */
#define NEAR 3e-4                /* conjugate gradients stop at this share of the squared target */
#define RIDGE 0.1                /* added to each square, so that a row counted little stays near 0 */
#define SIZE 0.2                 /* of the residual stream: RMSNorm undoes it; what is small training turns
                                  * sooner */
#define REACH 4                  /* tokens: RRPRAM heads are seeded for the distances 2, 3, .. up to this */
/* of conjugate gradients for x, for h and x again; as many as follow is wide would be exact */
static const size_t ROUNDS[3] = {4, 6, 6};

/* told in the second reading */
static void regress(double *x, const double *h, size_t r, const Table *weight, const double *target,
                    const double *left, const double *right, size_t rounds);
static void even(double *x, const double *n, size_t vocab, size_t r);  /* all directions weigh alike */
static void orthonormalize(double *q, size_t n, size_t r);
static void subspace(double *q, const Table *table, size_t r, int rounds);

typedef struct { size_t follow, before, waves, place, constant, fill; } Rooms;

/* head_dim: of a head that looks back, 0: there is none.
 *     of 48, 1280 and 12: 33 9 4, 42 46 47; of 512, 1280 and 128: 64 12 4 */
static Rooms rooms_of(size_t embd, size_t vocab, size_t head_dim) {
    Rooms rooms = {.waves = embd >= 12 && head_dim ? 4 : 0, .constant = embd - 2, .fill = embd - 1};
    const size_t most = (embd < WIDEST ? embd : WIDEST) / 5;
    if (rooms.waves) rooms.before = head_dim < most ? head_dim : most;
    rooms.follow = embd - 2 - rooms.waves - rooms.before;
    if (rooms.follow > WIDEST) rooms.follow = WIDEST;
    /* a small vocabulary needs no approximation */
    if (rooms.follow > vocab - 1) rooms.follow = vocab - 1;
    rooms.place = rooms.follow + rooms.before;
    return rooms;
}

/* x[vocab][r] and h[vocab][r], who follows whom, from the counted pairs and their Kneser-Ney bigram.
 *
 * P(b | a) = prob[b] + keep unigram(b), so t = log keep + log(1 + prob[b] / (keep unigram(b))). log keep is
 * the same for all b and goes into c: a b never met after a has the target 0. And w_b = n(a) P(b | a) is a
 * sum: `weight`, n(a) prob[b], where b was met after a, and left[a] right[b], n(a) keep unigram(b), for all.
 * subspace() knows no weights: it gets t times sqrt(n(a) unigram(b)), and h is divided by sqrt(unigram(b)).
 */
static void seed_follow(double *x, double *h, size_t r, const Table *pairs, const Chain *bigram) {
    const size_t vocab = pairs->rows;
    const double *right = bigram->unigram;
    double *left = alloc(vocab, sizeof *left);
    Table weight = *pairs, target = *pairs, scaled = *pairs;
    weight.value = alloc(pairs->n, sizeof(double));
    target.value = alloc(pairs->n, sizeof(double));
    scaled.value = alloc(pairs->n, sizeof(double));
    for (size_t a = 0; a < vocab; a++) {
        if (pairs->first[a] == pairs->first[a + 1]) continue;
        const uint32_t node = map_get(&bigram->child, pair_key(0, a));
        const double keep = bigram->backoff[node], n = pairs->row_sum[a];
        left[a] = n * keep;
        /* the same followers in the same order in both */
        for (size_t i = pairs->first[a], e = bigram->first[node]; i < pairs->first[a + 1]; i++, e++) {
            const double unigram = bigram->unigram[pairs->column[i]];
            weight.value[i] = n * bigram->prob[e];
            target.value[i] = log(1.0 + bigram->prob[e] / (keep * unigram));
            scaled.value[i] = target.value[i] * sqrt(n * unigram);
        }
    }
    subspace(h, &scaled, r, 1);
    for (size_t b = 0; b < vocab; b++) for (size_t k = 0; k < r; k++) h[b * r + k] *= 1.0 / sqrt(right[b]);
    Table weight_back = table_transposed(&weight), target_back = table_transposed(&target);
    regress(x, h, r, &weight, target.value, left, right, ROUNDS[0]);
    even(x, left, vocab, r);
    regress(h, x, r, &weight_back, target_back.value, right, left, ROUNDS[1]);
    even(h, right, vocab, r);
    regress(x, h, r, &weight, target.value, left, right, ROUNDS[2]);
    free(weight.value); free(target.value); free(scaled.value); free(left);
    table_free(&weight_back); table_free(&target_back);
}

/* A sine and a cosine of a place for each of two waves, of lengths L, a window and a quarter (40 at least),
 * and sqrt(L): one step turns the short wave as far as a whole short wave turns the long one. */
static void waves_at(double waves[4], size_t i, size_t context) {
    const double window = 1.25 * (double)context, slow = window > 40.0 ? window : 40.0,
        period[2] = {sqrt(slow), slow};
    for (size_t k = 0; k < 4; k += 2) {
        const double angle = 6.283185307179586 * (double)i / period[k / 2];
        waves[k] = sin(angle);
        waves[k + 1] = cos(angle);
    }
}

/* What the heads are seeded from; every mean is over pairs that were counted. */
typedef struct {
    size_t vocab, r, embd;
    const double *h;                 /* [vocab][r] */
    double *x, *x_mean;              /* [vocab][r]: less its mean; [r] */
    double *expected[REACH + 1];     /* [vocab][r], or NULL; of 1: the mean h of what follows a token, by the
                                      * bigram; of d > 1: the shift that the head for d gives it */
    double *share;                   /* [vocab]: of the tokens that something follows */
    double *xx, *hh;                 /* [r][r]: the covariance of x, and of h where the bigram is known */
    double scale, constant, swing;   /* as seed_embeddings found them */
} Follow;

/* Fills wte, wpe and head, room by room. The constant has a quarter of the square of follow and fill, the
 * place a tenth of all three. Finds scale (rmsnorm makes scale v of SIZE v, so that x . h comes out of wte
 * and head); constant; and swing, how far the waves go: what the heads must know. */
static void seed_embeddings(Transformer *net, const Rooms *rooms, const double *x, const double *h,
                            const double *unigram, Follow *f) {
    const size_t embd = net->shape.embd, vocab = net->vocab, r = rooms->follow;
    double longest = 0.0, waves[4];
    for (size_t t = 0; t < vocab; t++) {
        const double square = dot(x + t * r, x + t * r, r);
        if (square > longest) longest = square;
    }
    /* a little more than the longest x, so that all can be filled up */
    const double whole = 1.02 * longest + 0.01, constant = sqrt(whole / 4.0), length = whole + whole / 4.0;
    for (size_t t = 0; t < vocab; t++) {
        double *row = net->wte + t * embd;
        for (size_t k = 0; k < r; k++) row[k] = SIZE * x[t * r + k];
        row[rooms->fill] = SIZE * sqrt(whole - dot(x + t * r, x + t * r, r));
        row[rooms->constant] = SIZE * constant;
    }
    const double swing = rooms->waves ? sqrt(length / (5.0 * (double)rooms->waves)) : 0.0;
    for (size_t i = 0; i < net->shape.context; i++) {
        waves_at(waves, i, net->shape.context);
        for (size_t k = 0; k < rooms->waves; k++) net->wpe[i * embd + rooms->place + k] = SIZE * swing
            * waves[k];
    }
    const double scale = sqrt((double)embd / (length + swing * swing * (double)rooms->waves / 2.0));
    for (size_t t = 0; t < vocab; t++) {
        for (size_t k = 0; k < r; k++) net->head[k * vocab + t] = h[t * r + k] / scale;
        net->head[rooms->constant * vocab + t] = log(unigram[t]) / (constant * scale);
    }
    f->embd = embd;
    f->scale = scale;
    f->constant = constant;
    f->swing = swing;
}

/* told in the second reading */
static void follow_make(Follow *f, const Text *text, const Table *pairs, const Chain *bigram, const double *x,
                        const double *h, size_t r);
static void follow_free(Follow *f), seed_content(Transformer *net, const Rooms *rooms, const Follow *f,
                                                 const Text *text, const double *first, size_t n_first);
static size_t seed_rrpram(Transformer *net, const Rooms *rooms, Follow *f, const Table *apart, size_t reach,
                          double *first);

/* Fills the transformer's matrices from what was counted: no gradient step. */
static void seed(Transformer *net, const Metaweights *meta) {
    const Shape s = net->shape;
    const Text *text = &meta->text;
    const size_t vocab = net->vocab;
    const Rooms rooms = rooms_of(s.embd, vocab, s.rrpram ? net->head_dim : 0);
    const size_t r = rooms.follow, most = s.layers * s.rrpram + 1,
        reach = !rooms.waves || !r ? 1 : most < REACH ? most : REACH;
    /* who follows whom; and positional affinity: who stands before whom at each distance that a head can look
     * at */
    Chain bigram;
    Table apart[REACH + 1];
    chain_make(&bigram, text, vocab, 2);
    for (size_t d = 1; d <= reach; d++) {
        double weight[REACH + 1] = {0.0};
        weight[d] = 1.0;
        count_pairs(&apart[d], text, vocab, weight, d, EVERY, 1.0);
    }
    double *x = alloc(vocab * r, sizeof *x), *h = alloc(vocab * r, sizeof *h),
        *first = alloc(r * net->head_dim, sizeof *first);      /* u of the first RRPRAM head */
    Follow f;
    seed_follow(x, h, r, &apart[1], &bigram);
    follow_make(&f, text, &apart[1], &bigram, x, h, r);
    seed_embeddings(net, &rooms, x, h, bigram.unigram, &f);
    /* the MLP adds nothing at first: down is zero; up is ready to be trained */
    Rng rng = {1};
    for (size_t l = 0; l < s.layers; l++)
        for (size_t i = 0; i < s.mlp * s.embd * s.embd; i++) net->layer[l].up[i] = (rng_uniform(&rng) - 0.5)
            / sqrt((double)s.embd);
    const size_t n_first = seed_rrpram(net, &rooms, &f, apart, reach, first);
    if (n_first) seed_content(net, &rooms, &f, text, first, n_first);
    free(x); free(h); free(first);
    follow_free(&f);
    for (size_t d = 1; d <= reach; d++) table_free(&apart[d]);
    chain_free(&bigram);
}

/* Second reading of IV: the heads, and the linear algebra */

#define SHRINK 0.4               /* of a covariance toward a sphere: its own mean square, times this, is
                                  * added */
#define SOLVE 6                  /* rounds of conjugate gradients for a shrunk covariance */
#define CHORUS 0.22              /* how loud the content heads are */
#define SHARPNESS 6.0            /* of a head that reads places: nats by which the next best place loses */
#define WHISPER 0.2              /* how loud who stood before is told: RMSNorm is hardly to notice */
#define RELEVANCE 1.5            /* of a head that reads likeness, nearly in standard deviations: it leans,
                                  * and training may turn it */
#define LESSONS 2048             /* places of the corpus that content heads are seeded from */

/* A symmetric and positive definite matrix of n * n: a spare multiple of the identity, and either a dense
 * one, or the sum over `many` rows met[many][n] of w met met^T, less mean mean^T / sum. */
typedef struct {
    size_t n, many;
    double spare, sum;
    const double *dense, *mean, *w, *met;        /* dense: NULL where it is the other */
    double *columns, *along;                     /* met transposed, [n][many]; [many] */
} Squares;

static void squares_times(double *y, const Squares *s, const double *v) {
    const double along = s->dense ? 0.0 : dot(s->mean, v, s->n) / s->sum;
    for (size_t i = 0; i < s->n; i++) y[i] = s->dense ? s->spare * v[i] : s->spare * v[i] - along
        * s->mean[i];
    if (s->dense) {
        matvec(y, v, s->dense, s->n, s->n, s->n);
        return;
    }
    zero(s->along, s->many);
    matvec(s->along, v, s->columns, s->n, s->many, s->many);
    for (size_t b = 0; b < s->many; b++) s->along[b] = s->w[b] * s->along[b];
    matvec(y, s->along, s->met, s->many, s->n, s->n);
}

/* x[n] for which A x comes close to b: conjugate gradients from 0 (Hestenes and Stiefel 1952). Each round
 * costs one product, and as many rounds as coordinates would be exact; what is NEAR is near enough. work[2
 * n]; b is used up. */
static void conjugate(double *x, const Squares *a, double *b, size_t rounds, double *work) {
    const size_t n = a->n;
    double *way = work, *image = work + n, square = dot(b, b, n);
    zero(x, n);
    memcpy(way, b, n * sizeof *way);
    const double enough = NEAR * square;
    for (size_t k = 0; k < rounds && square > enough; k++) {
        squares_times(image, a, way);
        const double along = dot(way, image, n), far = square / along, last = square;
        if (!(along > 0.0)) break;                                  /* A is 0 in this direction */
        for (size_t i = 0; i < n; i++) {
            x[i] += far * way[i];
            b[i] -= far * image[i];
        }
        square = dot(b, b, n);
        const double keep = square / last;
        for (size_t i = 0; i < n; i++) way[i] = b[i] + keep * way[i];
    }
}

/* c[r][r] = the sum over a of x[a] y[a]^T */
static void outer(double *c, const double *x, const double *y, size_t n, size_t r) {
    zero(c, r * r);
    for (size_t a = 0; a < n; a++)
        for (size_t i = 0; i < r; i++)
            for (size_t j = 0; j < r; j++) c[i * r + j] += x[a * r + i] * y[a * r + j];
}

/* c[r][r] = the sum over a of weight[a] * x[a] x[a]^T (weight NULL: 1), symmetric: half is computed */
static void gram(double *c, const double *weight, const double *x, size_t n, size_t r) {
    zero(c, r * r);
    for (size_t a = 0; a < n; a++)
        for (size_t i = 0; i < r; i++) {
            const double xi = weight ? weight[a] * x[a * r + i] : x[a * r + i];
            for (size_t j = i; j < r; j++) c[i * r + j] += xi * x[a * r + j];
        }
    for (size_t i = 0; i < r; i++)
        for (size_t j = 0; j < i; j++) c[i * r + j] = c[j * r + i];
}

/* x[vocab][r]: the x[a] of the normal equations, a row at a time. The pair (a, b) weighs weight(a, b) +
 * left[a] right[b], and its target is 0 where it is not in the tables: only the pairs that were met cost
 * time, for over all b the sum of right[b] h[b] h[b]^T is the total of right times the identity, h[vocab][r]
 * being even. */
static void regress(double *x, const double *h, size_t r, const Table *weight, const double *target,
                    const double *left, const double *right, size_t rounds) {
    const size_t vocab = weight->rows;
    const double whole = total(right, vocab);
    double *whole_mean = alloc(r, 8), *mean = alloc(r, 8), *right_side = alloc(r, 8), *work = alloc(2 * r, 8);
    double *met = alloc(vocab * r, 8), *columns = alloc(vocab * r, 8), *wt = alloc(vocab, 8);
    matvec(whole_mean, right, h, vocab, r, r);
    zero(x, vocab * r);
    for (size_t a = 0; a < vocab; a++) {
        const size_t begin = weight->first[a], many = weight->first[a + 1] - begin;
        const double *w = weight->value + begin;
        double sum_w = left[a] * whole, sum_wt = 0.0;
        progress("seeding: %zu of %zu tokens", a, vocab);
        if (!many) continue;
        for (size_t e = 0; e < many; e++) {
            const size_t b = weight->column[begin + e];
            wt[e] = (w[e] + left[a] * right[b]) * target[begin + e];
            sum_w += w[e];
            sum_wt += wt[e];
            for (size_t i = 0; i < r; i++) columns[i * many + e] = met[e * r + i] = h[b * r + i];
        }
        for (size_t i = 0; i < r; i++) mean[i] = left[a] * whole_mean[i];
        matvec(mean, w, met, many, r, r);                           /* times sum_w */
        zero(right_side, r);
        matvec(right_side, wt, met, many, r, r);
        for (size_t i = 0; i < r; i++) right_side[i] -= sum_wt * mean[i] / sum_w;
        const Squares squares = {r, many, RIDGE + left[a] * whole, sum_w, NULL, mean, w, met, columns, wt};
        conjugate(x + a * r, &squares, right_side, rounds, work);
    }
    free(whole_mean); free(mean); free(right_side); free(work); free(met); free(columns); free(wt);
}

/* Columns of x[vocab][r] turned so that the sum over a of n[a] x[a] x[a]^T becomes the total of n times the
 * identity: where all weigh alike, least squares need no products, and elsewhere a few rounds of conjugate
 * gradients go far. */
static void even(double *x, const double *n, size_t vocab, size_t r) {
    const double whole = total(n, vocab);
    for (size_t a = 0; a < vocab; a++) for (size_t k = 0; k < r; k++) x[a * r + k] *= sqrt(n[a] / whole);
    orthonormalize(x, vocab, r);
    for (size_t a = 0; a < vocab; a++) {
        const double root = n[a] > 0.0 ? 1.0 / sqrt(n[a] / whole) : 0.0;
        for (size_t k = 0; k < r; k++) x[a * r + k] *= root;
    }
}

/* The covariance c[r][r], shrunk, inverted, times each row of x[r][r]. */
static void solve(const double *c, double *x, size_t r) {
    double *work = alloc(3 * r, sizeof *work), sphere = 0.0;
    for (size_t i = 0; i < r; i++) sphere += c[i * r + i];
    const Squares squares = {.n = r, .spare = SHRINK * sphere / (double)r, .dense = c};
    for (size_t k = 0; k < r; k++) {
        memcpy(work + 2 * r, x + k * r, r * sizeof *x);
        conjugate(x + k * r, &squares, work + 2 * r, SOLVE, work);
    }
    free(work);
}

static void follow_make(Follow *f, const Text *text, const Table *pairs, const Chain *bigram, const double *x,
                        const double *h, size_t r) {
    const size_t vocab = pairs->rows;
    double *share = alloc(vocab, sizeof *share), *between = alloc(r * r, sizeof *between),
        *mean = alloc(r, sizeof *mean);
    double *expected = alloc(vocab * r, sizeof *expected);
    *f = (Follow){.vocab = vocab, .r = r, .h = h, .x = alloc(vocab * r, sizeof(double)),
        .x_mean = alloc(r, sizeof(double)), .expected = {NULL, expected},
                  .share = share, .xx = alloc(r * r, sizeof(double)), .hh = alloc(r * r, sizeof(double))};
    matvec(mean, bigram->unigram, h, vocab, r, r);
    for (size_t a = 0; a < vocab; a++) {
        const uint32_t node = pairs->row_sum[a] > 0.0 ? map_get(&bigram->child, pair_key(0, a)) : 0;
        double *to = expected + a * r;
        for (size_t i = 0; node && i < r; i++) to[i] = bigram->backoff[node] * mean[i];
        for (size_t e = bigram->first[node]; node && e < bigram->first[node + 1]; e++)
            for (size_t i = 0; i < r; i++) to[i] += bigram->prob[e] * h[bigram->token[e] * r + i];
    }
    for (size_t b = 0; b < vocab; b++) share[b] = pairs->column_sum[b] / pairs->sum;
    gram(f->hh, share, h, vocab, r);
    for (size_t a = 0; a < vocab; a++) share[a] = pairs->row_sum[a] / pairs->sum;
    gram(between, share, expected, vocab, r);
    for (size_t i = 0; i < r * r; i++) f->hh[i] -= between[i];
    matvec(f->x_mean, share, x, vocab, r, r);
    for (size_t i = 0; i < vocab * r; i++) f->x[i] = x[i] - f->x_mean[i % r];
    gram(f->xx, share, f->x, vocab, r);
    if (text->lines) zero(expected + text->ids[0] * r, r);              /* nothing follows a document's end */
    free(between); free(mean);
}

static void follow_free(Follow *f) {
    for (size_t d = 1; d <= REACH; d++) free(f->expected[d]);
    free(f->x); free(f->x_mean); free(f->share); free(f->xx); free(f->hh);
}

/* told below */
static void svd(double *u, double *s, double *v, const Table *table, size_t r, int rounds);

/* Newton's step as factors u[r][rank] diag(s) v[r][rank]^T of the rank that a head has room for. xx[r][r]:
 * the mean of x_d x_d^T; told[r][r]: the sum of x_d (h less the h that was expected)^T; n: of how many. */
static void follow_step(double *u, double *s, double *v, const Follow *f, const double *xx,
                        const double *told, double n, size_t rank) {
    const size_t r = f->r;
    double *t = alloc(r * r, sizeof *t);
    Table c = table_make(r, r * r);
    for (size_t i = 0; i < r; i++) for (size_t j = 0; j < r; j++) t[j * r + i] = told[i * r + j] / n;
    solve(xx, t, r);
    for (size_t i = 0; i < r; i++) for (size_t j = 0; j < r; j++) c.value[i * r + j] = t[j * r + i];
    solve(f->hh, c.value, r);
    for (size_t i = 0; i < r * r; i++) c.column[i] = (uint32_t)(i % r);
    for (size_t i = 0; i <= r; i++) c.first[i] = i * r;
    svd(u, s, v, &c, rank, 4);
    free(t);
    table_free(&c);
}

/* Lets a column of a matrix read (x less its mean) . u, `gain` times; the constant coordinate takes the mean
 * off. */
static void follow_read(const Follow *f, double *column, size_t width, const double *u, size_t stride,
                        double gain) {
    double mean = 0.0;
    for (size_t i = 0; i < f->r; i++) {
        column[i * width] = u[i * stride] * gain / f->scale;
        mean += f->x_mean[i] * u[i * stride];
    }
    column[(f->embd - 2) * width] = -(mean * gain / (f->constant * f->scale));
}

/* Lets a row of a matrix add v, `gain` times, to the follow room. */
static void follow_tell(const Follow *f, double *row, const double *v, size_t stride, double gain) {
    for (size_t i = 0; i < f->r; i++) row[i] = SIZE * gain * v[i * stride];
}

/* RRPRAM heads: each looks at one distance, the nearer first; the first also writes who stands there into
 * `before`. first[before][r]: the directions of x that it writes. Returns how many. */
static size_t seed_rrpram(Transformer *net, const Rooms *rooms, Follow *f, const Table *apart, size_t reach,
                          double *first) {
    const Shape s = net->shape;
    const size_t d = net->head_dim, r = f->r, vocab = f->vocab, embd = s.embd, rank = d < r ? d : r,
        n_first = rooms->before < rank ? rooms->before : rank;
    double waves[4];
    waves_at(waves, 1, s.context);       /* one step away, the product of two places' waves is 1 - cos less */
    const double loud = SHARPNESS / ((1.0 - waves[1]) * f->swing * f->scale);
    double *u = alloc(r * d, 8), *sv = alloc(d, 8), *v = alloc(r * d, 8), *told = alloc(vocab * r, 8),
        *expected = alloc(vocab * r, 8);
    double *sums = alloc(r * r, 8), *back = alloc(r * r, 8);
    for (size_t head = 0; head < s.layers * s.rrpram && head + 2 <= reach; head++) {
        const size_t distance = head + 2, n = head % s.rrpram;
        Layer *layer = &net->layer[head / s.rrpram];
        double *out = layer->out + (net->content_dim + n * d) * embd;
        progress("seeding: heads that look %zu back", distance);
        table_times(told, &apart[distance], f->h, r);
        /* what is expected already: by the newest token, by nearer heads */
        for (size_t nearer = 1; nearer < distance; nearer++) {
            table_times(expected, &apart[distance - nearer], f->expected[nearer], r);
            for (size_t i = 0; i < vocab * r; i++) told[i] -= expected[i];
        }
        outer(sums, f->x, told, vocab, r);
        follow_step(u, sv, v, f, f->xx, sums, apart[1].sum, rank);
        for (size_t j = 0; j < s.context; j++) {
            waves_at(waves, j + distance - 1, s.context);
            for (size_t k = 0; k < rooms->waves; k++)
                layer->r[(n * embd + rooms->place + k) * s.context + j] = loud * waves[k];
        }
        for (size_t k = 0; k < rank; k++) {
            follow_read(f, layer->rv + n * d + k, net->rrpram_dim, u + k, rank, 1.0);
            follow_tell(f, out + k * embd, v + k, rank, sv[k]);
            if (head || k >= n_first) continue;
            out[k * embd + rooms->follow + k] = SIZE * WHISPER;
            for (size_t i = 0; i < r; i++) first[k * r + i] = u[i * rank + k];
        }
        zero(back, r * r);
        for (size_t i = 0; i < r; i++)
            for (size_t k = 0; k < rank; k++) for (size_t j = 0; j < r; j++)
                back[i * r + j] += sv[k] * u[i * rank + k] * v[j * rank + k];
        zero(sums, r * r);
        for (size_t i = 0; i < r; i++) matvec(sums + i * r, back + i * r, f->hh, r, r, r);
        f->expected[distance] = alloc(vocab * r, 8);
        for (size_t t = 0; t < vocab; t++) matvec(f->expected[distance] + t * r, f->x + t * r, sums, r, r, r);
    }
    free(u); free(sv); free(v); free(told); free(expected); free(sums); free(back);
    return reach > 1 ? n_first : 0;
}

/* What a content head would bring together: on windows of the corpus, at each place, the mean of x where the
 * code of the token before is alike to the newest one's. met[r][r], missed[r][r]: the sum of that mean times
 * itself; times (h - the h expected). Returns of how many places. */
static size_t read_windows(double *met, double *missed, const Follow *f, const Text *text, size_t context,
                           const double *code, size_t n_code, double relevance) {
    const size_t r = f->r, every = text->n / LESSONS > 1 ? text->n / LESSONS : 1;
    const size_t windows = text->lines ? text->n_docs : (text->n + context - 1) / context,
        most = ((windows + every - 1) / every) * context;
    double *keys = alloc(n_code * context, 8), *near = alloc(context * r, 8), *query = alloc(n_code, 8),
        *alike = alloc(context, 8);
    double *mean = alloc(most * r, 8), *error = alloc(most * r, 8);
    size_t n = 0;
    for (size_t k = 0; k < windows; k += every) {
        const size_t at = text->lines ? text->start[k] : k * context,
            left = (text->lines ? text->start[k + 1] : text->n) - at;
        const uint32_t *ids = text->ids + at;
        for (size_t i = 0; i < context && i + 1 < left; i++, n++) {
            for (size_t c = 0; c < n_code; c++) {
                keys[c * context + i] = code[ids[i ? i - 1 : 0] * n_code + c];
                query[c] = relevance * code[ids[i] * n_code + c];
            }
            memcpy(near + i * r, f->x + ids[i] * r, r * sizeof *near);
            zero(alike, i + 1);
            matvec(alike, query, keys, n_code, i + 1, context);
            softmax(alike, i + 1);
            matvec(mean + n * r, alike, near, i + 1, r, r);
            memcpy(error + n * r, f->h + ids[i + 1] * r, r * sizeof *error);
            for (size_t d = 1; d <= i + 1 && d <= REACH && f->expected[d]; d++)
                for (size_t c = 0; c < r; c++) error[n * r + c] -= f->expected[d][ids[i + 1 - d] * r + c];
        }
    }
    gram(met, NULL, mean, n, r);
    outer(missed, mean, error, n, r);
    free(keys); free(near); free(query); free(alike); free(mean); free(error);
    return n;
}

/* Content heads: they look where the token before is alike, in all layers but the first, where nobody knows
 * yet who stood before. first[n_first][r]: the directions of x that `before` tells */
static void seed_content(Transformer *net, const Rooms *rooms, const Follow *f, const Text *text,
                         const double *first, size_t n_first) {
    const Shape s = net->shape;
    const size_t d = net->head_dim, r = f->r, dim = net->content_dim, rank = dim < r ? dim : r;
    double *code = alloc(f->vocab * n_first, 8), *spread = alloc(n_first * n_first, 8), *xx = alloc(r * r, 8),
        *told = alloc(r * r, 8);
    double *u = alloc(r * rank, 8), *sv = alloc(rank, 8), *v = alloc(r * rank, 8), likeness = 0.0;
    for (size_t t = 0; t < f->vocab; t++)
        for (size_t k = 0; k < n_first; k++) code[t * n_first + k] = dot(f->x + t * r, first + k * r, r);
    gram(spread, f->share, code, f->vocab, n_first);
    for (size_t k = 0; k < n_first; k++) likeness += spread[k * n_first + k];
    if (s.content && s.layers > 1 && likeness > 0.0) {
        const double relevance = RELEVANCE * (double)n_first / likeness;
        const size_t n = read_windows(xx, told, f, text, s.context, code, n_first,
                                      relevance / sqrt((double)d));
        for (size_t i = 0; i < r * r; i++) xx[i] /= (double)n;
        follow_step(u, sv, v, f, xx, told, (double)n, rank);
        for (size_t l = 1; l < s.layers; l++) {
            Layer *layer = &net->layer[l];
            for (size_t head = 0; head < s.content; head++)
                for (size_t k = 0; k < n_first; k++) {
                    follow_read(f, layer->q + head * d + k, dim, first + k * r, 1, relevance);
                    layer->k[(rooms->follow + k) * dim + head * d + k] = 1.0 / (WHISPER * f->scale);
                }
            for (size_t k = 0; k < rank; k++) {
                follow_read(f, layer->v + k, dim, u + k, rank, 1.0);
                follow_tell(f, layer->out + k * s.embd, v + k, rank, CHORUS / (double)(s.layers - 1) * sv[k]);
            }
        }
    }
    free(code); free(spread); free(xx); free(told); free(u); free(sv); free(v);
}

/* Makes the columns of q[n][r] orthonormal, left to right (Gram and Schmidt, in the modified order); a column
 * that the ones before it span becomes zero. */
static void orthonormalize(double *q, size_t n, size_t r) {
    double *t = alloc(n * r, sizeof *t);                            /* the transpose: columns in one piece */
    for (size_t i = 0; i < n; i++) for (size_t k = 0; k < r; k++) t[k * n + i] = q[i * r + k];
    for (size_t k = 0; k < r; k++) {
        double *column = t + k * n;
        const double before = dot(column, column, n);
        for (size_t j = 0; j < k; j++) {
            const double *done = t + j * n, along = dot(done, column, n);
            for (size_t i = 0; i < n; i++) column[i] -= along * done[i];
        }
        const double after = dot(column, column, n);
        const double scale = after > 1e-20 * before ? 1.0 / sqrt(after) : 0.0;
        for (size_t i = 0; i < n; i++) column[i] *= scale;
    }
    for (size_t i = 0; i < n; i++) for (size_t k = 0; k < r; k++) q[i * r + k] = t[k * n + i];
    free(t);
}

/* q[rows][r]: orthonormal columns that nearly span the table's leading right singular directions, by subspace
 * iteration from a random start (Halko, Martinsson and Tropp 2011). */
static void subspace(double *q, const Table *table, size_t r, int rounds) {
    Table back = table_transposed(table);
    Rng rng = {1};
    double *y = alloc(table->rows * r, sizeof *y);
    for (size_t i = 0; i < table->rows * r; i++) q[i] = rng_uniform(&rng) - 0.5;
    for (int round = 0; round < rounds; round++) {
        table_times(y, table, q, r);
        table_times(q, &back, y, r);
        orthonormalize(q, table->rows, r);
    }
    free(y);
    table_free(&back);
}

/* Eigenvalues and eigenvectors of a small symmetric m[n][n] by Jacobi's rotations (1846): on return m's
 * diagonal holds the eigenvalues, column k of v[n][n] the k-th eigenvector. */
static void eigen(double *m, double *v, size_t n) {
    for (size_t i = 0; i < n; i++) for (size_t j = 0; j < n; j++) v[i * n + j] = i == j ? 1.0 : 0.0;
    for (int sweep = 0; sweep < 10; sweep++)
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                const double off = m[p * n + q];
                if (off * off <= 1e-24 * (m[p * n + p] * m[q * n + q])) continue;
                const double theta = (m[q * n + q] - m[p * n + p]) / (2.0 * off);
                const double t = (theta < 0.0 ? -1.0 : 1.0) / (fabs(theta) + sqrt(theta * theta + 1.0));
                const double c = 1.0 / sqrt(t * t + 1.0), s = t * c;
                for (size_t k = 0; k < n; k++) {
                    const double x = m[k * n + p], y = m[k * n + q];
                    m[k * n + p] = c * x - s * y;
                    m[k * n + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    const double x = m[p * n + k], y = m[q * n + k];
                    m[p * n + k] = c * x - s * y;
                    m[q * n + k] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    const double x = v[k * n + p], y = v[k * n + q];
                    v[k * n + p] = c * x - s * y;
                    v[k * n + q] = s * x + c * y;
                }
            }
}

/* The leading singular value decomposition, table ~ u diag(s) v^T: u and v are [rows][r], s[r] falls. */
static void svd(double *u, double *s, double *v, const Table *table, size_t r, int rounds) {
    const size_t n = table->rows;
    double *q = alloc(n * r, sizeof *q), *y = alloc(n * r, sizeof *y), *square = alloc(r * r, sizeof *square);
    double *axes = alloc(r * r, sizeof *axes), *sorted = alloc(r * r, sizeof *sorted);
    size_t *rank = alloc(r, sizeof *rank);
    subspace(q, table, r, rounds);
    table_times(y, table, q, r);
    gram(square, NULL, y, n, r);
    eigen(square, axes, r);
    for (size_t k = 0; k < r; k++) {
        size_t j = k;
        for (; j && square[k * r + k] > square[rank[j - 1] * r + rank[j - 1]]; j--) rank[j] = rank[j - 1];
        rank[j] = k;
    }
    for (size_t k = 0; k < r; k++) {
        const double value = square[rank[k] * r + rank[k]];
        s[k] = value > 0.0 ? sqrt(value) : 0.0;
        for (size_t j = 0; j < r; j++) sorted[j * r + k] = axes[j * r + rank[k]];
    }
    memset(u, 0, n * r * sizeof *u);
    memset(v, 0, n * r * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        matvec(u + i * r, y + i * r, sorted, r, r, r);
        matvec(v + i * r, q + i * r, sorted, r, r, r);
        for (size_t k = 0; k < r; k++) u[i * r + k] = s[k] > 1e-9 * s[0] ? u[i * r + k] / s[k] : 0.0;
    }
    free(q); free(y); free(square); free(axes); free(sorted); free(rank);
}

/* ---------------------------------------------------------------------------------------------
 * V  THE DARIO FIELD: p(x | context) = softmax((B + alpha H + beta F + gamma A + T) / tau)
 *
 * All that is known of the next token x, weighed: tau is the temperature, P the chain of chapter II (in
 * speech the Voice of chapter VI), z the transformer's logits, t_back the token `back` places before x.
 *
 *     B   (1 - d (1 - lambda)) log P(x) + d kappa z(x)    chain and transformer; d is the chain's doubt
 *     H   sum of ECHO^(back-2) trace(t_back, x), back = 2 .. 16, but for the chain's context: resonance
 *     F   spelled(x) + the sum of (sqrt(back) / 12) promise(t_back, x), back = 2 .. 11     prophecy: what was
 *         promised and has not come since, the stronger the longer it is open (a twelfth earns nothing).
 *         spelled: fines; word, sentence and line under way are to end as the corpus' do (in speech: word)
 *     A   log(1 + heard(x) / (PRIOR share(x)))       destiny, the direction of the talk: how much more of x
 *         it has than the corpus; heard(x): the sum over the places of x of DRIFT^(tokens since)
 *     T   log(1 + odds recall(x) / P(x))             trauma: what followed earlier moments like this one
 *
 * recall is a small chain of this talk alone, a cache (Kuhn and De Mori 1990), that leaves the share `free`
 * to others and sums to the rest: mixed, they are recall + free P, in proportion P + recall / free. The odds
 * are trauma * level / free, trauma the coefficient, level a fading mean of the surprise, in nats: the less
 * was expected of late, the more of recall is let in. Terms are added to log P: so T is a logarithm (it
 * makes just this mixture where log P weighs 1; where it weighs less, T favours the improbable).
 */
#define ECHO 0.85                /* resonance fades by this with each token back */
#define DRIFT 0.995              /* destiny keeps this much of what it heard at each token */
#define PRIOR 200.0              /* tokens of the corpus that destiny has heard before the talk begins */
#define CALM 0.3                 /* trauma keeps this much of its level at each token */
#define HUSH 1e-3                /* below so many nats it is silent */
#define DEPTH 4                  /* tokens of context that recall looks at */

/* As tests/measure/tune.py found them, on pieces that no figure is reported on. A transformer that was
 * trained is believed more. */
typedef struct { double lambda, kappa, alpha, beta, gamma, trauma; size_t memory; } Coefficients;
#define LAMBDA 0.54
#define KAPPA 0.4
#define ALPHA 0.08
#define BETA 1.0
#define GAMMA 0.45
#define TRAUMA 0.006
#define TRAINED_LAMBDA 0.5
#define TRAINED_KAPPA 0.5
#define UNAIDED 0.88             /* lambda in FULL without its transformer, a row of chapter VIII */

/* Which terms speak in a mode: the chain and the transformer (together the B of the title), H, F, A, T */
enum { USE_CHAIN = 1, USE_NET = 2, USE_H = 4, USE_F = 8, USE_A = 16, USE_T = 32,
    META = USE_CHAIN | USE_H | USE_F, FULL = 63 };
enum { N_PARTS = 6 };

typedef struct Voice Voice;      /* the chain that speaks: chapter VI */
static void voice_clear(Voice *voice), voice_write(Voice *voice, uint32_t id),
    voice_speak(Voice *voice, double *p);

/* Hears a text token by token and says what it expects next. The transformer sees its window; the field
 * remembers the last `memory` tokens of the document. */
typedef struct {
    const Metaweights *meta;
    const Coefficients *co;
    Voice *voice;                /* NULL where nobody speaks */
    Window *window;              /* NULL where only the counted part speaks */
    Ids text;                    /* all tokens since the document's start */
    uint32_t *before;            /* [text.size]: 1 + the last earlier place of the same token, 0: none */
    size_t size;
    uint32_t *newest;            /* [vocab]: 1 + the last place of each token */
    double level;                /* trauma, nats: 0 where all comes as expected */
    double doubt;                /* the chain's, in what it says of the next token */
    double *destiny, gone;       /* [vocab]: heard(x) of the formula; gone: DRIFT to the power of
                                  * the memory */
    uint32_t *followed;          /* [DEPTH][vocab]: how often each token followed the newest 1, 2, ..
                                  * tokens */
    Spelling spelling;           /* the word under way, and what may follow it */
    double *p, *log_p, *h, *f, *a, *t;      /* [vocab] each: the terms for the next token */
    const double *z;             /* [vocab]: the transformer's logits */
    size_t *since, step;         /* [vocab]: the last step that saw the token among the newest */
} Field;

static void field_make(Field *field, const Metaweights *meta, const Words *words, const Coefficients *co,
                       Window *window) {
    const size_t vocab = meta->vocab;
    *field = (Field){.meta = meta, .co = co, .window = window, .gone = 1.0,
        .newest = alloc(vocab, sizeof *field->newest), .since = alloc(vocab, sizeof *field->since),
                     .destiny = alloc(vocab, sizeof *field->destiny),
                         .followed = alloc(DEPTH * vocab, sizeof *field->followed)};
    field->spelling.words = words;
    spelling_clear(&field->spelling);
    double **terms[6] = {&field->p, &field->log_p, &field->h, &field->f, &field->a, &field->t};
    for (size_t i = 0; i < 6; i++) *terms[i] = alloc(vocab, sizeof(double));
    for (size_t i = 0; i < co->memory; i++) field->gone *= DRIFT;
}

static void field_free(Field *field) {
    free(field->text.ids); free(field->before); free(field->newest); free(field->since); free(field->destiny);
    free(field->followed);
    free(field->p); free(field->log_p); free(field->h); free(field->f); free(field->a); free(field->t);
}

static void field_reset(Field *field) {                        /* a new document */
    for (size_t i = 0; i < field->text.n; i++) field->newest[field->text.ids[i]] = 0;
    field->text.n = 0;
    field->level = 0.0;
    zero(field->destiny, field->meta->vocab);
    spelling_clear(&field->spelling);
    if (field->voice) voice_clear(field->voice);
    if (field->window) field->window->n = 0;
}

static size_t field_start(const Field *field) {                /* the oldest place that is remembered */
    return field->text.n > field->co->memory ? field->text.n - field->co->memory : 0;
}

/* The next token, and how much the chain expected it; 1 where it is spoken. */
static void field_push(Field *field, uint32_t id, double expected) {
    const size_t vocab = field->meta->vocab, n = field->text.n;
    field->level = CALM * field->level - (1.0 - CALM) * log(expected);
    ids_add(&field->text, id);
    field->before = grow(field->before, n + 1, &field->size, sizeof *field->before);
    field->before[n] = field->newest[id];
    field->newest[id] = (uint32_t)n + 1;
    for (size_t x = 0; x < vocab; x++) field->destiny[x] *= DRIFT;
    field->destiny[id] += 1.0;
    /* what is forgotten leaves the sum */
    if (n >= field->co->memory) field->destiny[field->text.ids[n - field->co->memory]] -= field->gone;
    spelling_write(&field->spelling, id);
    if (field->voice) voice_write(field->voice, id);
    if (field->window) window_push(field->window, id);
}

/* told in the second reading. f[x] gains what x was promised, if it has not come since */
static void field_promised(Field *field, double *f, double *strongest, size_t *who);
/* how many tokens up to text.ids[at - 1] are as the newest are */
static size_t field_match(const Field *field, size_t at);
/* the next older `at` where text.ids[at - 1] is the newest token, and text.ids[at] followed it; 0: none */
static size_t field_moment(const Field *field, size_t *at, size_t *seen);
/* t[x], 0 before, becomes recall(x); what it leaves to others is returned */
static double field_recall(Field *field, double *t);

/* Computes every term for the token to come. */
static void field_terms(Field *field) {
    const Metaweights *meta = field->meta;
    const size_t vocab = meta->vocab, n = field->text.n, remembered = n - field_start(field);
    const uint32_t *ids = field->text.ids;
    uint32_t nodes[8];
    const size_t met = chain_nodes(&meta->chain, ids, n, nodes);
    double echo = 1.0;
    chain_probs(&meta->chain, field->p, ids, n);
    if (field->voice) voice_speak(field->voice, field->p);
    for (size_t x = 0; x < vocab; x++) field->log_p[x] = log(field->p[x]);
    field->doubt = chain_doubt(&meta->chain, ids, n);
    /* before the first token the chain speaks for the transformer */
    field->z = field->window && field->window->n ? window_logits(field->window) : field->log_p;
    zero(field->h, vocab);
    for (size_t back = 2; back <= ROOM_FOR_TRACE && back <= remembered; back++, echo *= ECHO) {
        if (back <= met) continue;
        const size_t a = ids[n - back];
        for (size_t i = meta->trace.first[a]; i < meta->trace.first[a + 1]; i++)
            field->h[meta->trace.column[i]] += echo * meta->trace.value[i];
    }
    spelling_spelled(&field->spelling, field->f, !field->voice);     /* sets all x */
    field_promised(field, field->f, NULL, NULL);
    for (size_t x = 0; x < vocab; x++) field->a[x] = field->destiny[x] > 0.0
        ? log(1.0 + field->destiny[x] / (PRIOR * meta->share[x])) : 0.0;
    zero(field->t, vocab);
    if (field->level <= HUSH) return;
    const double free_mass = field_recall(field, field->t);
    const double odds = field->co->trauma * field->level / free_mass;
    for (size_t x = 0; x < vocab; x++)
        if (field->t[x] > 0.0) field->t[x] = log(1.0 + odds * field->t[x] / field->p[x]);
}

/* t[vocab]: a chain of the talk itself. Returns what it leaves to the chain of the corpus, 0 to 1. It mixes
 * what followed the newest 1, 2, .. DEPTH tokens (Witten and Bell 1991): of n tokens that followed a context,
 * D of them different, recall(x) = (n(x) + D recall(x after the shorter context)) / (n + D). */
static double field_recall(Field *field, double *t) {
    const size_t vocab = field->meta->vocab;
    double free_mass = 1.0;              /* the formula's free */
    memset(field->followed, 0, DEPTH * vocab * sizeof *field->followed);
    for (size_t at = 0, seen = 0; field_moment(field, &at, &seen);)
        for (size_t k = 0, match = field_match(field, at); k < match && k < DEPTH; k++)
            field->followed[k * vocab + field->text.ids[at]]++;
    for (size_t k = 0; k < DEPTH; k++) {
        const uint32_t *counts = field->followed + k * vocab;
        size_t different = 0, all = 0;
        for (size_t x = 0; x < vocab; x++) {
            different += counts[x] > 0;
            all += counts[x];
        }
        if (!different) break;
        const double every = (double)(all + different), keep = (double)different / every;
        free_mass *= keep;
        for (size_t x = 0; x < vocab; x++) {
            t[x] *= keep;
            if (counts[x]) t[x] += (double)counts[x] / every;
        }
    }
    return free_mass;
}

/* What each term is multiplied by in a mode: chain, transformer, H, F, A, T. In FULL a chain that is sure
 * weighs 1 and the transformer 0; one in full doubt lambda (without the transformer UNAIDED) and kappa;
 * between, in proportion. By itself and in META the chain weighs 1. */
static void field_weights(const Field *field, int use, double weights[N_PARTS]) {
    const Coefficients *co = field->co;
    const double least = use == META || use == USE_CHAIN ? 1.0 : use & USE_NET ? co->lambda : UNAIDED,
        all[N_PARTS] = {1.0 - field->doubt * (1.0 - least), use == USE_NET ? 1.0 : field->doubt * co->kappa,
                        co->alpha, co->beta, co->gamma, 1.0};
    for (int k = 0; k < N_PARTS; k++) weights[k] = use >> k & 1 ? all[k] : 0.0;
}

/* What the terms named in `use` add to the logit of x. */
static void field_parts(const Field *field, int use, uint32_t x, double parts[N_PARTS]) {
    const double term[N_PARTS] = {field->log_p[x], field->z[x], field->h[x], field->f[x], field->a[x],
        field->t[x]};
    field_weights(field, use, parts);
    for (int k = 0; k < N_PARTS; k++) parts[k] *= term[k];
}

/* logits[vocab]: the terms named in `use`, weighed and added. */
static void field_logits(const Field *field, double *logits, int use) {
    const double *term[N_PARTS] = {field->log_p, field->z, field->h, field->f, field->a, field->t};
    const size_t vocab = field->meta->vocab;
    double weights[N_PARTS];
    field_weights(field, use, weights);
    zero(logits, vocab);
    for (int k = 0; k < N_PARTS; k++)
        for (size_t x = 0; weights[k] != 0.0 && x < vocab; x++) logits[x] += weights[k] * term[k][x];
}

/* Second reading of V */

/* How much the chain expects a token. */
static double field_expected(const Field *field, uint32_t id) {
    return chain_token_prob(&field->meta->chain, field->text.ids, field->text.n, id);
}

enum { HEARS = 1024 };           /* tokens of a prompt, the newest, that the voice follows through a corpus */

/* Pushes a text of any length: what nobody remembers at its end is left out. A full
 * window drops its older half at a time: what is dropped by now need not go through it.
 *     context 4, 11 tokens: 0 1 2 3, 2 3 4 5, 4 5 6 7, 6 7 8 9, 8 9 10: only 8 9 10 are pushed */
static void field_listen(Field *field, const Ids *ids, size_t context) {
    const size_t n = ids->n, drop = context - context / 2, reach = field->co->memory + context;
    Window *window = field->window;
    Voice *voice = field->voice;
    field->window = NULL;
    field->voice = NULL;
    for (size_t i = n > reach ? n - reach : 0; i < n; i++)
        field_push(field, ids->ids[i], field_expected(field, ids->ids[i]));
    field->window = window;
    field->voice = voice;
    for (size_t i = n > context ? (n - context + drop - 1) / drop * drop : 0; window && i < n; i++)
        window_push(window, ids->ids[i]);
    for (size_t i = n > HEARS ? n - HEARS : 0; voice && i < n; i++) voice_write(voice, ids->ids[i]);
}

/* The open promises, the newest first: f[x] gains what x was promised. x's strongest promise and how far back
 * that is go to strongest[x] and who[x], NULL: nobody asks. */
static void field_promised(Field *field, double *f, double *strongest, size_t *who) {
    const Table *promise = &field->meta->promise;
    const uint32_t *ids = field->text.ids;
    const size_t n = field->text.n, heard = n - field_start(field);
    field->step++;
    for (size_t back = 2; back < ROOM_FOR_PROMISE && back <= heard; back++) {
        const size_t a = ids[n - back];
        const double age = sqrt((double)back) / (double)ROOM_FOR_PROMISE;
        field->since[ids[n - back + 1]] = field->step;
        for (size_t i = promise->first[a]; i < promise->first[a + 1]; i++) {
            const size_t x = promise->column[i];
            const double value = age * promise->value[i];
            if (field->since[x] == field->step) continue;
            f[x] += value;
            if (!who || !(value > strongest[x])) continue;
            strongest[x] = value;
            who[x] = back;
        }
    }
}

enum { MATCH = 32 };             /* tokens: longer matches count as this long */
enum { PLACES = 256 };           /* moments: only so many, the newest, are looked at */

/* How many tokens up to a place, 1 + its index, are as the newest are, MATCH at most.
 *     a b c d a b c a b: the newest `a b` stood at two places, and matches 2 at each */
static size_t field_match(const Field *field, size_t at) {
    const uint32_t *ids = field->text.ids;
    const size_t n = field->text.n, start = field_start(field);
    size_t length = 1;
    while (length < MATCH && at - length > start && ids[at - 1 - length] == ids[n - 1 - length]) length++;
    return length;
}

/* The next older of the newest PLACES places where the newest token stood before, 0: there is none; *at and
 * *seen 0: the first. */
static size_t field_moment(const Field *field, size_t *at, size_t *seen) {
    if (field->text.n && (*seen)++ < PLACES) *at = field->before[(*at ? *at : field->text.n) - 1];
    else *at = 0;
    return *at > field_start(field) ? *at : 0;
}

/* ---------------------------------------------------------------------------------------------
 * VI  SAMPLING, and the model: text on the screen
 *
 * The voice. P is made to predict what somebody else writes and keeps a share for what was never seen; who
 * draws from that share says what nobody says. So the Voice takes P and mixes contexts of 2 tokens in (once
 * more), then of 3, up to 7, with a fifth of the discounts. It would recite the corpus; rules, in nats, make
 * it move on. A junction is another place of the corpus that has the last two words, or more, of what was
 * said: there the text can go on otherwise. `verbatim` is 11 words. From the fourth word that is copied in a
 * row each costs more, and a junction is taken gladly, most of all one whose sentence can be ended in time;
 * from the eighth any junction is better than to go on; a twelfth is not said. More rules keep sentences,
 * numbers and brackets whole. Spelling knows the words and the one under way; the Speller asks it, so that
 * no word is written that neither corpus nor prompt has, and keeps the bytes valid UTF-8.
 */
#define TEMPERATURE 0.9          /* the defaults of the options of these names */
#define REPETITION 0.0
#define DISCOUNT 0.2
#define VERBATIM 11
#define RECENT 12                /* tokens: what the repetition penalty looks back on */
#define GRACE 60                 /* tokens that a text may go on to the end of its sentence */

/* How to draw. temperature, top_k, repetition, top_p: see sample(). discount, verbatim: see Voice; with
 * `lines`, where documents are to be invented, discount is 1 by default. */
typedef struct {
    double temperature, top_p, repetition, discount;
    size_t top_k, verbatim;
    uint64_t seed;
} Sampling;

/* What may be written next: of words those that `spelling` allows, or any where it is NULL; of bytes only
 * valid UTF-8, if `utf8`. */
typedef struct { Spelling *spelling; int utf8; unsigned char state; } Speller;

/* told in the second reading */
static void speller_write(Speller *sp, const unsigned char *bytes, size_t n);
static int speller_valid(const Speller *sp, Slice text), speller_allows(const Speller *sp, Slice text);

/* Token ids, the largest logit first, of equals the smaller id. */
typedef struct { double *left; uint32_t *best; size_t n, seen; } Best;

/* told in the second reading */
static size_t largest(const double *x, size_t from, size_t to);
static void best_make(Best *b, size_t n), best_free(Best *b), best_first(Best *b, const double *logits);
static uint32_t best_next(Best *b);
static void penalize(double *logits, const Ids *text, double repetition);

/* Draws a token: repetition penalty on the recent tokens; what the speller forbids is left out; top-k, the k
 * most probable (0: all); softmax of logits / temperature (0: the most probable comes); top-p, the most
 * probable that together have so much (Holtzman and others 2020); one uniform draw. Where none may come, the
 * most probable that is valid UTF-8 does, or else the most probable. odds, kept: [vocab], to work with.
 *     of the logits 0 1 2 with top-k 2 the last has 0.731, the one before it 0.269 */
static uint32_t sample(Best *best, double *logits, double *odds, uint32_t *kept, const Tokenizer *tok,
                       const Ids *text, const Sampling *how, const Speller *speller, Rng *rng) {
    const size_t most = how->temperature <= 0.0 ? 1 : how->top_k ? how->top_k : tok->vocab;
    double whole = 0.0, walked = 0.0;
    size_t n = 0;
    penalize(logits, text, how->repetition);
    best_first(best, logits);
    for (uint32_t id; n < most && (id = best_next(best)) != NONE;)
        if (speller_allows(speller, token_text(tok, id))) kept[n++] = id;
    if (n == 1) return kept[0];
    if (!n) {
        best_first(best, logits);
        for (uint32_t id; (id = best_next(best)) != NONE;)
            if (speller_valid(speller, token_text(tok, id))) return id;
        return (uint32_t)largest(logits, 0, tok->vocab);
    }
    for (size_t i = 0; i < n; i++)
        whole += odds[i] = exp((logits[kept[i]] - logits[kept[0]]) / how->temperature);
    for (size_t i = 0; how->top_p < 1.0 && i < n; i++) {
        walked += odds[i];
        if (walked >= how->top_p * whole) {
            whole = walked;
            n = i + 1;
            break;
        }
    }
    const double stop = rng_uniform(rng);
    walked = 0.0;
    for (size_t i = 0; i < n; i++) {
        walked += odds[i] / whole;
        if (stop < walked) return kept[i];
    }
    return kept[n - 1];
}

/* The model: a corpus, what was counted in it, and the ghost */
typedef struct {
    const char *mode, *prompt, *corpus, *alphabet, *init, *eval, *encode, *save, *load, *page;
    int lines, no_cache, quiet, info, help, version, exact, random_seed, tree, interactive, why;
    size_t samples, tokens, merges, order, train, batch;
    double holdout, rate;
    Shape shape;
    Coefficients field;
    Sampling sampling;
} Options;

#define CHOOSE -1.0              /* a coefficient that nobody has given */

static const Options OPTIONS = {
    .mode = "both", .alphabet = "bytes", .init = "ghost", .samples = 1, .tokens = 100, .merges = 1024,
    .order = 3, .batch = 4, .rate = 0.003,
    .shape = {2, 48, 2, 2, 64, 4}, .field = {CHOOSE, CHOOSE, ALPHA, BETA, GAMMA, TRAUMA, 4096},
    .sampling = {TEMPERATURE, 1.0, REPETITION, CHOOSE, 15, VERBATIM, 42}};

typedef struct Ledger Ledger;    /* why each token was said: told in the second reading, with these */
static void ledger_begin(Ledger *why, const Ids *ids);
static void ledger_add(Ledger *why, Field *field, int use, const double *logits, const double *final,
                       uint32_t id, const Sampling *how, const Speller *speller);
static Voice *voice_make(Places *places, const Chain *chain, Tokenizer *tok, double discount,
                         size_t verbatim);
static void voice_rules(const Voice *voice, const Field *field, double *logits, int chain,
                        const Spelling *spelling), voice_free(Voice *voice);
static int voice_rests(const Voice *voice, uint32_t id);

typedef struct {
    const Options *options;
    Tokenizer tokenizer;
    Metaweights meta;
    Transformer net;
    Words words;
    Places places;               /* made when somebody is to speak */
    int trained;                 /* the transformer's weights come from training */
    int utf8;                    /* the corpus is valid UTF-8, so what is generated is, too */
    Ledger *why;                 /* where it is asked for, else NULL */
} Model;

static Text encode_text(Tokenizer *tok, const unsigned char *data, size_t length, int lines);

/* Counts the corpus and seeds the transformer. */
static void model_count(Model *model, const Bytes *corpus) {
    const Options *o = model->options;
    const Text text = encode_text(&model->tokenizer, corpus->data, corpus->length, o->lines);
    words_make(&model->words, &model->tokenizer, &text);
    metaweights_make(&model->meta, text, model->tokenizer.vocab, o->order);
    transformer_make(&model->net, o->shape, model->tokenizer.vocab);
    if (o->load) return;
    if (!strcmp(o->init, "ghost")) seed(&model->net, &model->meta);
    else randomize(&model->net, o->sampling.seed);
}

static Coefficients model_coefficients(const Model *model);
static Voice *model_voice(Model *model);
static Ids model_heard(Model *model, const unsigned char *prompt, size_t length);

/* Generates, handing each token's bytes to `write`; bytes of a character under way are held back until it is
 * whole. After the tokens asked for the text goes on to the end of its sentence, with `lines` of its line, at
 * most GRACE tokens more, unless `exact`. why: gets a row a token; or NULL. */
static void generate(Model *model, const unsigned char *prompt, size_t length, int mode, uint64_t seed_number,
                     void (*write)(const unsigned char *, size_t), Ledger *why) {
    const Options *o = model->options;
    Tokenizer *tok = &model->tokenizer;
    const size_t vocab = model->meta.vocab;
    const Coefficients co = model_coefficients(model);
    Ids ids = model_heard(model, prompt, length);
    Words words = words_with(&model->words, prompt, length);             /* the corpus' and the prompt's */
    Window window;
    Field field;
    Best best;
    Rng rng = {seed_number};
    Bytes unsaid = {0};
    double *before = alloc(vocab, sizeof *before), *logits = alloc(vocab, sizeof *logits),
        *odds = alloc(vocab, sizeof *odds);
    uint32_t *kept = alloc(vocab, sizeof *kept);
    best_make(&best, vocab);
    if (mode & USE_NET) window_make(&window, &model->net);
    field_make(&field, &model->meta, &words, &co, mode & USE_NET ? &window : NULL);
    field.voice = model_voice(model);
    field_listen(&field, &ids, o->shape.context);        /* the window hears what it will hold */
    Speller speller = {o->lines ? NULL : &field.spelling, model->utf8, 0};      /* a line may be a new name */
    speller_write(&speller, prompt, length);
    if (why) ledger_begin(why, &ids);
    for (size_t i = 0; i < o->tokens + (o->exact ? 0 : GRACE) && !stopped; i++) {
        field_terms(&field);
        field_logits(&field, before, mode);
        memcpy(logits, before, vocab * sizeof *logits);
        voice_rules(field.voice, &field, logits, mode & USE_CHAIN, speller.spelling);
        const uint32_t id = sample(&best, logits, odds, kept, tok, &field.text, &o->sampling, &speller, &rng);
        const Slice text = token_text(tok, id);
        const int breaks = memchr(text.data, '\n', text.length) != NULL;
        /* it would begin the next sentence: left out */
        if (i >= o->tokens && (o->lines ? breaks : voice_rests(field.voice, id))) break;
        if (why) ledger_add(why, &field, mode, before, logits, id, &o->sampling, &speller);
        speller_write(&speller, text.data, text.length);
        bytes_add(&unsaid, text.data, text.length);
        if (!speller.state) {
            write(unsaid.data, unsaid.length);
            unsaid.length = 0;
        }
        /* the next line is another document */
        if (o->lines && id == tok->id_of_byte['\n']) field_reset(&field);
        field_push(&field, id, 1.0);                           /* nobody surprises himself */
    }
    if (mode & USE_NET) window_free(&window);
    voice_free(field.voice);
    field_free(&field);
    best_free(&best);
    free(ids.ids); free(words.words); free(unsaid.data); free(before); free(logits); free(odds); free(kept);
}

/* Second reading of VI: what may be written, where the speaker leaves the corpus, why each token was said. */

/* The place of the largest of x[from .. to), the first of equals. */
static size_t largest(const double *x, size_t from, size_t to) {
    size_t best = from;
    for (size_t i = from + 1; i < to; i++) if (x[i] > x[best]) best = i;
    return best;
}

#define BLOCK 64                 /* tokens: the best of each block is known, so that the next best of all
                                  * is found quickly */

static void best_make(Best *b, size_t n) {
    *b = (Best){alloc(n, sizeof(double)), alloc(n / BLOCK + 1, sizeof(uint32_t)), n, 0};
}

static void best_free(Best *b) { free(b->left); free(b->best); }

static void best_block(Best *b, size_t at) {
    b->best[at / BLOCK] = (uint32_t)largest(b->left, at, at + BLOCK < b->n ? at + BLOCK : b->n);
}

static void best_first(Best *b, const double *logits) {
    memcpy(b->left, logits, b->n * sizeof *logits);
    for (size_t at = 0; at < b->n; at += BLOCK) best_block(b, at);
    b->seen = 0;
}

/* NONE after the last. */
static uint32_t best_next(Best *b) {
    uint32_t id = b->best[0];
    if (b->seen++ == b->n) return NONE;
    for (size_t i = 1; i < (b->n + BLOCK - 1) / BLOCK; i++)
        if (b->left[b->best[i]] > b->left[id]) id = b->best[i];
    b->left[id] = -INFINITY;
    best_block(b, id / BLOCK * BLOCK);
    return id;
}

/* The repetition penalty on the recent tokens. */
static void penalize(double *logits, const Ids *text, double repetition) {
    const double cost = log(1.0 + repetition);
    for (size_t back = 1; back <= RECENT && back <= text->n; back++)
        logits[text->ids[text->n - back]] -= cost;
}

/* The tokens of data as documents: one, or with `lines` one a line, a newline before it and one after it. */
static Text encode_text(Tokenizer *tok, const unsigned char *data, size_t length, int lines) {
    Ids ids = {0};
    size_t n_docs = 0, size = 16, *start = alloc(size, sizeof *start);
    for (size_t at = 0, end; lines ? at < length : !n_docs; at = end + 1) {
        const unsigned char *newline = lines ? memchr(data + at, '\n', length - at) : NULL;
        end = newline ? (size_t)(newline - data) : length;
        if (lines) ids_add(&ids, tok->id_of_byte['\n']);
        tokenizer_encode(tok, &ids, data + at, end - at);
        if (lines) ids_add(&ids, tok->id_of_byte['\n']);
        start = grow(start, n_docs + 2, &size, sizeof *start);
        start[++n_docs] = ids.n;
    }
    return (Text){ids.ids, ids.n, start, n_docs, lines};
}

static void text_free(Text text) { free((void *)text.ids); free((void *)text.start); }

/* The field's coefficients: those that were given, else the default. */
static Coefficients model_coefficients(const Model *model) {
    Coefficients co = model->options->field;
    if (co.lambda < 0.0) co.lambda = model->trained ? TRAINED_LAMBDA : LAMBDA;
    if (co.kappa < 0.0) co.kappa = model->trained ? TRAINED_KAPPA : KAPPA;
    return co;
}

/* The chain that speaks. */
static Voice *model_voice(Model *model) {
    const Sampling *how = &model->options->sampling;
    const double discount = how->discount >= 0.0 ? how->discount : model->options->lines ? 1.0 : DISCOUNT;
    if (!model->places.ids)
        places_make(&model->places, &model->meta.text, &model->tokenizer, model->words.lives.traits);
    return voice_make(&model->places, &model->meta.chain, &model->tokenizer, discount, how->verbatim);
}

/* The tokens that a text begins with. With `lines`, context does not reach behind the last line. */
static Ids model_heard(Model *model, const unsigned char *prompt, size_t length) {
    Tokenizer *tok = &model->tokenizer;
    Ids ids = {0};
    const unsigned char *last = prompt;
    for (size_t i = 0; model->options->lines && i < length; i++) if (prompt[i] == '\n') last = prompt + i + 1;
    if (model->options->lines) ids_add(&ids, tok->id_of_byte['\n']);
    else if (!length && tok->id_of_byte['\n'] != NONE)
        tokenizer_encode(tok, &ids, (const unsigned char *)"\n\n", 2);
    tokenizer_encode(tok, &ids, last, (size_t)(prompt + length - last));
    return ids;
}

/* How a UTF-8 text may go on (Unicode, table 3-7). For each state: how many bytes of the character are
 * missing, and from where to where the next may go. 0: none is missing; BROKEN is where no text goes on. */
static const unsigned char UTF8[8][3] = {{0, 0, 0}, {1, 0x80, 0xBF}, {2, 0x80, 0xBF}, {3, 0x80, 0xBF},
                                         /* after E0, ED, F0, F4 */
                                         {2, 0xA0, 0xBF}, {2, 0x80, 0x9F}, {3, 0x90, 0xBF}, {3, 0x80, 0x8F}};
#define BROKEN 255

/* The state after data, from a state. */
static unsigned char utf8_run(unsigned char state, const unsigned char *data, size_t n) {
    for (size_t i = 0; i < n && state != BROKEN; i++) {
        const unsigned char c = data[i], *go = UTF8[state];
        if (state) state = c >= go[1] && c <= go[2] ? (unsigned char)(go[0] - 1) : BROKEN;
        else if (c < 0x80) state = 0;
        else if (c < 0xC2 || c > 0xF4) state = BROKEN;
        else if (c < 0xE0) state = 1;
        else if (c < 0xF0) state = c == 0xE0 ? 4 : c == 0xED ? 5 : 2;
        else state = c == 0xF0 ? 6 : c == 0xF4 ? 7 : 3;
    }
    return state;
}

static void speller_write(Speller *sp, const unsigned char *bytes, size_t n) {
    if (sp->utf8) sp->state = utf8_run(sp->state, bytes, n);
    /* what is broken already, in the prompt, is left behind */
    if (sp->state == BROKEN) sp->state = 0;
}

static int speller_valid(const Speller *sp, Slice text) {
    return !sp->utf8 || utf8_run(sp->state, text.data, text.length) != BROKEN;
}

static int speller_allows(const Speller *sp, Slice text) {
    return speller_valid(sp, text) && (!sp->spelling || spelling_allows(sp->spelling, text));
}

#define SPOTS 4096               /* places: of those that a pair stands before the newest so many count */
#define SPEAKS 8                 /* the order of the chain that speaks */
#define AGAIN 3                  /* words: of a run as long that has been said already */
/* The rules, in nats. A token loses */
#define WALL 1e4                 /* if it makes a run of words of the corpus longer than `verbatim`, */
#define GLAD 0.7                 /* for each word by which the run is longer than a third of that, but on the
                                  * way home, */
#define SATED 12.0               /* if the run is longer than two thirds of it: any junction is better, and
                                  * what is no junction worse, */
#define STUCK 3.0                /* if no fork can be reached from it in time, */
#define ODD 16.0                 /* if it is a number where the corpus has none, or follows one, or a whole
                                  * word, as it does nowhere there, */
#define ABRUPT 6.0               /* if it ends a sentence too early (less with each word) or within
                                  * brackets, */
#define STALE 4.0                /* if it goes on with a run of AGAIN words that were said already; */
#define LONELY 3.0               /* it gains for each word that its best place shares with what was said,
                                  * up to SHARED, */
#define ONE_MORE 1.5             /* and for more than that, */
#define HOME 4.0                 /* and if it joins a sentence that can be said to its end before the run is
                                  * too long */

/* The chain that speaks, and where it leaves the corpus. Kneser-Ney's discounts set mass aside for what was
 * never seen: right for predicting what somebody else wrote, wrong for speaking, where who draws from it says
 * what nobody says. So the voice takes off only `discount` of them, and asks contexts of up to SPEAKS - 1
 * tokens. */
typedef struct { uint32_t place, match; } Spot;
/* the places that the last two tokens and more stand before, the newest first, and how many tokens match; the
 * last token, NONE before the first */
typedef struct { Spot *spots; size_t n, size; uint32_t last; } Trail;
typedef struct {                 /* of a token that may be said */
    uint32_t run;                /* how many words of the corpus in a row have been said when the token is
                                  * said; 0: it begins none */
    uint32_t shared;             /* 1 + the words that the best place has in common with what was said, within
                                  * the same brackets; 0: none */
    uint32_t reach;              /* the least run from which the text can be left */
    unsigned char level, stale;  /* a place has it as far into a sentence as it stands here; it was said
                                  * here */
    unsigned char home;          /* a junction within the sentence under way carries it to the end of another
                                  * one, before the run is longer than two thirds of `verbatim`; as much of
                                  * the other one must have been said */
} Next;
struct Voice {
    Places *places;
    Tokenizer *tok;
    Reader reader;
    double cut[4], *prob;        /* D; [vocab] */
    size_t verbatim, vocab;
    Trail now, start;            /* start: before the piece under way */
    Ids piece, heard;            /* the piece under way; how many words had begun after each token that was
                                  * said */
    Next *next;                  /* [vocab] */
    size_t *count; uint32_t *met;              /* [vocab]; those of which there are some */
};

static void voice_clear(Voice *voice) {
    voice->now.n = voice->start.n = voice->piece.n = voice->heard.n = 0;
    voice->now.last = voice->start.last = NONE;
    reader_clear(&voice->reader);
}

static Voice *voice_make(Places *places, const Chain *chain, Tokenizer *tok, double discount,
                         size_t verbatim) {
    Voice *voice = alloc(1, sizeof *voice);
    *voice = (Voice){.places = places, .tok = tok, .verbatim = verbatim, .vocab = tok->vocab,
        .prob = alloc(tok->vocab, sizeof(double)), .next = alloc(tok->vocab, sizeof(Next)),
        .count = alloc(tok->vocab, sizeof(size_t)), .met = alloc(tok->vocab, sizeof(uint32_t))};
    /* nothing is to have probability 0 */
    for (size_t k = 0; k < 4; k++) voice->cut[k] = (discount > 0.001 ? discount : 0.001) * chain->cut[k];
    voice->reader = (Reader){.tok = tok, .traits = places->traits};
    voice_clear(voice);
    return voice;
}

static void voice_free(Voice *voice) {
    free(voice->prob); free(voice->now.spots); free(voice->start.spots);
    free(voice->piece.ids); free(voice->heard.ids); free(voice->next); free(voice->count); free(voice->met);
    free(voice);
}

/* From every place to the one after it, where the corpus goes on with this token. */
static void voice_follow(Voice *voice, uint32_t id) {
    const Places *places = voice->places;
    const Trail now = voice->now;
    Trail next = {.last = places->bare[id]};
    size_t at = 0;
    for (uint32_t place = now.last == NONE ? 0 : places_after(places, now.last, next.last);
         place && next.n < SPOTS; place = places->older[place]) {
        while (at < now.n && now.spots[at].place >= place) at++;
        const int goes_on = at < now.n && now.spots[at].place + 1 == place;
        next.spots = grow(next.spots, next.n + 1, &next.size, sizeof *next.spots);
        next.spots[next.n++] = (Spot){place, goes_on ? now.spots[at].match + 1 : 2};
    }
    free(now.spots);
    voice->now = next;
}

/* The last byte of a token. */
static unsigned char token_end(const Tokenizer *tok, size_t id) { return tok->text[tok->start[id + 1] - 1]; }

static void trail_copy(Trail *to, const Trail *from) {
    to->spots = grow(to->spots, from->n, &to->size, sizeof *to->spots);
    if (from->n) memcpy(to->spots, from->spots, from->n * sizeof *to->spots);
    to->n = from->n;
    to->last = from->last;
}

/* The next token. The piece under way is read as the corpus would have it, should it be said in other
 * tokens. */
static void voice_write(Voice *voice, uint32_t id) {
    const Tokenizer *tok = voice->tok;
    const Trait *traits = voice->reader.traits;
    Bytes text = {0};
    Ids whole = {0};
    if (voice->piece.n) {
        const uint32_t last = voice->piece.ids[voice->piece.n - 1];
        const unsigned char first = *token_text(tok, id).data, before = token_end(tok, last);
        const int ended = traits[last].white ? !traits[id].white : kind_of[first] != kind_of[before];
        if (ended || voice->piece.n == LONGEST_WORD) {
            trail_copy(&voice->start, &voice->now);
            voice->piece.n = 0;
        }
    }
    ids_add(&voice->piece, id);
    trail_copy(&voice->now, &voice->start);
    for (size_t i = 0; i < voice->piece.n; i++) {
        const Slice token = token_text(tok, voice->piece.ids[i]);
        bytes_add(&text, token.data, token.length);
    }
    tokenizer_encode(voice->tok, &whole, text.data, text.length);
    for (size_t i = 0; i < whole.n; i++) voice_follow(voice, whole.ids[i]);
    reader_read(&voice->reader, id);
    ids_add(&voice->heard, voice->reader.words);
    free(text.data); free(whole.ids);
}

/* p[vocab]: what the chain says when it listens becomes what it says when it speaks: the recursion of chapter
 * II goes on over contexts of 2, 3, .. tokens. */
static void voice_speak(Voice *voice, double *p) {
    const Places *places = voice->places;
    const uint32_t *words = places->words;
    const size_t vocab = voice->vocab;
    memset(voice->next, 0, vocab * sizeof *voice->next);
    const uint32_t limit = (uint32_t)voice->verbatim, spoken = voice->reader.spoken,
        said = voice->reader.ended ? 0 : spoken;
    for (size_t i = 0; i < voice->now.n; i++) {
        const size_t place = voice->now.spots[i].place, n = voice->now.spots[i].match;
        const uint32_t common = words[place] - words[place - n], run = words[place + 1] - words[place - n];
        Next *next = &voice->next[places->ids[place]];
        if (words[place + 1] > words[place] && run > next->run) next->run = run;
        if (places->nested[place] != voice->reader.nested) continue;
        if (common + 1 > next->shared) next->shared = common + 1;
        const uint32_t there = places->spoken[place];
        next->level |= there == spoken || (there >= SENTENCE && spoken >= SENTENCE);
        if (common >= SHARED && limit) {
            const uint32_t reach = common + places_until_fork(places, place);
            if (!next->reach || reach < next->reach) next->reach = reach;
            if (common < said && said >= there && common + places_until_home(places, place) <= 2 * limit / 3)
                next->home = 1;
        }
    }
    for (size_t order = 2; order < SPEAKS; order++) {
        size_t n = 0;
        memset(voice->count, 0, vocab * sizeof *voice->count);
        for (size_t i = 0; i < voice->now.n; i++) {
            const size_t place = voice->now.spots[i].place;
            if (voice->now.spots[i].match >= order && places->nested[place] == voice->reader.nested)
                voice->count[places->ids[place]]++;
        }
        for (uint32_t x = 0; x < vocab; x++)
            if (voice->count[x]) {
                voice->met[n] = x;
                voice->count[n++] = voice->count[x];
            }
        if (!n) break;
        const double backoff = discounted(voice->count, n, voice->cut, voice->prob);
        mixed(p, vocab, voice->met, voice->prob, n, backoff);
    }
}

/* Is what was said a whole sentence, or line, with this token to come? */
static int voice_rests(const Voice *voice, uint32_t id) {
    const Trait *trait = &voice->reader.traits[id];
    const unsigned char *text = token_text(voice->tok, id).data;
    const int begins = trait->han
        || (text[0] == ' ' && !(trait->length > 1 && text[1] >= 'a' && text[1] <= 'z'));
    return trait->breaks || (voice->reader.ended && begins);
}

/* Marks the tokens that would go on with a run of AGAIN words that this very text has said before. */
static void voice_stale(const Voice *voice, const Field *field) {
    const uint32_t *heard = voice->heard.ids;
    const size_t n = voice->heard.n;
    for (size_t at = 0, seen = 0; field_moment(field, &at, &seen);) {
        const size_t match = field_match(field, at);
        if (heard[n - 1] - (match < n ? heard[n - 1 - match] : 0) >= AGAIN)
            voice->next[field->text.ids[at]].stale = 1;
    }
}

/* What each token gains or loses. Without the chain only the limit of verbatim holds; without the spelling
 * any word may go on. */
static void voice_rules(const Voice *voice, const Field *field, double *logits, int chain,
                        const Spelling *spelling) {
    const Reader *reader = &voice->reader;
    const Tokenizer *tok = voice->tok;
    const uint32_t limit = (uint32_t)voice->verbatim, wanted = reader->ended ? 0 : reader->spoken < SHARED
        ? reader->spoken : SHARED;
    const uint32_t wanting = reader->ended || reader->spoken >= SENTENCE ? 0 : SENTENCE - reader->spoken;
    const uint32_t glad = limit / 3, sated = 2 * limit / 3;
    const int whole = spelling && spelling->length && spelling->known != BEGUN ? kind_of[spelling->word[0]]
        : -1;
    const int number = voice->now.last != NONE && kind_of[token_end(tok, voice->now.last)] == DIGIT;
    voice_stale(voice, field);
    for (uint32_t x = 0; x < voice->vocab; x++) {
        const Trait *trait = &reader->traits[x];
        const Next *next = &voice->next[x];
        const uint32_t run = next->run, shared = next->shared ? next->shared - 1 : 0;
        double gain = 0.0;
        if (limit && run > limit) gain -= WALL;
        else if (limit && chain && run > (next->home ? sated : glad))
            gain -= GLAD * (double)(run - glad) + (run > sated ? SATED : 0.0);
        if (chain) {
            if (next->shared) gain += LONELY * (double)(shared < wanted ? shared : wanted);
            if (shared > wanted && wanted == SHARED) gain += ONE_MORE;
            if (next->reach > limit) gain -= STUCK;
            if (next->home) gain += HOME;
            if (number && shared) gain += ODD;
            /* a number must share with its place the word before it, and itself where it is under way */
            if (trait->digit && !number && shared < (trait->begins ? 1 : 2)) gain -= ODD;
            if (kind_of[*token_text(tok, x).data] == whole && !next->shared) gain -= ODD;
            if ((trait->closes || trait->breaks) && (wanting || reader->nested) && !next->level)
                gain -= ABRUPT * (double)(wanting ? wanting : SENTENCE) / (double)SENTENCE;
            if (next->stale) gain -= STALE;
        }
        logits[x] += gain;
    }
}

/* The glass: why each token was said */
enum { N_TERMS = N_PARTS + 1 };
static const char *const TERMS[N_TERMS] = {"chain", "net", "H", "F", "A", "T", "rules"};
/* what a whole row knows; bytes of the corpus before and after a run */
enum { CANDIDATES = 10, PROMISES = 6, EXCERPTS = 3, MARGIN = 70 };
enum { FAR_BACK = 64 };          /* words: of the prompt, the run may begin in the last so many */
#define NOWHERE SIZE_MAX

/* Where a text stands in the corpus: the longest run of whole words, the last perhaps under way, that ends
 * where the text does. */
typedef struct {
    const Bytes *corpus;
    Bytes text;
    size_t *begun, n_begun, begun_size;        /* where each word of the text begins */
    size_t words, at;            /* how many of them, the newest, are the run; where it stands first in the
                                  * corpus, or NOWHERE */
    size_t *ends, tokens, size;  /* where each token ends */
    size_t *line, lines;         /* where each line of the corpus begins */
    size_t *first, *place;       /* [65537], [words of the corpus]: where words begin, by a hash of their
                                  * first four bytes */
} Standing;

/* Does a word begin here? What stands after white space does; and every character of Han or kana, without
 * spaces. */
static int standing_begins(const unsigned char *data, size_t at) {
    return (kind_of[data[at]] < SPACE && (!at || kind_of[data[at - 1]] >= SPACE)) || has_han(data + at, 1);
}

static size_t standing_start(const Standing *s, size_t words) { return s->begun[s->n_begun - words]; }

static size_t four_bytes(const unsigned char *data) {
    return ((data[0] * 31u + data[1]) * 31u + data[2] * 8u + data[3] * 997u) & 0xFFFF;
}

static void standing_make(Standing *s, const Bytes *corpus) {
    size_t size = 0;
    *s = (Standing){.corpus = corpus, .first = alloc(65537, sizeof(size_t)),
        .place = alloc(corpus->length, sizeof(size_t))};
    for (size_t at = 0; at < corpus->length; at++) {
        if (!at || corpus->data[at - 1] == '\n') {
            s->line = grow(s->line, s->lines + 1, &size, sizeof *s->line);
            s->line[s->lines++] = at;
        }
        if (at + 4 <= corpus->length && standing_begins(corpus->data, at))
            s->first[four_bytes(corpus->data + at)]++;
    }
    for (size_t k = 0; k < 65536; k++) s->first[k + 1] += s->first[k];
    for (size_t at = corpus->length; at-- > 0;)
        if (at + 4 <= corpus->length && standing_begins(corpus->data, at))
            s->place[--s->first[four_bytes(corpus->data + at)]] = at;
}

static void standing_clear(Standing *s) {
    s->text.length = s->tokens = s->words = s->n_begun = 0;
    s->at = NOWHERE;
}

static void standing_free(Standing *s) {
    free(s->text.data); free(s->begun); free(s->ends); free(s->line); free(s->first); free(s->place);
}

/* The next place in the corpus, from `at` on, where the newest words stand. */
static size_t standing_find(const Standing *s, size_t words, size_t at) {
    const size_t start = standing_start(s, words), n = s->text.length - start;
    const unsigned char *run = s->text.data + start, *data = s->corpus->data;
    if (n < 4) {
        for (; at + n <= s->corpus->length; at++) if (!memcmp(data + at, run, n) && standing_begins(data, at))
            return at;
        return NOWHERE;
    }
    for (size_t i = s->first[four_bytes(run)], end = s->first[four_bytes(run) + 1]; i < end; i++)
        if (s->place[i] >= at && s->place[i] + n <= s->corpus->length && !memcmp(data + s->place[i], run, n))
            return s->place[i];
    return NOWHERE;
}

/* The next token's bytes. */
static void standing_write(Standing *s, Slice text) {
    for (size_t i = 0; i < text.length; i++) {
        bytes_add(&s->text, text.data + i, 1);
        if (!standing_begins(s->text.data, s->text.length - 1)) continue;
        s->begun = grow(s->begun, s->n_begun + 1, &s->begun_size, sizeof *s->begun);
        s->begun[s->n_begun++] = s->text.length - 1;
        s->words++;
    }
    s->ends = grow(s->ends, s->tokens + 1, &s->size, sizeof *s->ends);
    s->ends[s->tokens++] = s->text.length;
}

/* Finds words and at of the text as it is now. */
static void standing_look(Standing *s) {
    if (!s->words) return;
    const size_t start = standing_start(s, s->words), length = s->text.length - start;
    if (s->at != NOWHERE && s->at + length <= s->corpus->length
        && !memcmp(s->corpus->data + s->at, s->text.data + start, length)) return;
    const size_t most = s->words < FAR_BACK ? s->words : FAR_BACK;
    s->at = NOWHERE;
    /* a run with a word more stands there too, or later */
    for (s->words = 0; s->words < most; s->words++) {
        const size_t longer = s->words ? standing_start(s, s->words) - standing_start(s, s->words + 1) : 0;
        const size_t from = s->at == NOWHERE || s->at < longer ? 0 : s->at - longer;
        const size_t at = standing_find(s, s->words + 1, from);
        if (at == NOWHERE) break;
        s->at = at;
    }
}

/* Why a token was said. What only the page shows is told where it is asked for. */
typedef struct { uint32_t id; double p, parts[N_TERMS]; } Candidate;
typedef struct { uint32_t x, by; size_t back; double nats; } Promise;
typedef struct {
    uint32_t id, second;         /* the token, and the runner-up: of the others that might have been said
                                  * the most probable */
    double p, second_p;          /* among all tokens, after the rules and the temperature, before top-k */
    size_t rank;
    double gave[N_TERMS];        /* what each term gave it more than it gave the runner-up, nats */
    size_t line, column, words;  /* the longest run of words that ends here and stands there in the corpus;
                                  * words 0: the last two stand nowhere */
    size_t since;                /* how many tokens the run has in this text */
    double level;                /* trauma before the token, nats */
    /* those that might have been said, the most probable first */
    Candidate *candidates; size_t n_candidates;
    /* places of the corpus where the run stands; its bytes */
    size_t excerpt[EXCERPTS], n_excerpts, n_run;
    /* [heads][window]: how it is shared among the window's tokens, 0 to z */
    char *attention; size_t n_heads, n_window;
    Promise promise[PROMISES]; size_t n_promises;          /* what is still expected, the strongest first */
} Row;

struct Ledger {
    const Tokenizer *tok;
    Row *rows;
    size_t n, size;
    Ids heard;                   /* the text before the first row */
    Standing standing;
    Best best;
    Bytes *page, held;           /* where the text goes as JSON, or NULL: no whole rows; the bytes of a
                                  * character under way */
};

/* The open promises, the strongest first: what is promised, by whom the most, how far back that is. Returns
 * how many. */
static size_t strongest_promises(Field *field, Promise *best) {
    const size_t vocab = field->meta->vocab;
    double *nats = alloc(vocab, sizeof *nats), *strongest = alloc(vocab, sizeof *strongest);
    size_t *who = alloc(vocab, sizeof *who), found = 0;
    field_promised(field, nats, strongest, who);
    for (; found < PROMISES; found++) {
        const size_t x = largest(nats, 0, vocab);
        if (!(nats[x] > 0.0)) break;
        best[found] = (Promise){(uint32_t)x, field->text.ids[field->text.n - who[x]], who[x],
            field->co->beta * nats[x]};
        nats[x] = 0.0;
    }
    free(nats); free(strongest); free(who);
    return found;
}

/* What each of TERMS adds to the logit of x. logits, final: before and after the rules. */
static void ledger_parts(const Field *field, int use, const double *logits, const double *final, uint32_t x,
                         double parts[N_TERMS]) {
    field_parts(field, use, x, parts);
    parts[N_PARTS] = final[x] - logits[x];
}

/* Where the run stands, in words. */
static void row_stand(Row *row, Standing *s, const Slice text) {
    standing_write(s, text);
    standing_look(s);
    if (!s->words || (s->words < 2 && s->n_begun > 1)) return;
    const size_t start = standing_start(s, s->words);
    row->words = s->words;
    row->column = 1;
    row->line = 1 + text_document(&(Text){.start = s->line, .n_docs = s->lines}, s->at);
    for (size_t i = s->line[row->line - 1]; i < s->at; i++) row->column += (s->corpus->data[i] & 0xC0)
        != 0x80;
    row->n_run = s->text.length - start;
    while (row->since < s->tokens && s->ends[s->tokens - 1 - row->since] > start) row->since++;
}

/* What only the page shows. */
static void row_deepen(Row *row, const Ledger *why, Field *field, int use) {
    const Window *w = field->window;
    size_t at = row->words ? why->standing.at : NOWHERE;
    for (; row->n_excerpts < EXCERPTS && at != NOWHERE;
         at = standing_find(&why->standing, row->words, at + 1)) row->excerpt[row->n_excerpts++] = at;
    if (use & USE_F) row->n_promises = strongest_promises(field, row->promise);
    if (!w || !w->n) return;
    row->n_window = w->n;
    row->n_heads = w->net->shape.layers * (w->net->shape.content + w->net->shape.rrpram);
    row->attention = alloc(row->n_heads * w->n, 1);
    for (size_t i = 0; i < row->n_heads * w->n; i++)
        row->attention[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[(size_t)(35.0
                * w->seen[i / w->n * w->net->shape.context + i % w->n] + 0.5)];
}

/* The row of a token that is about to be said. logits, final [vocab]: before and after the rules. */
static void ledger_add(Ledger *why, Field *field, int use, const double *logits, const double *final,
                       uint32_t id, const Sampling *how, const Speller *speller) {
    const Tokenizer *tok = why->tok;
    const size_t vocab = tok->vocab, most = why->page ? CANDIDATES : 2;
    const double tau = how->temperature > 0.0 ? how->temperature : 1.0, mine = final[id],
        top = final[largest(final, 0, vocab)];
    double sum = 0.0, parts[N_TERMS];
    uint32_t found[CANDIDATES];
    size_t n = 0;
    int mine_found = 0;
    Row row = {.id = id, .second = id, .rank = 1, .level = field->level};
    for (size_t x = 0; x < vocab; x++) {
        sum += exp((final[x] - top) / tau);
        row.rank += final[x] > mine || (final[x] >= mine && x < id);
    }
    best_first(&why->best, final);
    for (uint32_t x; n < most && (x = best_next(&why->best)) != NONE;) {
        if (x != id && !speller_allows(speller, token_text(tok, x))) continue;
        found[n++] = x;
        mine_found |= x == id;
    }
    if (!mine_found) found[n - 1] = id;
    for (size_t i = n; i-- > 0;) if (found[i] != id) row.second = found[i];
    /* nothing else might have been said: the most probable of the others */
    best_first(&why->best, final);
    while (row.second == id && vocab > 1) row.second = best_next(&why->best);
    row.p = exp((mine - top) / tau) / sum;
    row.second_p = exp((final[row.second] - top) / tau) / sum;
    ledger_parts(field, use, logits, final, id, row.gave);
    ledger_parts(field, use, logits, final, row.second, parts);
    for (size_t k = 0; k < N_TERMS; k++) row.gave[k] -= parts[k];
    row_stand(&row, &why->standing, token_text(tok, id));
    if (why->page) {
        row.candidates = alloc(n, sizeof *row.candidates);
        for (row.n_candidates = 0; row.n_candidates < n; row.n_candidates++) {
            Candidate *candidate = &row.candidates[row.n_candidates];
            candidate->id = found[row.n_candidates];
            candidate->p = exp((final[candidate->id] - top) / tau) / sum;
            ledger_parts(field, use, logits, final, candidate->id, candidate->parts);
        }
        row_deepen(&row, why, field, use);
    }
    why->rows = grow(why->rows, why->n + 1, &why->size, sizeof *why->rows);
    why->rows[why->n++] = row;
}

/* A fresh ledger after the text so far. */
static void ledger_begin(Ledger *why, const Ids *ids) {
    Standing *s = &why->standing;
    for (size_t i = 0; i < why->n; i++) {
        free(why->rows[i].candidates); free(why->rows[i].attention);
    }
    why->n = why->held.length = why->heard.n = 0;
    standing_clear(s);
    for (size_t i = 0; i < ids->n; i++) {
        ids_add(&why->heard, ids->ids[i]);
        standing_write(s, token_text(why->tok, ids->ids[i]));
    }
}

/* ---------------------------------------------------------------------------------------------
 * VII  TRAINING: backpropagation by hand, and Chuck, who watches himself
 *
 * A window of n + 1 tokens asks n questions: position i has seen tokens 0 .. i, which one is next? The
 * forward pass is the Window's of chapter III, all positions at once. The backward pass walks it in
 * reverse (Rumelhart, Hinton and Williams 1986): each part is told how the loss changes with what it gave
 * (dy), adds up how it changes with its matrices, and says how it changes with what it took (dx). Three
 * rules are enough:
 *
 *     y = x W        dx = dy W^T,  dW = x^T dy     a product: each side's gradient is dy times the other side
 *     y = f(x)       dx = dy f'(x)                 the chain rule, for what is not a product
 *     x used twice   dx = the sum of both          a residual stream adds, so its gradient goes straight on
 *
 * Sums run over positions in ascending order; the windows of a step have a gradient each, added in their
 * order.
 *
 * Threads and tiles come first, since everything below is made of them; neither changes a number, so one
 * may pass them over.
 */
typedef struct Pass Pass;
typedef void Work(Pass *pass, size_t from, size_t to);      /* does numbers from .. to - 1 of something */

/* Threads: each processor that is free takes its part of a window. A work on numbers 0 .. n - 1 is cut
 * into parts of `many`, and whoever is free takes one. Each number is written in one part, by the same sum
 * as if there were no parts: nobody can tell from the result who did what. The helpers stand by for a
 * whole training, since a thread begun anew for each work would come too late.
 *
 * left     parts that nobody has taken: 0 between two works, so that there is nothing to take
 * undone   parts that are not done: the next work begins when it is 0
 * alone    until when nobody is asked for help
 */
enum { MOST_THREADS = 16 };

#if __STDC_VERSION__ >= 201112L && !defined __STDC_NO_ATOMICS__
typedef struct {
    Work *work;
    Pass *pass;
    size_t n, many, helpers;
    double alone;
    atomic_size_t left, undone;
    atomic_int over;
    pthread_t helper[MOST_THREADS - 1];
} Team;

/* Takes a part and does it. Returns 0 where none is left. */
static int team_part(Team *team) {
    size_t left = atomic_load(&team->left);
    while (left && !atomic_compare_exchange_weak(&team->left, &left, left - 1)) {}
    if (!left) return 0;
    const size_t from = (left - 1) * team->many, end = from + team->many;
    team->work(team->pass, from, end < team->n ? end : team->n);
    atomic_fetch_sub(&team->undone, 1);
    return 1;
}

/* Waking a sleeper would take longer than most works do: one looks again at once, and after a while lets
 * others have the processor. */
static void team_wait(size_t *looks) { if (++*looks > 10000) sched_yield(); }

static void *team_help(void *argument) {
    Team *team = argument;
    for (size_t looks = 0; !atomic_load(&team->over);) if (team_part(team)) looks = 0; else team_wait(&looks);
    return NULL;
}

/* As many threads as the machine has processors, at most `most`, this one among them. */
static void team_make(Team *team, size_t most) {
    const long there = sysconf(_SC_NPROCESSORS_ONLN);
    team->helpers = 0;
    team->alone = 0.0;
    atomic_init(&team->left, 0);
    atomic_init(&team->undone, 0);
    atomic_init(&team->over, 0);
    while (team->helpers + 1 < most && (long)team->helpers + 1 < there
           && !pthread_create(&team->helper[team->helpers], NULL, team_help, team)) team->helpers++;
}

static void team_end(Team *team) {
    atomic_store(&team->over, 1);
    for (size_t i = 0; i < team->helpers; i++) pthread_join(team->helper[i], NULL);
}

/* Does a work, and returns when all of it is done. Where that has to wait for a helper whose processor
 * another program has got, it does without helpers for fifty times as long. */
static void parallel(Team *team, Work *work, Pass *pass, size_t n, size_t many) {
    const double begin = team->helpers ? seconds() : 0.0;
    if (!team->helpers || begin < team->alone) { work(pass, 0, n); return; }
    team->work = work;
    team->pass = pass;
    team->n = n;
    team->many = many;
    atomic_store(&team->undone, (n + many - 1) / many);
    atomic_store(&team->left, (n + many - 1) / many);
    while (team_part(team)) {}
    const double mine = seconds();
    for (size_t looks = 0; atomic_load(&team->undone);) team_wait(&looks);
    const double waited = seconds() - mine;
    if (waited > 2.0 * (mine - begin) + 3e-4) team->alone = mine + 50.0 * waited;
}
#else                            /* a compiler without C11's atomics: nobody helps */
typedef struct { size_t helpers; } Team;
static void team_make(Team *team, size_t most) { (void)most; team->helpers = 0; }
static void team_end(Team *team) { team->helpers = 0; }
static void parallel(Team *team, Work *work, Pass *pass, size_t n, size_t many) {
    (void)team;
    (void)many;
    work(pass, 0, n);
}
#endif

/* A matrix, a part of one, or one read the other way: x[i][j] stands at at[i * down + j * along]. */
typedef struct { double *at; size_t rows, columns, down, along; } Matrix;

static Matrix matrix(double *at, size_t n, size_t m) { return (Matrix){at, n, m, m, 1}; }
static Matrix block(Matrix x, size_t row, size_t n, size_t column, size_t m) {
    return (Matrix){x.at + row * x.down + column * x.along, n, m, x.down, x.along};
}
static Matrix rows(Matrix x, size_t from, size_t to) { return block(x, from, to - from, 0, x.columns); }
static Matrix columns(Matrix x, size_t at, size_t m) { return block(x, 0, x.rows, at, m); }
static Matrix turned(Matrix x) { return (Matrix){x.at, x.columns, x.rows, x.along, x.down}; }

/* Rows to columns, written out: to[j][i] = from[i][j]. Small squares stay in the nearest cache. */
static void transpose(Matrix to, Matrix from) {
    double *restrict y = to.at;
    const double *restrict x = from.at;
    for (size_t i0 = 0; i0 < from.rows; i0 += 8)
        for (size_t j = 0; j < from.columns; j++)
            for (size_t i = i0; i < from.rows && i < i0 + 8; i++) y[j * to.down + i] = x[i * from.down + j];
}

/* Tiles: training in a third less time than with three plain loops. A tile of a product is TALL rows and
 * up to 2 Vectors of columns; its sums stay in registers from the first term to the last. A Vector is what
 * one instruction takes at a time, as wide as the machine has it; a compiler without vectors takes numbers
 * one by one: each sum is the same. */
#ifdef __AVX512F__
enum { WIDE = 8, TALL = 8 };
#elif defined __AVX__
enum { WIDE = 4, TALL = 4 };
#elif defined __GNUC__
enum { WIDE = 2, TALL = 4 };
#else
enum { WIDE = 1, TALL = 4 };
#endif
#ifdef __GNUC__
typedef double Vector __attribute__((vector_size(8 * WIDE), aligned(8), may_alias));
typedef double Half __attribute__((vector_size(4 * WIDE), aligned(8), may_alias));
#else
typedef double Vector, Half;
#endif

/* How a product is put where it goes: in its place; each sum going on from what is there; or summed apart and
 * then added. */
typedef enum { SET, GO_ON, ADD } How;
static const double NOTHING[2 * WIDE];

/* `tall` rows of a product, `many` Types of columns wide; w: its rows one after the other, w_down apart. */
#define TILE(name, Type, tall, many) \
    static void name(How how, double *y, size_t y_down, const double *x, size_t x_down, size_t x_along, \
                     const double *w, size_t w_down, size_t n) { \
        Type s[tall][many]; \
        for (size_t t = 0; t < tall; t++) \
            for (size_t k = 0; k < many; k++) \
                s[t][k] = *((const Type *)(how == GO_ON ? y + t * y_down : NOTHING) + k); \
        for (const double *end = w + n * w_down; w != end; w += w_down, x += x_along) \
            for (size_t t = 0; t < tall; t++) \
                for (size_t k = 0; k < many; k++) s[t][k] += x[t * x_down] * *((const Type *)w + k); \
        for (size_t t = 0; t < tall; t++) \
            for (size_t k = 0; k < many; k++) \
                *((Type *)(y + t * y_down) + k) = \
                    s[t][k] + *((const Type *)(how == ADD ? y + t * y_down : NOTHING) + k); \
    }
TILE(tile_two, Vector, TALL, 2)
TILE(tile_one, Vector, TALL, 1)
TILE(tile_half, Half, TALL, 1)
TILE(tile_number, double, TALL, 1)
TILE(row_two, Vector, 1, 2)
TILE(row_one, Vector, 1, 1)
TILE(row_half, Half, 1, 1)
TILE(row_number, double, 1, 1)

typedef void Tile(How, double *, size_t, const double *, size_t, size_t, const double *, size_t, size_t);
static const struct { size_t wide; Tile *tile, *row; } TILES[] = {
    {2 * WIDE, tile_two, row_two}, {WIDE, tile_one, row_one}, {(WIDE + 1) / 2, tile_half, row_half},
    {1, tile_number, row_number}};

/* y = x W, [n][r], [r][m] -> y[n][m], each sum in ascending order. Rows of y and W stand in one piece; x may
 * be turned. */
static void matmul(How how, Matrix y, Matrix x, Matrix w) {
    for (size_t j = 0, k = 0; j < w.columns; j += TILES[k].wide) {
        while (TILES[k].wide > w.columns - j) k++;
        for (size_t t = 0, tall; t < x.rows; t += tall) {
            tall = t + TALL <= x.rows ? TALL : 1;
            Tile *const tile = tall > 1 ? TILES[k].tile : TILES[k].row;
            tile(how, y.at + t * y.down + j, y.down, x.at + t * x.down, x.down, x.along, w.at + j, w.down,
                 x.columns);
        }
    }
}

/* a layer's matrices, in the order of the parameters */
enum { Q, K, V, R, RV, OUT, UP, DOWN, PARTS };

/* What a layer's forward pass leaves to the backward pass, and what that leaves to the matrices' gradients.
 * Shapes: see pass_make. */
typedef struct {
    Matrix w[PARTS], dw[PARTS], wt[PARTS];     /* its matrices in the parameters, in grad, and in turned */
    Matrix normed, scale;        /* what the heads read, and what RMSNorm multiplied by */
    Matrix q, k, value, turned_k, turned_value;
    Matrix weights, mixed;       /* where each position looks, a square a head; what it brings home */
    Matrix mlp_normed, mlp_scale, hidden;
    Matrix dq, dk, dvalue, dhidden;
    Matrix dscores;              /* of the weights before the softmax */
    Matrix dx, dattended;        /* of the residual stream after the layer, and after its heads */
} Kept;

typedef struct { const uint32_t *ids; size_t n; } Span;    /* n + 1 ids: n are asked for */

/* A window on its way through the transformer and back, a step's gradient, and the step. */
struct Pass {
    const Transformer *net;
    Team *team;
    Span window;
    size_t many;                 /* positions of a part */
    size_t l;                    /* the layer it has come to */
    double loss_scale;           /* of a token's loss in the step's mean */
    double *grad, *turned;       /* [n_params]: the gradient; every matrix transposed, for dx = dy W^T */
    Matrix head, dhead, head_t;
    Kept *kept;                  /* [layers] */
    Matrix x, normed, scale, logits, losses;               /* logits: then their gradient */
    Matrix dx, dnormed, dmixed;  /* of the stream before the first layer; a layer's */
    Matrix dwte;                 /* of this window alone; 0 but while it is added */
    void **blocks;               /* what all these stand in */
    size_t n_blocks;
    struct Chuck *chuck;         /* the step that all weights take: how, the gradient's factor, the rate */
    double clip, rate;
};

/* A layer's matrices in the parameters. r: the heads' [embd][context] below each other. */
static void layer_matrices(Matrix *w, const Transformer *net, size_t l) {
    const Layer *layer = &net->layer[l];
    const size_t embd = net->shape.embd, hidden = net->shape.mlp * embd, content = net->content_dim;
    const Matrix all[PARTS] = {
        matrix(layer->q, embd, content), matrix(layer->k, embd, content), matrix(layer->v, embd, content),
        matrix(layer->r, net->shape.rrpram * embd, net->shape.context),
        matrix(layer->rv, embd, net->rrpram_dim),
        matrix(layer->out, embd, embd), matrix(layer->up, embd, hidden), matrix(layer->down, hidden, embd)};
    memcpy(w, all, sizeof all);
}

static Matrix fresh(Pass *pass, size_t n, size_t m) {
    pass->blocks = resize(pass->blocks, pass->n_blocks + 1, sizeof *pass->blocks);
    return matrix(pass->blocks[pass->n_blocks++] = alloc(n * m, sizeof(double)), n, m);
}

/* most: positions of the longest window. */
static void pass_make(Pass *pass, const Transformer *net, Team *team, size_t most) {
    const Shape s = net->shape;
    const size_t embd = s.embd, hidden = s.mlp * embd, content = net->content_dim,
        heads = s.content + s.rrpram;
    const size_t pair = most / (2 * (team->helpers + 1));  /* two parts for each thread, of whole tiles */
    *pass = (Pass){.net = net, .team = team, .many = pair ? (pair + 7) / 8 * 8 : 8};
    pass->grad = fresh(pass, 1, net->n_params).at;
    pass->turned = fresh(pass, 1, net->n_params).at;
    pass->kept = alloc(s.layers, sizeof *pass->kept);
    for (size_t l = 0; l < s.layers; l++) {
        Kept *k = &pass->kept[l];
        layer_matrices(k->w, net, l);
        for (size_t i = 0; i < PARTS; i++) {
            const Matrix w = k->w[i];
            double *turned_at = pass->turned + (w.at - net->params);
            k->dw[i] = matrix(pass->grad + (w.at - net->params), w.rows, w.columns);
            k->wt[i] = i == R ? matrix(turned_at, s.rrpram * s.context, embd)
                : matrix(turned_at, w.columns, w.rows);
        }
        const struct { Matrix *to; size_t n, m; } all[] = {
            {&k->normed, most, embd}, {&k->scale, 1, most}, {&k->q, most, content}, {&k->k, most, content},
            {&k->value, most, embd}, {&k->turned_k, content, most}, {&k->turned_value, embd, most},
            {&k->weights, heads * most, most}, {&k->mixed, most, embd}, {&k->mlp_normed, most, embd},
            {&k->mlp_scale, 1, most}, {&k->hidden, most, hidden}, {&k->dq, most, content},
            {&k->dk, most, content}, {&k->dvalue, most, embd}, {&k->dhidden, most, hidden},
            {&k->dscores, heads * most, most}, {&k->dx, most, embd}, {&k->dattended, most, embd}};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i].to = fresh(pass, all[i].n, all[i].m);
    }
    pass->head = matrix(net->head, embd, net->vocab);
    pass->dhead = matrix(pass->grad + (net->head - net->params), embd, net->vocab);
    pass->head_t = matrix(pass->turned + (net->head - net->params), net->vocab, embd);
    Matrix *const wide[] = {&pass->x, &pass->normed, &pass->dx, &pass->dnormed, &pass->dmixed};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) *wide[i] = fresh(pass, most, embd);
    pass->scale = fresh(pass, 1, most);
    pass->losses = fresh(pass, 1, most);
    pass->logits = fresh(pass, most, net->vocab);
    pass->dwte = fresh(pass, net->vocab, embd);
}

static void pass_free(Pass *pass) {
    for (size_t i = 0; i < pass->n_blocks; i++) free(pass->blocks[i]);
    free(pass->blocks); free(pass->kept);
}

/* From here on the mathematics. Each function does positions from .. to - 1 of the window (t, i), all
 * others being where it needs them; d before a name: how the loss changes with it.
 *
 * The bottom of the stream: what the token is, and where it stands.  [n] -> [n][embd] */
static void embed_forward(Pass *pass, size_t from, size_t to) {
    const size_t embd = pass->net->shape.embd;
    for (size_t t = from; t < to; t++)
        for (size_t i = 0; i < embd; i++)
            pass->x.at[t * embd + i] = pass->net->wte[pass->window.ids[t] * embd + i]
                + pass->net->wpe[t * embd + i];
}

/* Back through embed_forward. A token may stand at many positions: their sum is made first, then added to the
 * step's. */
static void embed_backward(Pass *pass) {
    const size_t embd = pass->net->shape.embd;
    double *dwte = pass->grad + (pass->net->wte - pass->net->params),
        *dwpe = pass->grad + (pass->net->wpe - pass->net->params);
    for (size_t t = 0; t < pass->window.n; t++)
        for (size_t i = 0; i < embd; i++) {
            pass->dwte.at[pass->window.ids[t] * embd + i] += pass->dx.at[t * embd + i];
            dwpe[t * embd + i] += pass->dx.at[t * embd + i];
        }
    for (size_t t = 0; t < pass->window.n; t++)
        for (size_t i = 0; i < embd; i++) {
            double *sum = &pass->dwte.at[pass->window.ids[t] * embd + i];
            dwte[pass->window.ids[t] * embd + i] += *sum;
            *sum = 0.0;
        }
}

/* RMSNorm of each row, and the factor it was scaled by:  s = 1 / sqrt(mean(x^2) + 1e-5),  y = x s  (Zhang and
 * Sennrich 2019) */
static void norm_forward(Matrix y, Matrix scale, Matrix x, size_t from, size_t to) {
    const size_t n = x.columns;
    for (size_t t = from; t < to; t++) scale.at[t] = rmsnorm(y.at + t * n, x.at + t * n, n);
}

/* Back through norm_forward: what of dy points along y only changes the length, which is taken out again.
 * dx = after + s (dy - y mean(y dy)); after: the gradient of the stream behind, or NULL */
static void norm_backward(Matrix dx, const double *after, Matrix dy, Matrix y, Matrix scale, size_t from,
                          size_t to) {
    const size_t n = y.columns;
    for (size_t t = from; t < to; t++) {
        const double along = dot(y.at + t * n, dy.at + t * n, n) / (double)n, s = scale.at[t];
        for (size_t i = t * n; i < (t + 1) * n; i++)
            dx.at[i] = (after ? after[i] : 0.0) + s * (dy.at[i] - y.at[i] * along);
    }
}

/* What a position shows to those that come: keys and values; and its query. */
static void heads_read(Pass *pass, size_t from, size_t to) {
    const Kept *kept = &pass->kept[pass->l];
    const Matrix *w = kept->w, normed = rows(kept->normed, from, to), value = rows(kept->value, from, to);
    norm_forward(kept->normed, kept->scale, pass->x, from, to);
    matmul(SET, rows(kept->q, from, to), normed, w[Q]);
    matmul(SET, rows(kept->k, from, to), normed, w[K]);
    matmul(SET, value, normed, w[V]);
    matmul(SET, columns(value, w[V].columns, w[RV].columns), normed, w[RV]);
    transpose(columns(kept->turned_k, from, to - from), rows(kept->k, from, to));
    transpose(columns(kept->turned_value, from, to - from), value);
}

/* x += what all heads bring from the positions before, for head h in columns h d .. (h + 1) d - 1:
 *
 *     content head    score_ij = q_i . k_j / sqrt(d)
 *     RRPRAM head     score_ij = normed_i . r[:, j]
 *     both            weight_i = softmax over j <= i of score_i,  mixed_i = sum over j of weight_ij value_j
 *                     x_i += mixed_i out */
static void attention_forward(Pass *pass, size_t from, size_t to) {
    const Kept *kept = &pass->kept[pass->l];
    const size_t most = kept->weights.columns, embd = pass->net->shape.embd;
    const size_t d = pass->net->head_dim, content = pass->net->shape.content;
    const double root = sqrt((double)d);
    for (size_t h = 0; h < content + pass->net->shape.rrpram; h++) {
        const Matrix weights = block(kept->weights, h * most + from, to - from, 0, to);
        if (h < content)
            matmul(SET, weights, columns(rows(kept->q, from, to), h * d, d),
                   block(kept->turned_k, h * d, d, 0, to));
        else matmul(SET, weights, rows(kept->normed, from, to),
                    block(kept->w[R], (h - content) * embd, embd, 0, to));
        for (size_t i = from; i < to; i++) {               /* row i has i + 1 weights: nobody looks ahead */
            double *row = kept->weights.at + (h * most + i) * most;
            if (h < content) for (size_t j = 0; j <= i; j++) row[j] /= root;
            softmax(row, i + 1);
            zero(row + i + 1, most - i - 1);
        }
        matmul(SET, columns(rows(kept->mixed, from, to), h * d, d), weights, columns(kept->value, h * d, d));
    }
    matmul(GO_ON, rows(pass->x, from, to), rows(kept->mixed, from, to), kept->w[OUT]);
}

/* Back through p = softmax(score), where what raises one weight lowers all others; dp becomes dscore.
 * dscore_j = p_j (dp_j - sum of p dp).  p 0.5, 0.25, 0.25 and dp 1, 0, 0: dscore 0.25, -0.125, -0.125 */
static void softmax_backward(const double *p, double *dp, size_t n) {
    const double mean = dot(p, dp, n);
    for (size_t j = 0; j < n; j++) dp[j] = p[j] * (dp[j] - mean);
}

/* Back through attention_forward to queries and scores. */
static void attention_backward(Pass *pass, size_t from, size_t to) {
    const Kept *kept = &pass->kept[pass->l];
    const size_t most = kept->weights.columns, d = pass->net->head_dim, content = pass->net->shape.content;
    const double root = sqrt((double)d);
    matmul(SET, rows(pass->dmixed, from, to), rows(kept->dattended, from, to), kept->wt[OUT]);
    for (size_t h = 0; h < content + pass->net->shape.rrpram; h++) {
        const Matrix dscores = block(kept->dscores, h * most + from, to - from, 0, to);
        matmul(SET, dscores, columns(rows(pass->dmixed, from, to), h * d, d),
               block(kept->turned_value, h * d, d, 0, to));
        for (size_t i = from; i < to; i++) {
            double *row = kept->dscores.at + (h * most + i) * most;
            softmax_backward(kept->weights.at + (h * most + i) * most, row, i + 1);
            if (h < content) for (size_t j = 0; j <= i; j++) row[j] /= root;
            zero(row + i + 1, most - i - 1);
        }
        if (h < content)
            matmul(SET, columns(rows(kept->dq, from, to), h * d, d), dscores, columns(kept->k, h * d, d));
    }
}

/* Back through heads_read, when all that looked at a position have answered (only those from `from` on
 * have): the gradient of the layer's stream. normed was used by every matrix: all of them answer. */
static void heads_answer(Pass *pass, size_t from, size_t to) {
    const Transformer *net = pass->net;
    const Kept *kept = &pass->kept[pass->l];
    const size_t n = pass->window.n, most = kept->weights.columns;
    const size_t d = net->head_dim, content = net->shape.content;
    const Matrix dnormed = rows(pass->dnormed, from, to), dvalue = rows(kept->dvalue, from, to);
    const Matrix dk = rows(kept->dk, from, to);
    for (size_t h = 0; h < content + net->shape.rrpram; h++) {
        const size_t at = h * most + from;
        matmul(SET, columns(dvalue, h * d, d), turned(block(kept->weights, at, n - from, from, to - from)),
               block(pass->dmixed, from, n - from, h * d, d));
        if (h < content)
            matmul(SET, columns(dk, h * d, d), turned(block(kept->dscores, at, n - from, from, to - from)),
                   block(kept->q, from, n - from, h * d, d));
    }
    matmul(SET, dnormed, rows(kept->dq, from, to), kept->wt[Q]);
    matmul(GO_ON, dnormed, dk, kept->wt[K]);
    matmul(GO_ON, dnormed, columns(dvalue, 0, net->content_dim), kept->wt[V]);
    for (size_t h = 0; h < net->shape.rrpram; h++)
        matmul(GO_ON, dnormed, block(kept->dscores, (content + h) * most + from, to - from, 0, to),
               rows(kept->wt[R], h * net->shape.context, kept->wt[R].rows));
    matmul(GO_ON, dnormed, columns(dvalue, net->content_dim, net->rrpram_dim), kept->wt[RV]);
    norm_backward(pass->l ? kept[-1].dx : pass->dx, kept->dattended.at, pass->dnormed, kept->normed,
                  kept->scale, from, to);
}

/* x += relu(rmsnorm(x) up) down */
static void mlp_forward(Pass *pass, size_t from, size_t to) {
    const Kept *kept = &pass->kept[pass->l];
    const Matrix hidden = rows(kept->hidden, from, to);
    norm_forward(kept->mlp_normed, kept->mlp_scale, pass->x, from, to);
    matmul(SET, hidden, rows(kept->mlp_normed, from, to), kept->w[UP]);
    for (size_t i = 0; i < hidden.rows * hidden.columns; i++)
        hidden.at[i] = hidden.at[i] > 0.0 ? hidden.at[i] : 0.0;
    matmul(GO_ON, rows(pass->x, from, to), hidden, kept->w[DOWN]);
}

/* Back through mlp_forward: where the relu was shut, nothing comes back. */
static void mlp_backward(Pass *pass, size_t from, size_t to) {
    const Kept *kept = &pass->kept[pass->l];
    const Matrix hidden = rows(kept->hidden, from, to), dhidden = rows(kept->dhidden, from, to);
    matmul(SET, dhidden, rows(kept->dx, from, to), kept->wt[DOWN]);
    for (size_t i = 0; i < hidden.rows * hidden.columns; i++)
        dhidden.at[i] = hidden.at[i] > 0.0 ? dhidden.at[i] : 0.0;
    matmul(SET, rows(pass->dnormed, from, to), dhidden, kept->wt[UP]);
    norm_backward(kept->dattended, kept->dx.at, pass->dnormed, kept->mlp_normed, kept->mlp_scale, from, to);
}

/* cross_entropy; the logits become its gradient times loss_scale: every token's probability, less one for the
 * token that came. Of three equal logits whose first came: -2/3, 1/3, 1/3. */
static double cross_entropy_backward(double *logits, size_t n, uint32_t id, double loss_scale) {
    const double top = greatest(logits, n), came = logits[id] - top;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += logits[i] = exp(logits[i] - top);
    const double scale = loss_scale / sum;
    for (size_t i = 0; i < n; i++) logits[i] *= scale;
    logits[id] -= loss_scale;
    return log(sum) - came;
}

/* logits = rmsnorm(x) head */
static void head_read(Pass *pass, size_t from, size_t to) {
    norm_forward(pass->normed, pass->scale, pass->x, from, to);
    matmul(SET, rows(pass->logits, from, to), rows(pass->normed, from, to), pass->head);
}

/* The cross-entropy at what came next. */
static void head_forward(Pass *pass, size_t from, size_t to) {
    head_read(pass, from, to);
    for (size_t t = from, vocab = pass->head.columns; t < to; t++)
        pass->losses.at[t] = cross_entropy(pass->logits.at + t * vocab, vocab, pass->window.ids[t + 1]);
}

/* The same, and back through it. */
static void head_backward(Pass *pass, size_t from, size_t to) {
    head_read(pass, from, to);
    for (size_t t = from, vocab = pass->head.columns; t < to; t++)
        pass->losses.at[t] = cross_entropy_backward(pass->logits.at + t * vocab, vocab,
                                                    pass->window.ids[t + 1], pass->loss_scale);
    matmul(SET, rows(pass->dnormed, from, to), rows(pass->logits, from, to), pass->head_t);
    norm_backward(pass->kept[pass->net->shape.layers - 1].dx, NULL, pass->dnormed, pass->normed, pass->scale,
                  from, to);
}

/* dW = x^T dy for all matrices, added to the step's gradient: rows from .. to - 1, and mlp times as many
 * of down, which reads what is mlp times as wide. */
static void weights_backward(Pass *pass, size_t from, size_t to) {
    const Transformer *net = pass->net;
    const size_t n = pass->window.n, embd = net->shape.embd, mlp = net->shape.mlp,
        content_dim = net->content_dim;
    for (size_t l = 0; l < net->shape.layers; l++) {
        const Kept *kept = &pass->kept[l];
        const size_t most = kept->weights.columns;
        const Matrix *dw = kept->dw, normed = turned(block(kept->normed, 0, n, from, to - from));
        matmul(ADD, rows(dw[Q], from, to), normed, kept->dq);
        matmul(ADD, rows(dw[K], from, to), normed, kept->dk);
        matmul(ADD, rows(dw[V], from, to), normed, columns(kept->dvalue, 0, content_dim));
        for (size_t h = 0; h < net->shape.rrpram; h++)
            matmul(ADD, rows(dw[R], h * embd + from, h * embd + to), normed,
                   block(kept->dscores, (net->shape.content + h) * most, n, 0, n));
        matmul(ADD, rows(dw[RV], from, to), normed, columns(kept->dvalue, content_dim, net->rrpram_dim));
        matmul(ADD, rows(dw[OUT], from, to), turned(block(kept->mixed, 0, n, from, to - from)),
               kept->dattended);
        matmul(ADD, rows(dw[UP], from, to), turned(block(kept->mlp_normed, 0, n, from, to - from)),
               kept->dhidden);
        matmul(ADD, rows(dw[DOWN], mlp * from, mlp * to),
               turned(block(kept->hidden, 0, n, mlp * from, mlp * (to - from))), kept->dx);
    }
    matmul(ADD, rows(pass->dhead, from, to), turned(block(pass->normed, 0, n, from, to - from)),
           pass->logits);
}

/* All positions of the window, some tiles of them a part; all rows of the matrices, a tile of them a part. */
static void all_positions(Pass *pass, Work *work) {
    parallel(pass->team, work, pass, pass->window.n, pass->many);
}
static void all_rows(Pass *pass, Work *work) { parallel(pass->team, work, pass, pass->net->shape.embd, 8); }

/* What a layer does once all positions have read. */
static void layer_forward(Pass *pass, size_t from, size_t to) {
    attention_forward(pass, from, to);
    mlp_forward(pass, from, to);
}

static void layer_backward(Pass *pass, size_t from, size_t to) {
    mlp_backward(pass, from, to);
    attention_backward(pass, from, to);
}

/* The window up to the head, and through it as `head` says. Returns the summed cross-entropy at all but its
 * first id. */
static double net_forward(Pass *pass, Span window, Work *head) {
    pass->window = window;
    all_positions(pass, embed_forward);
    for (pass->l = 0; pass->l < pass->net->shape.layers; pass->l++) {
        all_positions(pass, heads_read);
        all_positions(pass, layer_forward);
    }
    all_positions(pass, head);
    return total(pass->losses.at, window.n);
}

/* Back through net_forward, from the last layer to the first: adds to the step's gradient. */
static void net_backward(Pass *pass) {
    for (pass->l = pass->net->shape.layers; pass->l-- > 0;) {
        all_positions(pass, layer_backward);
        all_positions(pass, heads_answer);
    }
    all_rows(pass, weights_backward);
    embed_backward(pass);
}

static double window_loss(Pass *pass, Span window) { return net_forward(pass, window, head_forward); }

/* window_loss; and the gradient of loss_scale times it is added to the step's. */
static double window_gradient(Pass *pass, Span window, double loss_scale) {
    pass->loss_scale = loss_scale;
    const double loss = net_forward(pass, window, head_backward);
    net_backward(pass);
    return loss;
}

/* Before a step's windows: every matrix transposed, a part of it that is to the whole as from .. to - 1 is to
 * embd; no gradient yet. */
static void step_begin(Pass *pass, size_t from, size_t to) {
    const Shape s = pass->net->shape;
    const size_t embd = s.embd, first = pass->net->n_params / embd * from;
    for (size_t l = 0; l <= s.layers; l++)
        for (size_t i = 0; i < (l < s.layers ? PARTS : 1); i++) {
            const Matrix w = l < s.layers ? pass->kept[l].w[i] : pass->head;
            const Matrix wt = l < s.layers ? pass->kept[l].wt[i] : pass->head_t;
            const size_t at = w.columns * from / embd, end = w.columns * to / embd,
                many = i == R ? s.rrpram : 1;
            for (size_t h = 0, n = w.rows / (many ? many : 1); h < many; h++)
                transpose(rows(wt, h * w.columns + at, h * w.columns + end),
                          block(w, h * n, n, at, end - at));
        }
    zero(pass->grad + first, pass->net->n_params / embd * to - first);
}

/* The mean cross-entropy of a step's windows, and its gradient in pass->grad. Where it is stopped, what it
 * has is nothing. */
static double batch_gradient(Pass *pass, const Span *window, size_t batch) {
    double n = 0.0, loss = 0.0;
    for (size_t i = 0; i < batch; i++) n += (double)window[i].n;
    all_rows(pass, step_begin);
    for (size_t i = 0; i < batch && !stopped; i++) loss += window_gradient(pass, window[i], 1.0 / n);
    return loss / n;
}

#define BETA1 0.9
#define BETA2 0.999
#define EPSILON 1e-8
#define DECAY 0.01
enum { WATCH = 8 };              /* steps: Chuck compares the newest so many with as many before */
enum { BEST = 64 };              /* steps: the best state has the lowest mean loss of so many */
enum { LOOKS = 10 };             /* times that training looks at the held-out loss, and once before */

/* AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019) that watches itself. A step t moves each weight w
 * against its gradient g:
 *
 *     m = BETA1 m + (1 - BETA1) g           where the gradient points, smoothed
 *     s = BETA2 s + (1 - BETA2) g^2         how large it is
 *     w = w - rate factor (m / (1 - BETA1^t) / (sqrt(s / (1 - BETA2^t)) + EPSILON) + DECAY w)
 *
 * factor   0.05 less where the mean loss of the newest 8 steps has risen by more than 0.02 nats over the 8
 *          before (not under 0.5), 0.05 more where it has fallen by as much (not over 1.5); and each step it
 *          drifts back to 1 by 0.1 %
 * limit    of the gradient's norm: twice its moving average (0.99 a step, from the first norm on), or 1 if
 *          that is more
 */
typedef struct Chuck {
    double *mean, *square;       /* [n_params] each: m and s */
    double losses[2 * WATCH], factor, average, limit, power1, power2;      /* power1: BETA1^t */
    size_t n;                    /* losses seen, at most 2 WATCH */
} Chuck;

static void chuck_make(Chuck *chuck, size_t n_params) {
    *chuck = (Chuck){.mean = alloc(n_params, 8), .square = alloc(n_params, 8), .factor = 1.0, .limit = 1.0,
        .power1 = 1.0, .power2 = 1.0};
}

/* The newest of at most `size` numbers goes to their end; the oldest is forgotten. */
static void remember(double *numbers, size_t *n, size_t size, double newest) {
    if (*n == size) memmove(numbers, numbers + 1, --*n * sizeof *numbers);
    numbers[(*n)++] = newest;
}

/* A step's loss: sets factor. */
static void chuck_watch(Chuck *chuck, double loss) {
    remember(chuck->losses, &chuck->n, 2 * WATCH, loss);
    chuck->factor += 0.001 * (1.0 - chuck->factor);
    if (chuck->n < 2 * WATCH) return;
    const double rise = (total(chuck->losses + WATCH, WATCH) - total(chuck->losses, WATCH)) / WATCH;
    if (rise > 0.02) chuck->factor = chuck->factor - 0.05 > 0.5 ? chuck->factor - 0.05 : 0.5;
    else if (rise < -0.02) chuck->factor = chuck->factor + 0.05 < 1.5 ? chuck->factor + 0.05 : 1.5;
}

/* A step's gradient norm: sets limit, returns what the gradient is to be multiplied by. */
static double chuck_clip(Chuck *chuck, double norm) {
    chuck->average = chuck->power1 < 1.0 ? 0.99 * chuck->average + 0.01 * norm : norm;
    chuck->limit = 2.0 * chuck->average > 1.0 ? 2.0 * chuck->average : 1.0;
    return norm > chuck->limit ? chuck->limit / norm : 1.0;
}

static void chuck_move(Pass *pass, size_t from, size_t to) {
    const Chuck *chuck = pass->chuck;
    const double unbias1 = 1.0 / (1.0 - chuck->power1), unbias2 = 1.0 / (1.0 - chuck->power2);
    const double keep1 = 1.0 - BETA1, keep2 = 1.0 - BETA2;
    const double rate = pass->rate, clip = pass->clip, *restrict grad = pass->grad;
    double *restrict mean = chuck->mean, *restrict square = chuck->square, *restrict w = pass->net->params;
    for (size_t i = from; i < to; i++) {
        const double g = grad[i] * clip;
        mean[i] = BETA1 * mean[i] + keep1 * g;
        square[i] = BETA2 * square[i] + keep2 * (g * g);
        w[i] -= rate * (mean[i] * unbias1 / (sqrt(square[i] * unbias2) + EPSILON) + DECAY * w[i]);
    }
}

/* Moves the weights against the gradient. rate: before the factor. Returns the gradient's norm. */
static double chuck_step(Chuck *chuck, Pass *pass, double rate) {
    const double norm = sqrt(dot(pass->grad, pass->grad, pass->net->n_params));
    if (!(norm < 1e300)) return norm;
    pass->chuck = chuck;
    pass->clip = chuck_clip(chuck, norm);
    pass->rate = rate * chuck->factor;
    chuck->power1 *= BETA1;
    chuck->power2 *= BETA2;
    parallel(pass->team, chuck_move, pass, pass->net->n_params, 8192);
    return norm;
}

/* order[n] becomes 0 .. n - 1 in an order drawn from rng (Fisher and Yates 1938). */
static void shuffled(size_t *order, size_t n, Rng *rng) {
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i-- > 1;) {
        const size_t j = rng_next(rng) % (i + 1), moved = order[i];
        order[i] = order[j];
        order[j] = moved;
    }
}

/* The k-th window that training sees: with `lines` the start of the documents, in their shuffled order,
 * else at a place drawn from all places. */
static Span window_draw(const Text *text, size_t context, Rng *rng, size_t k, const size_t *order) {
    if (text->lines) {
        const size_t doc = order[k % text->n_docs], n = text->start[doc + 1] - text->start[doc] - 1;
        return (Span){text->ids + text->start[doc], n < context ? n : context};
    }
    const size_t n = text->n - 1 < context ? text->n - 1 : context;
    return (Span){text->ids + rng_next(rng) % (text->n - n), n};
}

/* The mean cross-entropy of a text, a window after the other; with `lines` of the start of each document.
 * Nothing where it is stopped. */
static double held_out_loss(Pass *pass, const Text *text) {
    const size_t context = pass->net->shape.context;
    double sum = 0.0;
    size_t tokens = 0;
    for (size_t doc = 0; doc < text->n_docs; doc++)
        for (size_t at = text->start[doc], end = text->start[doc + 1] - 1; at < end && !stopped;
             at += context) {
            const size_t n = end - at < context ? end - at : context;
            sum += window_loss(pass, (Span){text->ids + at, n});
            tokens += n;
            if (text->lines) break;
        }
    return sum / (double)tokens;
}

/* What a training came to: steps done, the best loss, and why it ended early, empty where it did not. */
typedef struct { size_t steps; double best, begin; char fault[160]; } Training;

/* A line on standard error, in full; where that is a terminal, one in place, short. */
static void report(const Training *so_far, const Options *o, size_t step, double loss, const char *format,
                   ...) {
    if (o->quiet) return;
    if (isatty(2)) {
        const double spent = seconds() - so_far->begin, speed = (double)step / (spent > 1e-9 ? spent : 1e-9);
        progress_next = 1e-9;
        progress("step %zu of %zu: loss %.4f, best %.4f, %.1f a second", step, o->train, loss, so_far->best,
                 speed);
        if (step) fprintf(stderr, ", %.0f s left", (double)(o->train - step) / speed);
        fflush(stderr);
        return;
    }
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " best %.17g\n", so_far->best);
}

/* Where a number is none (its size is 1e300 or more), says so. */
static int check_number(Training *so_far, const char *what, double x, size_t step) {
    if (x < 1e300) return 1;
    snprintf(so_far->fault, sizeof so_far->fault,
             "the %s of step %zu is not a number; the best state so far is kept (a lower --lr may help)",
             what, step + 1);
    return 0;
}

static size_t longest(const Text *text, size_t least) {
    for (size_t doc = 0; text && doc < text->n_docs; doc++)
        if (text->start[doc + 1] - text->start[doc] - 1 > least)
            least = text->start[doc + 1] - text->start[doc] - 1;
    return least;
}

/* Trains the transformer and leaves it in its best state, also where it is interrupted.
 *
 * Each step takes `batch` windows; the rate falls linearly to zero over the steps, as microgpt's does. The
 * best state is the one with the lowest held-out loss where there is a held-out text (looked at LOOKS
 * times), else the lowest mean loss of the newest BEST steps: a state is judged before it is changed, and
 * the last one by one more batch. Before there are so many losses, the newest state is kept.
 */
static Training train(Transformer *net, const Text *text, const Text *held_out, const Options *o) {
    const size_t steps = o->train, batch = o->batch, context = net->shape.context;
    const size_t whole = longest(held_out, longest(text, 0)), most = whole < context ? whole : context;
    Training so_far = {.begin = seconds()};
    Team team;
    Pass pass;
    Chuck chuck;
    Rng rng = {o->sampling.seed};
    Span *window = alloc(batch, sizeof *window);
    size_t n_losses = 0, *order = alloc(text->lines ? text->n_docs : 1, sizeof *order);
    double *best = alloc(net->n_params, 8), losses[BEST];
    int judged_once = 0;                                   /* the state kept in best has been judged */
    if (text->lines) shuffled(order, text->n_docs, &rng);
    /* small windows are done sooner than parts are taken */
    team_make(&team, net->n_params * most > 1000000 ? MOST_THREADS : 1);
    pass_make(&pass, net, &team, most);
    chuck_make(&chuck, net->n_params);
    memcpy(best, net->params, net->n_params * sizeof *best);
    for (size_t step = 0;; step++) {
        double loss = 0.0, n = 0.0;
        so_far.steps = step;
        for (size_t i = 0; i < batch; i++)
            window[i] = window_draw(text, context, &rng, step * batch + i, order);
        if (step < steps) loss = batch_gradient(&pass, window, batch);
        else {
            for (size_t i = 0; i < batch; i++) {
                loss += window_loss(&pass, window[i]);
                n += (double)window[i].n;
            }
            loss /= n;
        }
        if (!check_number(&so_far, "loss", loss, step)) break;
        remember(losses, &n_losses, BEST, loss);
        /* every tenth part of the steps */
        const int look = held_out && step * LOOKS % steps < LOOKS;
        const double judged = look ? held_out_loss(&pass, held_out)
            : total(losses, n_losses) / (double)n_losses;
        if (stopped) break;
        if ((look || !held_out) && (!judged_once || judged < so_far.best)) {
            so_far.best = judged;
            memcpy(best, net->params, net->n_params * sizeof *best);
            judged_once = look || n_losses == BEST;
        }
        if (look) report(&so_far, o, step, judged, "held-out after %zu steps: loss %.17g", step, judged);
        if (step == steps) {
            report(&so_far, o, step, loss, "after %zu steps: loss %.17g", step, loss);
            break;
        }
        chuck_watch(&chuck, loss);
        const double falling = o->rate * ((double)(steps - step) / (double)steps);
        const double norm = chuck_step(&chuck, &pass, falling);
        if (!check_number(&so_far, "gradient", norm, step)) break;
        report(&so_far, o, step + 1, loss,
               "step %zu loss %.17g rate %.17g factor %.17g norm %.17g clip %.17g",
               step + 1, loss, falling * chuck.factor, chuck.factor, norm, chuck.limit);
    }
    memcpy(net->params, best, net->n_params * sizeof *best);
    team_end(&team);
    pass_free(&pass);
    free(chuck.mean); free(chuck.square); free(window); free(best); free(order);
    return so_far;
}

static uint32_t crc32_of(const void *data, size_t length) {              /* as zlib's */
    static uint32_t table[256];
    const unsigned char *bytes = data;
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
    return ~crc;
}

/* A checkpoint is a .safetensors file: the header's length (8 bytes), the header, every weight as a
 * little-endian double. The header is JSON, made of parts: what it says, with a label, and what stands
 * between, without one. */
typedef struct { char label[40], text[112]; } HeaderPart;
typedef struct { HeaderPart *parts; size_t n; Bytes text; } Header;
enum { FAULT = 640 };

static void header_put(Header *header, const char *label, const char *format, ...) {
    header->parts = resize(header->parts, header->n + 1, sizeof *header->parts);
    HeaderPart *new = &header->parts[header->n++];
    va_list args;
    va_start(args, format);
    vsnprintf(new->text, sizeof new->text, format, args);
    va_end(args);
    snprintf(new->label, sizeof new->label, "%s", label);
    bytes_add(&header->text, new->text, strlen(new->text));
}

static void header_free(Header *header) { free(header->parts); free(header->text.data); }

/* heads: of a matrix that is one [n / heads][m] a head; 0 of another. Those without numbers are left out. */
static void header_matrix(Header *header, size_t *at, const char *name, size_t heads, size_t n, size_t m) {
    char label[40], shape[80];
    if (!n || !m) return;
    snprintf(shape, sizeof shape, "%zu,%zu,%zu", heads, n / (heads ? heads : 1), m);
    header_put(header, "", ",\"%s.weight\":{\"dtype\":\"", name);
    snprintf(label, sizeof label, "%s.weight dtype", name);
    header_put(header, label, "F64");
    header_put(header, "", "\",\"shape\":[");
    snprintf(label, sizeof label, "%s.weight shape", name);
    header_put(header, label, "%s", heads ? shape : shape + 2);
    header_put(header, "", "],\"data_offsets\":[");
    snprintf(label, sizeof label, "%s.weight data_offsets", name);
    header_put(header, label, "%zu,%zu", *at, *at + 8 * n * m);
    header_put(header, "", "]}");
    *at += 8 * n * m;
}

/* What a checkpoint says of itself: where any of it differs, its weights mean something else. */
typedef struct { const char *name; char value[112]; } About;
enum { N_ABOUT = 7 };

static void checkpoint_header(Header *header, const Transformer *net, const About *about) {
    static const char *const names[PARTS] = {"content.q", "content.k", "content.v", "rrpram.r", "rrpram.v",
                                             "out", "mlp.up", "mlp.down"};
    size_t at = 0;
    *header = (Header){0};
    for (size_t i = 0; i < N_ABOUT; i++) {
        header_put(header, "", "%s%s\":\"", i ? "\",\"" : "{\"__metadata__\":{\"", about[i].name);
        header_put(header, about[i].name, "%s", about[i].value);
    }
    header_put(header, "", "\"}");
    header_matrix(header, &at, "wte", 0, net->vocab, net->shape.embd);
    header_matrix(header, &at, "wpe", 0, net->shape.context, net->shape.embd);
    for (size_t l = 0; l < net->shape.layers; l++) {
        Matrix w[PARTS];
        layer_matrices(w, net, l);
        for (size_t i = 0; i < PARTS; i++) {
            char name[24];
            snprintf(name, sizeof name, "layers.%u.%s", (unsigned)l, names[i]);
            header_matrix(header, &at, name, i == R ? net->shape.rrpram : 0, w[i].rows, w[i].columns);
        }
    }
    header_matrix(header, &at, "head", 0, net->shape.embd, net->vocab);
    header_put(header, "", "}");
}

static void put_u64(unsigned char *to, uint64_t x) {
    for (int i = 0; i < 8; i++) to[i] = (unsigned char)(x >> 8 * i);
}

static uint64_t get_u64(const unsigned char *from) {
    uint64_t x = 0;
    for (int i = 8; i-- > 0;) x = x << 8 | from[i];
    return x;
}

/* The checksum of the weights, which the header tells last of what it says. */
static void about_weights(About *about, const unsigned char *weights, size_t length) {
    snprintf(about[N_ABOUT - 1].value, sizeof about->value, "%08x", crc32_of(weights, length));
}

static unsigned char *checkpoint_bytes(const Transformer *net, About *about, size_t *length) {
    Header header;
    unsigned char *weights = alloc(net->n_params, 8);
    for (size_t i = 0; i < net->n_params; i++) {
        uint64_t bits;
        memcpy(&bits, &net->params[i], 8);
        put_u64(weights + 8 * i, bits);
    }
    about_weights(about, weights, 8 * net->n_params);
    checkpoint_header(&header, net, about);
    bytes_add(&header.text, "       ", (8 - header.text.length % 8) % 8);
    *length = 8 + header.text.length + 8 * net->n_params;
    unsigned char *bytes = alloc(*length, 1);
    put_u64(bytes, header.text.length);
    memcpy(bytes + 8, header.text.data, header.text.length);
    memcpy(bytes + 8 + header.text.length, weights, 8 * net->n_params);
    header_free(&header);
    free(weights);
    return bytes;
}

/* Does a checkpoint say that its weights come from training? */
static int checkpoint_trained(const unsigned char *bytes, size_t length) {
    static const char yes[] = "\"trained\":\"yes\"";
    const size_t n = sizeof yes - 1, end = length < 1024 ? length : 1024;
    for (size_t at = 0; at + n <= end; at++) if (!memcmp(bytes + at, yes, n)) return 1;
    return 0;
}

/* Compares a file's header with what it would be; fault[FAULT] says what differs. */
static void header_check(const Header *header, const char *found, size_t length, size_t weights,
                         size_t wanted, char *fault) {
    size_t at = 0, n = 0;
    for (size_t i = 0; i < header->n && !*fault; i++, at += n) {
        const HeaderPart *its = &header->parts[i];
        const size_t left = length - at;
        n = strlen(its->text);
        if (*its->label) {                                 /* a value ends at a quote or a bracket */
            const char *value = found + at;
            size_t end = 0;
            while (end < left && end <= 100 && value[end] >= 32 && value[end] <= 126 && value[end] != '"'
                   && value[end] != ']')
                end++;
            const int ends = end < left && end <= 100 && (value[end] == '"' || value[end] == ']');
            if (!strcmp(its->label, "weights_crc32") && weights != wanted)
                snprintf(fault, FAULT, "it has %zu bytes of weights, not %zu", weights, wanted);
            else if (ends && (end != n || memcmp(value, its->text, n)))
                snprintf(fault, FAULT, "its %s is %.*s, not %s", its->label, (int)end, found + at, its->text);
        }
        if (!*fault && (n > left || memcmp(found + at, its->text, n)))
            snprintf(fault, FAULT, "its header is damaged near byte %zu", 8 + at);
    }
    const size_t pad = (8 - at % 8) % 8;
    if (!*fault && (length != at + pad || memcmp(found + at, "       ", pad)))
        snprintf(fault, FAULT, "its header is damaged near byte %zu", 8 + at);
}

/* weights beyond are no transformer's: sums of their products would not be numbers */
#define LARGEST 1e30

/* Fills the transformer from a checkpoint's bytes. The header must read as it would be written for this
 * transformer, the weights must be there, all, as they were saved, and none beyond LARGEST. Returns 0
 * where it differs, fault[FAULT] says in what, and nothing has been taken. */
static int checkpoint_take(Transformer *net, About *about, const unsigned char *bytes, size_t length,
                           char *fault) {
    const uint64_t said = length < 8 ? 0 : get_u64(bytes);
    *fault = 0;
    if (length < 8) { snprintf(fault, FAULT, "it is cut short: %zu bytes", length); return 0; }
    if (length == 8 || bytes[8] != '{') { snprintf(fault, FAULT, "it is no .safetensors file"); return 0; }
    if (said > length - 8) {
        snprintf(fault, FAULT, "its header is cut short: %zu of %llu bytes", length - 8,
                 (unsigned long long)said);
        return 0;
    }
    const size_t there = length - 8 - (size_t)said;
    const unsigned char *weights = bytes + 8 + said;
    double *params = alloc(net->n_params, sizeof *params);
    Header header;
    about_weights(about, weights, there);
    checkpoint_header(&header, net, about);
    header_check(&header, (const char *)bytes + 8, (size_t)said, there, 8 * net->n_params, fault);
    for (size_t i = 0; i < net->n_params && !*fault; i++) {
        const uint64_t bits = get_u64(weights + 8 * i);
        memcpy(&params[i], &bits, 8);
        if (!(params[i] >= -LARGEST && params[i] <= LARGEST))
            snprintf(fault, FAULT, "its weight %zu is not a number from -1e30 to 1e30", i);
    }
    if (!*fault) memcpy(net->params, params, net->n_params * sizeof *params);
    header_free(&header);
    free(params);
    return !*fault;
}

/* ---------------------------------------------------------------------------------------------
 * VIII  EVALUATION: held-out figures
 *
 * A text that nobody counted is read token by token, and before each one the model says how probable it is:
 * the model that listens, without the voice, its rules and the sampler.
 *
 *     nats/token = mean of -log p(token | all before it)
 *     bits/byte  = sum of -log p(token | all before it) / (log 2 * the text's bytes)
 *
 * Bits a byte can be compared between tokenizers, nats a token cannot. A row is a distribution: the uniform
 * one, the chain of one and of two tokens, and the modes, whole and without one of their parts; what a part
 * is worth is the difference (such differences do not add up; only "full -transformer" has a lambda of its
 * own). B is the chain, Z the transformer, H F A T the field's terms; "-heads" silences the attention.
 */
#define LN2 0.6931471805599453   /* log 2 */

static const struct { const char *label; int use; } ROWS[] = {
    {"uniform", 0}, {"unigram", 0}, {"bigram", 0}, {"chain", USE_CHAIN}, {"transformer", USE_NET},
    {"transformer -heads", USE_NET}, {"meta", META}, {"full", FULL}, {"full -H", FULL - USE_H},
    {"full -F", FULL - USE_F}, {"full -A", FULL - USE_A}, {"full -T", FULL - USE_T}, {"full -heads", FULL},
    {"full -transformer", FULL - USE_NET}};
enum { N_ROWS = sizeof ROWS / sizeof *ROWS };

/* nats[N_ROWS]: the cross-entropy at all tokens of the text; the count of tokens that were predicted */
static size_t evaluate(const Model *model, const Text *text, double *nats) {
    const size_t vocab = model->meta.vocab;
    Chain shorter[2];
    Transformer without_heads = model->net;              /* nothing that the attention heads bring goes on */
    Window window, silent;
    Field field;
    double *logits = alloc(vocab, sizeof *logits);
    size_t tokens = 0;
    for (size_t k = 0; k < 2; k++) chain_make(&shorter[k], &model->meta.text, vocab, k + 1);
    without_heads.layer = alloc(model->net.shape.layers, sizeof(Layer));
    for (size_t l = 0; l < model->net.shape.layers; l++) {
        without_heads.layer[l] = model->net.layer[l];
        without_heads.layer[l].out = NULL;
    }
    window_make(&window, &model->net);
    window_make(&silent, &without_heads);
    const Coefficients co = model_coefficients(model);
    field_make(&field, &model->meta, &model->words, &co, &window);
    zero(nats, N_ROWS);
    for (size_t doc = 0; doc < text->n_docs; doc++) {
        field_reset(&field);
        silent.n = 0;
        for (size_t i = text->start[doc]; i < text->start[doc + 1]; i++) {
            const uint32_t id = text->ids[i];
            if (!text->lines || i > text->start[doc]) {
                nats[0] += log((double)vocab);
                for (size_t k = 0; k < 2; k++)
                    nats[1 + k] -= log(chain_token_prob(&shorter[k], field.text.ids, field.text.n, id));
                field_terms(&field);
                const double *heard = field.z, *alone = silent.n ? window_logits(&silent) : field.log_p;
                for (size_t row = 3; row < N_ROWS; row++) {
                    field.z = strstr(ROWS[row].label, "-heads") ? alone : heard;
                    field_logits(&field, logits, ROWS[row].use);
                    nats[row] += cross_entropy(logits, vocab, id);
                }
                tokens++;
                progress("evaluating: %zu of %zu tokens; nats/token: chain %.4f, full %.4f", tokens, text->n,
                         nats[3] / (double)tokens, nats[7] / (double)tokens);
            }
            field_push(&field, id, field_expected(&field, id));
            window_push(&silent, id);
        }
    }
    for (size_t k = 0; k < 2; k++) chain_free(&shorter[k]);
    free(without_heads.layer);
    window_free(&window);
    window_free(&silent);
    field_free(&field);
    free(logits);
    return tokens;
}

/* ---------------------------------------------------------------------------------------------
 * IX  THE COMMAND LINE: the help, which is the table of the options; files, whole or not at all; what is
 * printed of a model; the ledger and the page of why; conversation; main
 */
#define VERSION "postgpt 1.0.0\n"

/* The help is the table of the options, too. A line of it names an option's letter, its name, what it
 * takes (N: a whole number, X or F: a number, NAME: one of the words that follow, FILE, LIST: a shape,
 * nothing: a flag) and its range, as in "0 to 10"; TO(field): where in Options the value goes. */
#define TO(field) offsetof(Options, field)
#define DIGITS "0123456789"

static const char USAGE[] =
    "postgpt [PROMPT] [options]      a GPT whose weights are counted, not trained\n"
    "\n"
    "PROMPT is a text to continue; \"-\" reads it from standard input; without one,\n"
    "a short demonstration from eight places of the corpus.\n"
    "\n";

static const struct { const char *help; size_t to; } TABLE[] = {
    {"  -m, --mode NAME        both, meta, full or transformer (default both)\n", TO(mode)},
    {"  -n, --tokens N         tokens to generate, 1 to 1000000 (default 100), and on\n"
     "                         to the end of the sentence, at most 60 more\n", TO(tokens)},
    {"      --exact            stop after exactly N tokens\n", TO(exact)},
    {"  -t, --temperature X    0 to 10, 0 is greedy (default 0.9)\n", TO(sampling.temperature)},
    {"  -k, --top-k N          0 to the vocabulary's size, 0 is all (default 15)\n", TO(sampling.top_k)},
    {"  -p, --top-p X          0 to 1: of these, the most probable that together have\n"
     "                         so much (default 1)\n", TO(sampling.top_p)},
    {"  -r, --repetition X     penalty on the last 12 tokens, 0 to 10 (default 0)\n",
     TO(sampling.repetition)},
    {"  -s, --seed N           0 to 2^64 - 1 (default 42), or random: drawn, and named\n", TO(sampling.seed)},
    {"      --discount X       share of the chain's discounts while it speaks, 0 to 1\n"
     "                         (default 0.2, with --lines 1)\n", TO(sampling.discount)},
    {"      --verbatim N       words in a row from the corpus at most, 0 to 1000\n"
     "                         (default 11; 0: no limit)\n", TO(sampling.verbatim)},
    {"      --samples N        1 to 1000000 continuations, seeds S, S + 1, ..., apart\n"
     "                         by a line holding only ---- (default 1)\n", TO(samples)},
    {"      --why              why each token was said: a ledger under the text\n", TO(why)},
    {"      --page FILE        the same as one HTML file to look at\n", TO(page)},
    {"      --tree             who keeps company with the words of PROMPT, as a tree\n", TO(tree)},
    {"  -i, --interactive      prompts a line at a time; an empty line goes on\n", TO(interactive)},
    {"  -c, --corpus FILE      default postgpt.txt beside the program\n", TO(corpus)},
    {"      --merges N         byte pairs to learn, 0 to 65280 (default 1024)\n", TO(merges)},
    {"      --alphabet NAME    bytes or corpus: number all bytes, or those that occur\n", TO(alphabet)},
    {"      --order N          the chain looks at N - 1 tokens, 1 to 8 (default 3)\n", TO(order)},
    {"      --lines            every line of the corpus is a document\n", TO(lines)},
    {"      --shape LIST       of the transformer (default layers=2,embd=48,content=2,\n"
     "                         rrpram=2,context=64,mlp=4)\n", TO(shape)},
    {"      --init NAME        ghost or random: seed it from the counts or not\n", TO(init)},
    {"      --lambda X         the field's coefficients, 0 to 100: the chain\n"
     "                         (default 0.54, after training 0.5)\n", TO(field.lambda)},
    {"      --kappa X          the transformer (default 0.4, after training 0.5)\n", TO(field.kappa)},
    {"      --alpha X          Hebbian resonance (default 0.08)\n", TO(field.alpha)},
    {"      --beta X           prophecy (default 1)\n", TO(field.beta)},
    {"      --gamma X          destiny (default 0.45)\n", TO(field.gamma)},
    {"      --trauma X         trauma (default 0.006)\n", TO(field.trauma)},
    {"      --memory N         tokens the field remembers, 1 to 1000000 (default 4096)\n", TO(field.memory)},
    {"      --eval FILE        held-out figures: bits a byte, nats a token\n", TO(eval)},
    {"      --holdout F        build on all but F of the corpus, evaluate the rest\n", TO(holdout)},
    {"      --train N          train the transformer for N steps, 1 to 1000000\n", TO(train)},
    {"      --lr X             rate, falls to 0 over the steps, 0 to 1 (default 0.003)\n", TO(rate)},
    {"      --batch N          documents or windows a step, 1 to 1024 (default 4)\n", TO(batch)},
    {"      --save FILE        write a checkpoint (.safetensors)\n", TO(save)},
    {"      --load FILE        read one\n", TO(load)},
    {"      --encode FILE      print FILE's token ids in one line\n", TO(encode)},
    {"      --info             counts, parameters, memory, files\n", TO(info)},
    {"      --no-cache         neither read nor write the merges file\n", TO(no_cache)},
    {"  -q, --quiet            no notes on standard error\n", TO(quiet)},
    {"  -h, --help             this text\n", TO(help)},
    {"      --version          the version\n", TO(version)}};

static const char EXAMPLES[] =
    "\n"
    "Examples:\n"
    "  postgpt \"The transformer\"\n"
    "  postgpt -m full -n 40 -t 0.5 -c mybook.txt \"Once upon a time\"\n"
    "  postgpt --tree \"attention and memory\"\n"
    "  postgpt -c mybook.txt -m full -i\n";
enum { N_OPTIONS = sizeof TABLE / sizeof *TABLE };

typedef struct {
    char name[16], words[40];
    enum { FLAG, WORD, TEXT, COUNT, NUMBER, SEED, SHAPE } takes;
    double low, high;
    size_t to;
} Option;

/* The k-th option, read off its line. */
static Option option_make(size_t k) {
    const char *line = TABLE[k].help, *text = line + 25;
    char takes[8] = "";
    Option option = {.high = 100, .to = TABLE[k].to};
    sscanf(line + 8, "%15[^ ] %7[A-Z]", option.name, takes);
    sscanf(text, "%39[a-z, ]", option.words);
    for (size_t n = strlen(option.words); n && option.words[n - 1] == ' '; n--) option.words[n - 1] = 0;
    option.takes = !*takes ? FLAG : !strcmp(takes, "NAME") ? WORD : !strcmp(takes, "FILE") ? TEXT :
                   !strcmp(takes, "LIST") ? SHAPE : !strcmp(option.name, "seed") ? SEED :
                   *takes == 'N' ? COUNT : NUMBER;
    for (double low, high; *text && option.takes >= COUNT; text++)
        if (strspn(text, DIGITS) && sscanf(text, "%lf to %lf", &low, &high) == 2) {
            option.low = low;
            option.high = high;
            break;
        }
    if (!strcmp(option.name, "top-k")) option.high = 65536;                    /* of the largest vocabulary */
    if (!strcmp(option.name, "holdout")) { option.low = 0.001; option.high = 0.999; }
    return option;
}

#define usage_error(...) (put_error(__VA_ARGS__), exit(2))

/* What an option takes, in words. */
static const char *option_range(const Option *option, char room[80]) {
    if (option->takes == WORD) return option->words;
    if (option->takes == TEXT) return "a file";
    if (option->takes == SHAPE)
        return "layers, embd, content, rrpram, context or mlp as name=number, apart by commas";
    if (option->takes == SEED) return "random, or a whole number from 0 to 18446744073709551615";
    snprintf(room, 80, "a %snumber from %.10g to %.10g", option->takes == COUNT ? "whole " : "", option->low,
             option->high);
    return room;
}

static void option_refuse(const Option *option, const char *value) {
    char room[80];
    usage_error("--%s takes %s, not '%s'", option->name, option_range(option, room), value);
}

/* A whole number of at most 20 digits, or a refusal. */
static uint64_t parse_count(const Option *option, const char *value) {
    const size_t digits = strspn(value, DIGITS);
    errno = 0;
    const uint64_t n = strtoull(value, NULL, 10);
    if (!digits || value[digits] || errno
        || (option->takes == COUNT && ((double)n < option->low || (double)n > option->high)))
        option_refuse(option, value);
    return n;
}

/* Digits, perhaps a point, perhaps more digits, perhaps an exponent; or a refusal. */
static double parse_number(const Option *option, const char *value) {
    char *end;
    const double x = strtod(value, &end);
    if (*end || !strspn(value, DIGITS ".") || value[strspn(value, DIGITS ".eE+-")]
        || !(x >= option->low && x <= option->high))
        option_refuse(option, value);
    return x;
}

static void option_parse_shape(const Option *option, Shape *shape, const char *value) {
    const struct { const char *name; size_t *to; unsigned low, high; } of[6] = {
        {"layers", &shape->layers, 1, 32}, {"embd", &shape->embd, 2, 1024},
        {"content", &shape->content, 0, 64}, {"rrpram", &shape->rrpram, 0, 64},
        {"context", &shape->context, 2, 4096}, {"mlp", &shape->mlp, 1, 16}};
    for (const char *c = value;; c++) {
        size_t i = 0, length;
        while (i < 6 && (strncmp(c, of[i].name, length = strlen(of[i].name)) || c[length] != '=')) i++;
        if (i == 6) option_refuse(option, value);
        c += length + 1;
        const size_t digits = strspn(c, DIGITS);
        if (!digits || (c[digits] && c[digits] != ',')) option_refuse(option, value);
        const unsigned long n = strtoul(c, NULL, 10);
        if (n < of[i].low || n > of[i].high)
            usage_error("--shape: %s goes from %u to %u, not %.*s", of[i].name, of[i].low, of[i].high,
                        (int)digits, c);
        *of[i].to = n;
        c += digits;
        if (!*c) break;
    }
    const size_t heads = shape->content + shape->rrpram;
    if (!heads || shape->embd % heads)
        usage_error("--shape: embd=%zu cannot be divided among %zu heads (content + rrpram)", shape->embd,
                    heads);
}

/* Is it one of the words of a list such as "both, meta, full or transformer"? */
static int is_word_of(const char *words, const char *value) {
    for (size_t n; (n = strcspn(words, ", ")); words += n + strspn(words + n, ", ")) {
        if (!strncmp(words, "or ", 3)) continue;
        if (strlen(value) == n && !strncmp(words, value, n)) return 1;
    }
    return 0;
}

/* Puts an option's value where it goes. */
static void option_parse(Options *o, const Option *option, const char *value) {
    void *to = (char *)o + option->to;
    switch (option->takes) {
    case FLAG: *(int *)to = 1; break;
    case COUNT: *(size_t *)to = (size_t)parse_count(option, value); break;
    case SEED:
        o->random_seed = !strcmp(value, "random");
        if (!o->random_seed) *(uint64_t *)to = parse_count(option, value);
        break;
    case NUMBER: *(double *)to = parse_number(option, value); break;
    case SHAPE: option_parse_shape(option, to, value); break;
    case WORD: case TEXT:
        if (option->takes == WORD && !is_word_of(option->words, value)) option_refuse(option, value);
        if (!*value) usage_error("--%s needs the name of a file", option->name);
        *(const char **)to = value;
    }
}

static int is_named(size_t k, const char *name, size_t n) {
    return strcspn(name, " ") >= n && !strncmp(TABLE[k].help + 8, name, n) && TABLE[k].help[8 + n] == ' ';
}

static int is_given(const char *given, const char *name) {
    for (size_t k = 0; k < N_OPTIONS; k++) if (given[k] && is_named(k, name, strlen(name))) return 1;
    return 0;
}

/* Refuses an option that would be of no use beside another, or without it: no option swallows another. */
static void check_together(const char *given, int prompt) {
    static const char *const others[] = {"tree", "train", "save", "load", "eval", "info", "why", "page",
                                         "interactive"};
    for (size_t i = 0; i < 2; i++) {
        const char *name = i ? "tree" : "encode";
        if (!is_given(given, name)) continue;
        if (!i && prompt) usage_error("--encode and a prompt do not go together");
        for (size_t k = i; k < sizeof others / sizeof *others; k++)
            if (is_given(given, others[k])) usage_error("--%s and --%s do not go together", name, others[k]);
    }
    for (size_t i = 0; i < 2; i++)
        if (is_given(given, i ? "batch" : "lr") && !is_given(given, "train"))
            usage_error("--%s is of use only with --train", i ? "batch" : "lr");
    static const char *const silent[] = {"train", "save", "eval", "holdout", "info"};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; !prompt && !is_given(given, "interactive") && k < 5; k++)
            if (is_given(given, i ? "page" : "why") && is_given(given, silent[k]))
                usage_error("--%s needs a prompt: with --%s and none, nothing is said", i ? "page" : "why",
                            silent[k]);
}

static void parse(Options *o, int argc, char **argv) {
    int only_prompt = 0;
    char given[N_OPTIONS] = {0}, room[80];
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (only_prompt || arg[0] != '-' || !arg[1]) {
            if (o->prompt)
                usage_error("one prompt at a time: '%s' is a second one (put a prompt of several words in"
                    " quotes)", arg);
            o->prompt = arg;
            continue;
        }
        if (!strcmp(arg, "--")) { only_prompt = 1; continue; }
        const int whole = arg[1] == '-';
        const size_t n = whole ? strcspn(arg + 2, "=") : 0;
        const char *value = arg[2 + n] ? arg + 2 + n + whole : NULL;
        size_t k = 0;
        while (k < N_OPTIONS && !(whole ? is_named(k, arg + 2, n) : !strncmp(TABLE[k].help + 2, arg, 2))) k++;
        if (k == N_OPTIONS) usage_error("there is no option '%s' (postgpt --help lists them)", arg);
        const Option option = option_make(k);
        given[k] = 1;
        if (option.takes == FLAG && value)
            usage_error("--%s takes no value, but '%s' has one", option.name, arg);
        if (option.takes != FLAG && !value && ++i >= argc)
            usage_error("--%s needs a value: %s", option.name, option_range(&option, room));
        option_parse(o, &option, value ? value : argv[i]);
    }
    if (!o->help && !o->version) check_together(given, o->prompt != NULL);
}

/* Waits until a file that does not block can be read or written. */
static void wait_for(int file, short what) { poll(&(struct pollfd){file, what, 0}, 1, -1); }

/* Writes to standard output at once: text is to be seen as it comes. A terminal gets no control bytes. */
static void put(const unsigned char *bytes, size_t n) {
    const int terminal = n && isatty(STDOUT_FILENO);
    unsigned char *shown = alloc(terminal ? n : 1, 1);
    progress_clear();
    for (size_t i = 0; i < n && terminal; i++) shown[i] = controls(bytes, i) ? '?' : bytes[i];
    for (const unsigned char *at = terminal ? shown : bytes, *end = at + n; at < end;) {
        const ssize_t written = write(STDOUT_FILENO, at, (size_t)(end - at));
        if (written >= 0) at += written;
        else if (errno == EAGAIN) wait_for(STDOUT_FILENO, POLLOUT);
        else if (errno != EINTR) fail("cannot write standard output: %s", strerror(errno));
    }
    free(shown);
}

static void put_text(const char *text) { put((const unsigned char *)text, strlen(text)); }

/* The same as printf, to standard output. */
static void put_line(const char *format, ...) {
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_text(line);
}

/* At most `most` bytes of a file, NULL: standard input, with a NUL behind them. Returns 0 where it cannot be
 * read, errno says why. */
static int read_all(const char *path, size_t most, Bytes *bytes) {
    const int file = path ? open(path, O_RDONLY) : STDIN_FILENO;
    size_t size = 1 << 16;
    ssize_t got = 1;
    if (file < 0) return 0;
    *bytes = (Bytes){alloc(size, 1), 0, 0};
    while (got && bytes->length < most) {
        if (bytes->length == size - 1) bytes->data = resize(bytes->data, size *= 2, 1);
        const size_t room = size - 1 - bytes->length, left = most - bytes->length;
        got = read(file, bytes->data + bytes->length, room < left ? room : left);
        if (got > 0) bytes->length += (size_t)got;
        else if (got < 0 && errno == EAGAIN) wait_for(file, POLLIN);
        else if (got < 0 && errno != EINTR) break;
    }
    const int why = errno;
    if (path) close(file);
    bytes->data[bytes->length] = 0;
    errno = why;
    return got >= 0;
}

static Bytes read_file(const char *path, const char *what) {
    Bytes bytes = {NULL, 0, 0};
    if (!read_all(path, SIZE_MAX, &bytes))
        fail("cannot read %s %s: %s", what, path ? path : "from standard input", strerror(errno));
    return bytes;
}

/* How long the folder is that a path begins with, its last slash included. */
static size_t folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* A file under way: beside the one that it is to be, under a name that nobody else can have, until it is
 * whole. There is one at a time; as long as it is unfinished, whatever ends the program removes it. */
enum { PATH = 4096 };
static struct { char path[PATH], name[PATH + 32]; int file; } draft = {"", "", -1};
static volatile sig_atomic_t unfinished;

static void draft_drop(void) {
    if (unfinished) unlink(draft.name);
    unfinished = 0;
    if (draft.file >= 0) close(draft.file);
    draft.file = -1;
}

/* Is the file ours now, until it is closed or we are gone? how: F_SETLK asks, F_SETLKW waits. */
static int draft_lock(int file, int how) {
    return !fcntl(file, how, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET});
}

/* A draft's name, of a random number and its checksum: nobody's own file is called so. */
static void draft_name_of(char name[32], uint32_t random) {
    char digits[9];
    snprintf(digits, sizeof digits, "%08x", random);
    snprintf(name, 32, "postgpt-%s%08x.tmp", digits, crc32_of(digits, 8));
}

/* Removes what others, killed while they wrote, have left in the folder that draft.path begins with. */
static void draft_sweep(size_t folder) {
    snprintf(draft.name, sizeof draft.name, "%.*s", folder ? (int)folder : 1, folder ? draft.path : ".");
    DIR *dir = opendir(draft.name);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        unsigned random = 0;
        sscanf(entry->d_name, "postgpt-%8x", &random);
        draft_name_of(draft.name + folder, random);
        if (strcmp(draft.name + folder, entry->d_name)) continue;
        const int file = open(draft.name, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
        if (file >= 0 && draft_lock(file, F_SETLK)) unlink(draft.name);
        if (file >= 0) close(file);
    }
    if (dir) closedir(dir);
}

/* Begins the file that a path names, where links lead. Returns 0 where it cannot be: it is no file, or may
 * not be written; errno says why. */
static int draft_begin(const char *path) {
    struct stat there;
    const int exists = !stat(path, &there);
    if (!exists && errno != ENOENT) return 0;
    if (strlen(path) >= PATH) errno = ENAMETOOLONG;
    else if (exists && S_ISDIR(there.st_mode)) errno = EISDIR;
    else if (exists && !S_ISREG(there.st_mode)) errno = ENOTSUP;     /* no file takes a device's place */
    else if (exists && !(there.st_mode & 0222)) errno = EACCES;
    else if (!exists || !access(path, W_OK)) errno = 0;
    if (errno) return 0;
    char link[PATH] = "";
    size_t folder = 0;
    for (ssize_t n = (ssize_t)strlen(strcpy(link, path)); n >= 0; n = readlink(draft.path, link, PATH - 1)) {
        if (*link == '/') folder = 0;
        if (folder + (size_t)n >= PATH) { errno = ENAMETOOLONG; return 0; }
        memcpy(draft.path + folder, link, (size_t)n);
        draft.path[folder + (size_t)n] = 0;
        folder = folder_of(draft.path);
    }
    draft_sweep(folder);
    do {
        draft_drop();
        uint32_t random = (uint32_t)getpid() ^ (uint32_t)(uint64_t)(seconds() * 1e9);
        const int source = open("/dev/urandom", O_RDONLY);
        if (source >= 0 && read(source, &random, sizeof random) < 4) random++;
        if (source >= 0) close(source);
        draft_name_of(draft.name + folder, random);
        unfinished = 1;
        draft.file = open(draft.name, O_RDWR | O_CREAT | O_EXCL, 0666);
        if (draft.file >= 0) draft_lock(draft.file, F_SETLKW);
    } while (draft.file >= 0 && access(draft.name, F_OK));           /* a sweep was quicker than the lock */
    if (draft.file >= 0 && (!exists || !fchmod(draft.file, there.st_mode & 07777))) return 1;
    const int why = errno;
    if (draft.file < 0) unfinished = 0;
    draft_drop();
    errno = why;
    return 0;
}

/* Makes data all that the file holds. */
static int draft_write(const void *data, size_t length) {
    if (lseek(draft.file, 0, SEEK_SET)) return 0;
    for (size_t done = 0; done < length;) {
        const ssize_t n = write(draft.file, (const char *)data + done, length - done);
        if (n <= 0) return 0;
        done += (size_t)n;
    }
    return !ftruncate(draft.file, (off_t)length) && !fsync(draft.file);
}

/* Writes a whole file or none; its draft may have begun. Returns 0 where that fails, errno says why. */
static int write_file(const char *path, const void *data, size_t length) {
    const int ok = (draft.file >= 0 || draft_begin(path)) && draft_write(data, length)
        && !rename(draft.name, draft.path), why = errno;
    if (ok) unfinished = 0;
    draft_drop();
    errno = why;
    return ok;
}

#define MERGES "postgpt-merges "  /* what our files begin with */

/* The merges file: a header line, then a pair of ids a line. */
static Bytes merges_text(const Tokenizer *tok, const Bytes *corpus, const Options *o) {
    Bytes pairs = {0}, text = {0};
    for (size_t i = 0; i < tok->merges; i++)
        bytes_put(&pairs, "%u %u\n", tok->pairs[2 * i], tok->pairs[2 * i + 1]);
    bytes_put(&text, MERGES "1 corpus %zu crc32 %08x alphabet %s %zu merges %zu learned %zu crc32 %08x\n",
              corpus->length, crc32_of(corpus->data, corpus->length), o->alphabet, tok->base, o->merges,
              tok->merges, crc32_of(pairs.data, pairs.length));
    bytes_add(&text, pairs.data, pairs.length);
    free(pairs.data);
    return text;
}

/* Takes the pairs of a merges file, if they are those that learning would give: the file must read exactly as
 * it would be written again, and pass for learned. */
static int merges_take(Tokenizer *tok, const Bytes *corpus, const Options *o, const Bytes *file) {
    const char *at = memchr(file->data, '\n', file->length);
    for (size_t id = tok->base; at && at[1] && id < tok->base + o->merges && tok->merges < corpus->length;
         id++) {
        char *end;
        const unsigned long left = strtoul(at + 1, &end, 10), right = strtoul(end, &end, 10);
        if (left >= id || right >= id || *end != '\n'
            || token_text(tok, left).length + token_text(tok, right).length > LONGEST)
            break;
        tokenizer_add(tok, left, right);
        at = end;
    }
    const Bytes again = merges_text(tok, corpus, o);
    const int same = again.length == file->length && !memcmp(again.data, file->data, again.length)
        && tokenizer_passes(tok, corpus->data, corpus->length, o->merges);
    free(again.data);
    return same;
}

static void merges_forget(Tokenizer *tok) {
    map_free(&tok->rank);
    map_make(&tok->rank, 4096);
    tok->merges = 0;
    tok->vocab = tok->base;
    for (size_t i = 0; i < tok->n_pieces; i++) { tok->pieces[i].ids = SIZE_MAX; tok->pieces[i].count = 0; }
}

/* postgpt.merges for postgpt.txt: the last extension is exchanged, or added where there is none. */
static char *merges_path(const char *corpus) {
    const size_t n = strlen(corpus);
    const char *name = corpus + folder_of(corpus), *dot = strrchr(corpus, '.');
    while (*name == '.') name++;
    char *path = alloc(n + 16, 1);
    const size_t stem = dot && dot > name && strcmp(dot, ".merges") ? (size_t)(dot - corpus) : n;
    memcpy(path, corpus, stem);
    strcpy(path + stem, ".merges");
    return path;
}

#define note(o, ...) ((o)->quiet ? (void)0 : put_error(__VA_ARGS__))

/* Why a merges file cannot be used, in words. */
static const char *merges_fault(const Bytes *file, const Bytes *corpus, const Options *o) {
    size_t length, base, merges;
    unsigned crc;
    char alphabet[7], header[160];
    if (sscanf((char *)file->data, MERGES "1 corpus %18zu crc32 %8x alphabet %6[a-z] %18zu merges %18zu",
               &length, &crc, alphabet, &base, &merges) < 5) return "is damaged";
    snprintf(header, sizeof header, MERGES "1 corpus %zu crc32 %08x alphabet %s %zu merges %zu learned ",
             length, crc, alphabet, base, merges);
    if (strncmp((char *)file->data, header, strlen(header)) || !is_word_of("bytes or corpus", alphabet))
        return "is damaged";
    if (length != corpus->length || crc != crc32_of(corpus->data, corpus->length))
        return "is of another corpus";
    return strcmp(alphabet, o->alphabet) || merges != o->merges ? "was learned for other settings"
        : "is damaged";
}

static int same_file(const char *a, const char *b);

/* The tokenizer from the merges file, or learned and kept there: beside a corpus that is a file, and not over
 * another program's. */
static void load_tokenizer(Model *model, const Bytes *corpus) {
    const Options *o = model->options;
    Tokenizer *tok = &model->tokenizer;
    char *path = merges_path(o->corpus);
    struct stat there;
    Bytes file = {NULL, 0, 0};
    const int cached = !o->no_cache && o->holdout <= 0.0 && strncmp(o->corpus, "/dev/", 5)
        && strncmp(o->corpus, "/proc/", 6)
                       && !stat(o->corpus, &there) && S_ISREG(there.st_mode);
    const int missing = cached && stat(path, &there);
    /* not a pipe, which would let us wait, and not more than there can be */
    const int found = cached && !missing && S_ISREG(there.st_mode)
        && read_all(path, 256 + 12 * o->merges, &file);
    const size_t begun = file.length < sizeof MERGES - 1 ? file.length : sizeof MERGES - 1;
    const char *const others[] = {o->corpus, o->eval, o->encode, o->load, "/dev/stdin"};
    int read = 0;
    for (size_t i = 0; i < 5; i++) read |= found && others[i] && same_file(path, others[i]);
    const int ours = missing || (found && !read && !memcmp(MERGES, file.data, begun));  /* read: by a link */
    const int taken = found && ours && merges_take(tok, corpus, o, &file);
    if (!taken) {
        merges_forget(tok);
        tokenizer_learn(tok, corpus->data, corpus->length, o->merges);
    }
    if (cached && !taken) {
        const Bytes text = merges_text(tok, corpus, o);
        if (tok->merges)
            note(o, "learned %zu merges: %s %s", tok->merges, path, missing ? "is missing" :
                 ours ? merges_fault(&file, corpus, o) : "is another program's, and left alone");
        /* if it cannot be kept, the next start learns again */
        if (ours) write_file(path, text.data, text.length);
        free(text.data);
    }
    free(file.data);
    free(path);
}

#define LACKS "%s has the byte 0x%02x, which the corpus' alphabet lacks (--alphabet bytes knows all)"

/* The first byte that the alphabet lacks, or -1. */
static int strange_byte(const Tokenizer *tok, const unsigned char *data, size_t length) {
    for (size_t i = 0; i < length; i++) if (tok->id_of_byte[data[i]] == NONE) return data[i];
    return -1;
}

static void check_bytes(const Model *model, const unsigned char *data, size_t length, const char *what) {
    const int byte = strange_byte(&model->tokenizer, data, length);
    if (byte >= 0) fail(LACKS, what, (unsigned)byte);
}

static void model_encode(Model *model, const Bytes *file) {
    Bytes line = {0};
    const Text text = encode_text(&model->tokenizer, file->data, file->length, model->options->lines);
    for (size_t i = 0; i < text.n; i++) bytes_put(&line, i ? " %u" : "%u", text.ids[i]);
    bytes_add(&line, "\n", 1);
    put(line.data, line.length);
    free(line.data);
    text_free(text);
}

/* The held-out figures of data. */
static void put_figures(Model *model, const unsigned char *data, size_t length) {
    double nats[N_ROWS];
    const Text text = encode_text(&model->tokenizer, data, length, model->options->lines);
    const double tokens = (double)evaluate(model, &text, nats);
    for (size_t i = 0; i < N_ROWS; i++)
        put_line("%-18s  %8.4f bits/byte  %8.4f nats/token\n", ROWS[i].label,
                 nats[i] / LN2 / (double)length, nats[i] / tokens);
    text_free(text);
}

/* Counts, parameters, memory, files. */
static void put_info(const Model *model, const Bytes *corpus) {
    const Transformer *net = &model->net;
    const Shape s = net->shape;
    const Metaweights *meta = &model->meta;
    const size_t embd = s.embd, outside = (2 * net->vocab + s.context) * embd;
    const size_t a_layer = (net->n_params - outside) / s.layers;
    put_text("corpus       ");
    put_text(model->options->corpus);
    put_line(": %zu bytes, crc32 %08x, %s\n"
             "documents    %zu\n"
             "tokens       %zu\n"
             "vocabulary   %zu: %zu bytes and %zu merges\n"
             "chain        order %zu: %zu contexts, %zu counts\n"
             "trace        %zu pairs that keep company\n"
             "prophecy     %zu promises\n"
             "parameters   %zu\n",
             corpus->length, crc32_of(corpus->data, corpus->length), model->utf8 ? "UTF-8" : "not UTF-8",
             model->meta.text.n_docs, model->meta.text.n, net->vocab, model->tokenizer.base,
                 model->tokenizer.merges,
             meta->chain.order, meta->chain.n_nodes, meta->chain.n_entries, meta->trace.n, meta->promise.n,
             net->n_params);
    put_line("  wte        %zu: %zu x %zu\n"
             "  wpe        %zu: %zu x %zu\n"
             "  layers     %zu: %zu x %zu\n"
             "    content  %zu a layer: %zu heads of %zu\n"
             "    rrpram   %zu a layer: %zu heads of %zu\n"
             "    out      %zu a layer\n"
             "    mlp      %zu a layer\n"
             "  head       %zu: %zu x %zu\n"
             "memory       %zu bytes of parameters, %zu of keys and values, %zu tokens in the field\n",
             net->vocab * embd, net->vocab, embd, s.context * embd, s.context, embd,
             s.layers * a_layer, s.layers, a_layer, 3 * embd * net->content_dim, s.content, net->head_dim,
             s.rrpram * embd * s.context + embd * net->rrpram_dim, s.rrpram, net->head_dim, embd * embd,
             2 * s.mlp * embd * embd, embd * net->vocab, embd, net->vocab, 8 * net->n_params,
             8 * s.layers * s.context * (net->content_dim + embd), model->options->field.memory);
    char *path = merges_path(model->options->corpus);
    put_text("files        ");
    put_text(path);
    put_text("\n");
    free(path);
}

/* What a checkpoint says of itself: where any of it differs, its weights mean something else. */
static void model_about(const Model *model, const Bytes *corpus, About about[N_ABOUT]) {
    const Shape s = model->net.shape;
    const size_t size = sizeof about->value;
    const char *name[] = {"format", "shape", "merges", "alphabet", "corpus_crc32", "trained",
        "weights_crc32"};
    for (size_t i = 0; i < N_ABOUT; i++) about[i].name = name[i];
    snprintf(about[0].value, size, "postgpt-checkpoint 2");
    snprintf(about[1].value, size, "layers=%zu,embd=%zu,content=%zu,rrpram=%zu,context=%zu,mlp=%zu", s.layers,
             s.embd, s.content, s.rrpram, s.context, s.mlp);
    snprintf(about[2].value, size, "%zu", model->tokenizer.merges);
    snprintf(about[3].value, size, "%s %zu", model->options->alphabet, model->tokenizer.base);
    snprintf(about[4].value, size, "%08x", crc32_of(corpus->data, corpus->length));
    snprintf(about[5].value, size, "%s", model->trained ? "yes" : "no");
}

enum { RESCUED = 240 };          /* bytes of a name: with what is added a file system takes it */

/* A name that is not taken: path.rescue, path.rescue2, .., of a long name the beginning. */
static void rescue_name(char *name, size_t size, const char *path) {
    struct stat there;
    const int begun = (int)folder_of(path) + RESCUED;
    snprintf(name, size, "%.*s.rescue", begun, path);
    for (unsigned n = 2; !lstat(name, &there); n++) snprintf(name, size, "%.*s.rescue%u", begun, path, n);
}

/* Writes a checkpoint or a page; where it cannot be written any more, what was trained is saved beside it, or
 * where we are. */
static void save_file(const char *path, const void *bytes, size_t length, int rescue) {
    if (write_file(path, bytes, length)) return;
    const int why = errno;
    char name[PATH + 32];
    for (int i = 0; i < 2 && rescue; i++) {
        rescue_name(name, sizeof name, path + (i ? folder_of(path) : 0));
        if (write_file(name, bytes, length))
            fail("cannot write %s: %s; what was trained is in %s", path, strerror(why), name);
    }
    fail("cannot write %s: %s", path, strerror(why));
}

/* Saves the checkpoint; or, before the training, takes the space that it will need. */
static void model_save(const Model *model, const Bytes *corpus, int reserve) {
    About about[N_ABOUT];
    size_t length;
    model_about(model, corpus, about);
    unsigned char *bytes = checkpoint_bytes(&model->net, about, &length);
    if (!reserve) save_file(model->options->save, bytes, length, model->options->train > 0);
    else if (!draft_write(memset(bytes, 0, length), length))
        fail("cannot write %s: %s", model->options->save, strerror(errno));
    free(bytes);
}

static void model_load(Model *model, const Bytes *corpus, const Bytes *file) {
    About about[N_ABOUT];
    char fault[FAULT];
    model->trained = checkpoint_trained(file->data, file->length);
    model_about(model, corpus, about);
    if (!checkpoint_take(&model->net, about, file->data, file->length, fault))
        fail("cannot use %s: %s", model->options->load, fault);
}

/* Ends as a signal asks: 130 after an interrupt; what else we die of is told by dying of it. */
static void end_by(int number) {
    if (number == SIGINT) _exit(130);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    _exit(128 + number);                                  /* the first process of a container outlives that */
}

/* Trains, and saves the best state also where it is interrupted or fails; no signal cuts the saving short,
 * and the space for it is taken before. */
static void train_model(Model *model, const Bytes *corpus, const unsigned char *rest, size_t length) {
    const Options *o = model->options;
    model->trained = 1;
    if (o->save) model_save(model, corpus, 1);
    training = 1;
    const Text held_out = encode_text(&model->tokenizer, rest, length, o->lines);
    const Training done = train(&model->net, &model->meta.text, held_out.n > 1 ? &held_out : NULL, o);
    if (o->save) model_save(model, corpus, 0);
    if (isatty(2))
        note(o, "trained %zu of %zu steps, the best loss %.4f: %s%s", done.steps, o->train, done.best,
             o->save ? "saved in " : "not saved (--save FILE would)", o->save ? o->save : "");
    training = 0;
    if (*done.fault) fail("%s", done.fault);
    if (stopped) end_by(stopped);
    text_free(held_out);
}

static Bytes *saying;            /* the text under way, which gets what is added, or NULL */

static void say(const unsigned char *bytes, size_t n) {
    if (saying) bytes_add(saying, bytes, n);
    put(bytes, n);
}

/* The length of the next character; *valid is 0 where the text is not valid UTF-8, and the length 1. */
static size_t character(const unsigned char *data, size_t n, int *valid) {
    size_t k = 1;
    unsigned char state = utf8_run(0, data, 1);
    while (k < n && state && state != BROKEN) state = utf8_run(state, data + k++, 1);
    *valid = !state;
    return *valid ? k : 1;
}

/* Bytes in quotes as they can be shown, in at most so many columns: what is no character or controls a
 * terminal as an escape. Returns the number of columns; to may be NULL. */
static size_t quoted(Bytes *to, const unsigned char *data, size_t length, size_t most) {
    const size_t whole = most ? quoted(NULL, data, length, 0) : 0;
    size_t columns = whole > most ? 3 : 2;
    if (to) bytes_add(to, "\"", 1);
    for (size_t at = 0, n; at < length; at += n) {
        int valid;
        char shown[16];
        size_t wide = 0, size = 0;
        n = character(data + at, length - at, &valid);
        const unsigned char *c = data + at;
        if (!valid || *c < ' ' || *c == 127 || (*c == 0xC2 && c[1] < 0xA0))
            for (size_t k = 0; k < n; k++) {
                const char *name = c[k] ? strchr("\tt\nn\rr", c[k]) : NULL;
                if (name && c[k] < ' ') size += (size_t)sprintf(shown + size, "\\%c", name[1]);
                else size += (size_t)sprintf(shown + size, "\\x%02x", c[k]);
                wide = size;
            }
        else {
            if (*c == '"' || *c == '\\') shown[size++] = '\\';
            memcpy(shown + size, c, n);
            wide = size + (*c >= 0xE3 && (*c < 0xEF || (*c >= 0xF0 && (*c > 0xF0 || c[1] >= 0x9F))) ? 2 : 1);
            size += n;
        }
        if (whole > most && columns + wide > most) break;
        columns += wide;
        if (to) bytes_add(to, shown, size);
    }
    if (to) bytes_put(to, whole > most ? "…\"" : "\"");
    return columns;
}

/* A number with so many decimals, and no minus before a zero. */
static const char *fixed(char room[64], double x, int digits) {
    const int n = snprintf(room, 64, "%.*f", digits, x);
    return *room == '-' && (int)strspn(room, "-0.") == n ? room + 1 : room;
}

/* The ledger's cells but for the tokens: p, rank, what each term gave, the runner-up's p, where it stands.
 * row NULL: their names. */
enum { N_CELLS = N_TERMS + 4 };
typedef char Cells[N_CELLS][72];

static void cells_of(Cells cell, const Row *row) {
    char room[64];
    strcpy(cell[0], row ? fixed(room, row->p, 3) : "p");
    if (row) sprintf(cell[1], "%zu", row->rank); else strcpy(cell[1], "rank");
    for (size_t k = 0; k < N_TERMS; k++) strcpy(cell[2 + k], row ? fixed(room, row->gave[k], 2) : TERMS[k]);
    strcpy(cell[2 + N_TERMS], row ? fixed(room, row->second_p, 3) : "p");
    if (row && row->words) sprintf(cell[3 + N_TERMS], "%zu:%zu +%zu", row->line, row->column, row->words);
    else strcpy(cell[3 + N_TERMS], row ? "new" : "stands");
}

/* A token in quotes, or the name of its column. Returns the columns it takes. */
static size_t put_token(Bytes *line, const Tokenizer *tok, const Row *row, int second, size_t most) {
    const Slice text = token_text(tok, !row ? 0 : second ? row->second : row->id);
    if (row) return quoted(line, text.data, text.length, most);
    if (line) bytes_put(line, second ? "second" : "token");
    return second ? 6 : 5;
}

/* The ledger: a line a token in aligned columns that fit a hundred, then what they come to. */
static void put_ledger(const Ledger *why) {
    Cells cell;
    Bytes line = {0};
    char room[64];
    size_t width[N_CELLS] = {0}, wide[2] = {0}, all = 100 - N_CELLS - 1, runs[3] = {0},
        decided[N_TERMS + 1] = {0};
    double sum = 0.0;
    for (size_t r = 0; r <= why->n; r++) {
        const Row *row = r ? &why->rows[r - 1] : NULL;
        cells_of(cell, row);
        for (size_t i = 0; i < N_CELLS; i++) if (strlen(cell[i]) > width[i]) width[i] = strlen(cell[i]);
        for (int k = 0; k < 2; k++) {
            const size_t its = put_token(NULL, why->tok, row, k, 100);
            if (its > wide[k]) wide[k] = its;
        }
        if (!row) continue;
        for (size_t k = 0; k < 3; k++) runs[k] += row->words >= 4 + 2 * k;
        /* where the runner-up had more, chance decided */
        decided[total(row->gave, N_TERMS) > 0.0 ? largest(row->gave, 0, N_TERMS) : N_TERMS]++;
        sum += row->p;
    }
    for (size_t i = 0; i < N_CELLS; i++) all -= width[i] < all ? width[i] : all;
    if (all < 16) all = 16;
    if (wide[0] + wide[1] > all) {                             /* the longer one is cut short, or both */
        if (wide[0] > all / 2) wide[0] = wide[1] <= all / 2 ? all - wide[1] : all - all / 2;
        wide[1] = all - wide[0];
    }
    put_text("\n");
    for (size_t r = 0; r <= why->n; r++) {
        const Row *row = r ? &why->rows[r - 1] : NULL;
        cells_of(cell, row);
        line.length = 0;
        size_t n = put_token(&line, why->tok, row, 0, wide[0]);
        bytes_put(&line, "%*s", (int)(wide[0] - n), "");
        for (size_t i = 0; i < 2 + N_TERMS; i++) bytes_put(&line, " %*s", (int)width[i], cell[i]);
        bytes_put(&line, "  ");
        n = put_token(&line, why->tok, row, 1, wide[1]);
        bytes_put(&line, "%*s %*s  %s\n", (int)(wide[1] - n), "", (int)width[2 + N_TERMS], cell[2 + N_TERMS],
                  cell[3 + N_TERMS]);
        put(line.data, line.length);
    }
    line.length = 0;
    const double n = (double)why->n;
    bytes_put(&line, "verbatim +4 %.0f %%, +6 %.0f %%, +8 %.0f %%; mean p %s; decided:",
              100.0 * (double)runs[0] / n,
              100.0 * (double)runs[1] / n, 100.0 * (double)runs[2] / n, fixed(room, sum / n, 3));
    for (size_t k = 0; k <= N_TERMS; k++)
        if (decided[k])
            bytes_put(&line, "%s %s %zu", line.data[line.length - 1] == ':' ? "" : ",",
                      k < N_TERMS ? TERMS[k] : "draw", decided[k]);
    bytes_put(&line, "\n");
    put(line.data, line.length);
    free(line.data);
}

static const char *const PAGE[] = {
"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\n",
"<title>PostGPT: why it said so</title><style>\n",
":root{color-scheme:light dark;--paper:#faf8f3;--ink:#26221c;--soft:#756d60;--line:#e4decf;--card:#fffefb;\n",
"--tint:#dc9c26;--c0:#3f68a6;--c1:#8257ad;--c2:#2b8d84;--c3:#cf8a1f;--c4:#66943b;--c5:#c2504a;--c6:#"
    "948c80}\n",
"@media(prefers-color-scheme:dark){:root{--paper:#181714;--ink:#e8e2d6;--soft:#9d9586;--line:#36322b;\n",
"--card:#201e1a;--tint:#c9831a;--c0:#7ba1dc;--c1:#b48fdd;--c2:#5bbdb2;--c3:#e2ab52;--c4:#97c26c;--c5"
    ":#e5827b}}\n",
"*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,\n",
"-apple-system,'Segoe UI',Roboto,sans-serif}main{max-width:1200px;margin:auto;padding:36px 30px;disp"
    "lay:grid;\n",
"gap:0 56px;align-items:start;grid-template-columns:minmax(0,1fr) minmax(0,530px)}header{grid-column:1/-1;\n",
"margin-bottom:26px}h1,h2,#text,blockquote{font-family:Georgia,'DejaVu Serif',serif}h1{font-size:27px;\n",
"line-height:1.2;font-weight:600;margin:0 0 6px}p{margin:0 0 8px}small{font-size:12.5px}header p,sec"
    "tion>p,\n",
"small{color:var(--soft)}b{font-weight:600}nav:not(:empty){margin-top:10px}nav button{font:inherit;\n",
"color:inherit;background:none;border:1px solid var(--line);border-radius:99px;padding:2px 14px;\n",
"margin:0 6px 6px 0;cursor:pointer}nav [aria-pressed=true]{background:var(--ink);color:var(--paper)}#text{\n",
"font-size:20px;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere}#text i{font-style:normal;\n",
"color:var(--soft)}#text span{cursor:pointer;padding:3px 0;background:color-mix(in srgb,var(--tint) "
    "var(--p),\n",
"transparent)}.run,mark{text-decoration:underline 2px var(--c0);text-underline-offset:5px}mark{backg"
    "round:none;\n",
"color:var(--ink)}#text .new{box-shadow:inset 2px 0 var(--c5)}#text .seam{box-shadow:inset 2px 0 var"
    "(--c0)}\n",
"#text span:focus{outline:none}#text .on{outline:2px solid var(--ink);outline-offset:1px;border-radi"
    "us:3px;\n",
"position:relative}#key{margin-top:26px;border-top:1px solid var(--line);padding-top:14px}#key b{\n",
"display:inline-block;width:2.6em;height:1em;margin-right:8px;vertical-align:-2px}aside{background:v"
    "ar(--card);\n",
"border:1px solid var(--line);border-radius:14px;padding:22px 24px;position:sticky;top:20px;\n",
"max-height:calc(100vh - 40px);overflow:auto}h2{font-size:30px;line-height:1.2;font-weight:600;margi"
    "n:0 0 4px;\n",
"white-space:pre-wrap;overflow-wrap:anywhere}h3{font-size:14px;margin:22px 0 2px}section>p{font-size:13px;\n",
"line-height:1.45}.row{display:grid;grid-template-columns:8.4em 1fr 3.2em;gap:10px;align-items:center;\n",
"font-size:13px;line-height:1.8}.row>:first-child,.heads small{overflow:hidden;text-overflow:ellipsis;\n",
"white-space:pre}.me{font-weight:600}.row>:last-child,.term span{text-align:right;\n",
"font-variant-numeric:tabular-nums}.bar{position:relative;height:12px}.bar u{position:absolute;top:0;\n",
"height:12px}.bar:after{content:'';position:absolute;left:var(--z);top:-4px;bottom:-4px;\n",
"border-left:1px solid var(--soft)}.term{display:grid;grid-template-columns:12px 7.8em 3.4em 1fr;gap:9px;\n",
"font-size:13px;line-height:1.4;margin:8px 0}.term u{height:12px;border-radius:3px;margin-top:3px}.t"
    "erm small{\n",
"line-height:1.4}blockquote{margin:8px 0;padding-left:12px;border-left:2px solid var(--line);font-si"
    "ze:14px;\n",
"color:var(--soft)}.heads{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:8px 18px}\n",
".heads small{display:block}.strip{display:flex;height:20px;border-radius:3px;overflow:hidden;\n",
"background:var(--paper)}.strip u{flex:1}svg{width:100%;height:60px;display:block;overflow:visible}path{\n",
"fill:none;vector-effect:non-scaling-stroke}@media(max-width:880px){main{display:block;padding:24px "
    "20px 60vh}\n",
"#text{font-size:18px}#text span{scroll-margin:80px 0 58vh}h2{font-size:24px}aside{position:fixed;left:0;\n",
"right:0;bottom:0;top:auto;max-height:54vh;border-radius:16px 16px 0 0;border-width:1px 0 0;padding:"
    "16px 20px;\n",
"box-shadow:0 -8px 30px #0002}}\n",
"</style><main><header><h1>Why it said so</h1><p>Every token below was weighed with numbers counted "
    "in a corpus\n",
"of text. Choose one (click, or the arrow keys) and see which of six terms spoke for\n",
"it.<nav></nav></header><article><div id=text role=listbox aria-label=Text></div><div id=key><p><small><b\n",
"style='background:linear-gradient(90deg,transparent,color-mix(in srgb,var(--tint)\n",
"60%,transparent))'></b>probability: pale is near 1, full near 0</small><p><small><b class=run>abc</b>four\n",
"words or more, copied from the corpus</small><p><small><b style='box-shadow:inset 2px 0 var(--c5)'>"
    "</b>new:\n",
"these two stand nowhere side by side</small><p><small><b style='box-shadow:inset 2px 0 var(--c0)'><"
    "/b>a seam:\n",
"the copy jumps to another place in the corpus</small><p><small id=made></small></div></article><aside\n",
"aria-live=polite></aside></main><script>'use strict'\n",
"let D,T,at;const $=s=>document.querySelector(s),all=s=>document.querySelectorAll(s),N=['chain','net','H',\n",
"'F','A','T','rules'],V=['chain','transformer','H resonance','F prophecy','A destiny','T trauma','rules'],\n",
"E=['What came after the last few tokens in the corpus, by count.',\n",
"'Attention over the last tokens, by weights that were computed from the same counts.',\n",
"'Does it often stand near the last sixteen tokens?',\n",
"'It often follows recent tokens at some distance and is still missing; or it ends a word begun.',\n",
"'Has this text said it more often, lately, than the corpus does?',\n",
"'After surprises: what followed at moments of this text that were like this one.',\n",
"'The sampler fines long copies, bad joins and repeats; above 0 the other was fined more.'],\n",
"h=s=>s.replace(/[&<>']/g,c=>'&#'+c.charCodeAt()+';'),n=x=>(x>0?'+':'')+x.toFixed(2).replace('-','−'),\n",
"heads=()=>D.content+D.rrpram,mark=(k,css)=>`<u style='background:var(--c${k});${css}'></u>`;\n",
"function bars(c,me){const mean=N.map((_,k)=>c.reduce((s,x)=>s+x[2][k],0)/c.length),\n",
"d=c.map(x=>x[2].map((v,k)=>v-mean[k])),far=g=>Math.max(.01,...d.map(x=>x.reduce((s,v)=>s+Math.max(0,v*g),\n",
"0))),u=100/(far(1)+far(-1)),z=far(-1)*u;return c.map((x,i)=>{let r=z,l=z,s='';d[i].forEach((v,k)=>{\n",
"const w=Math.abs(v)*u;if(v<0)l-=w;s+=mark(k,`left:${v<0?l:r}%;width:${w}%`);if(v>0)r+=w});\n",
"return `<div class='row${x[0]==me?' me':''}'><span>${h(x[0])}</span><div class=bar style='--z:${z}%'>${s\n",
"}</div><span>${x[1].toFixed(3)}</span></div>`}).join('')};\n",
"function strip(t,i,k){if(k<0)return '<div></div>';const w=[...t.a[k]].map(c=>parseInt(c,36)/35),\n",
"W=T.tokens.slice(i-w.length,i),content=k%heads()<D.content,top=w.map((v,j)=>[v,j]).sort((a,\n",
"b)=>b[0]-a[0]||b[1]-a[1]).slice(0,3).filter(x=>x[0]>.04);return `<div><small>layer ${\n",
"1+Math.floor(k/heads())}, ${content?'content':'RRPRAM'}</small><div class=strip>${w.map((v,\n",
"j)=>mark(content?1:2,`opacity:${Math.sqrt(v).toFixed(2)}' title='${h(W[j].q)}`)).join('')}</div><small>${\n",
"top.map(x=>h(W[x[1]].q)+' '+Math.round(100*x[0])+' %').join('  ')||'a little everywhere'}</small></div>`}\n",
"function attention(t,i){let s='';for(let l=0;l<t.a.length;l+=heads())for(let k=0;k<Math.max(D.content,\n",
"D.rrpram);k++)s+=strip(t,i,k<D.content?l+k:-1)+strip(t,i,k<D.rrpram?l+D.content+k:-1);\n",
"return `<div class=heads>${s}</div>`};\n",
"function trauma(i){const g=T.tokens.slice(T.from),y=v=>60-56*Math.min(v/8,1);return `<svg viewBox='0 0 ${\n",
"Math.max(1,g.length-1)} 60' preserveAspectRatio=none><path d='M${\n",
"g.map((t,j)=>j+' '+y(t.l)).join('L')}' stroke=var(--c5) stroke-width=1.6 /><path d='M${i-T.from\n",
"} 2V60' stroke=var(--soft) stroke-dasharray=3 /></svg>`};\n",
"function select(i,focus){const g=T.tokens,t=g[at=i=Math.min(Math.max(i,T.from),g.length-1)],\n",
"sum=t?t.g.reduce((s,x)=>s+x,0):0,part=(title,text,body)=>`<section><h3>${title}</h3><p>${text}</p>${body\n",
"}</section>`;if(!t)return;all('#text span').forEach((e,j)=>{const on=j+T.from==i;e.classList.toggle('on',\n",
"on);e.tabIndex=on?0:-1;e.setAttribute('aria-selected',on);if(on&&focus){e.focus({preventScroll:true});\n",
"e.scrollIntoView({block:'nearest'})}});$('aside').innerHTML=`<h2>${h(t.q)}</h2><p>probability <b id=p>${\n",
"t.p.toFixed(3)}</b>, rank <b id=rank>${t.r}</b> of ${D.vocab}; ${t.r>1?'first':'second'\n",
"} was <b id=second>${h(t.u)\n",
"}</b> with <b id=v>${t.v.toFixed(3)}</b></p>`+part('Who spoke for it',\n",
"`Its score minus the score of ${h(t.u)}, term by term: together ${n(sum)} nats, ${\n",
"sum<0?'yet the draw took it.':'so at temperature '+D.tau+' it was '+(\n",
"sum/D.tau>13?'over a million':(+Math.exp(sum/D.tau).toPrecision(2)).toLocaleString('en'))+' times a"
    "s likely.'\n",
"}`,t.g.map((x,k)=>`<div class=term>${mark(k,'')}<b>${V[k]}</b><span id=g${k}>${n(x)}</span><small>${E[k]\n",
"}</small></div>`).join(''))+part('The best candidates',\n",
"'To the right what spoke for each, to the left what spoke against it, beside their average.',bars(t.c,\n",
"t.q))+part('Where it stands in the corpus',t.w?`The longest run of words that ends here: <b id=place>${\n",
"t.w[0]}:${t.w[1]} +${t.w[2]}</b>, line, column and ${t.w[2]\n",
"} words.`:'<b id=place>new</b>: these two side by side stand nowhere in the corpus.',\n",
"t.x.map(x=>`<blockquote>…${h(x[0])}<mark>${h(x[1])}</mark>${h(x[2])\n",
"}…</blockquote>`).join(''))+(t.a.length?part('What attention saw',`The last ${t.a[0].length\n",
"} tokens (a full window is halved), the newest at the right; darker is more.\n",
"Content heads look for what is alike, RRPRAM heads at a distance.`,attention(t,i)):'')+part('Open p"
    "romises',\n",
"'Tokens that prophecy still waits for, and the score it would give them.',t.o.map(o=>`<div class=row>\n",
"<span>${h(o[0])}</span><small>promised by ${h(o[1])}, ${o[2]} tokens back</small><span>${n(o[3])\n",
"}</span></div>`).join('')||'<small>None.</small>')+part('Trauma',`<b id=level>${t.l.toFixed(2)\n",
"}</b> nats: how surprising the text was lately. The higher it is, the louder is what\n",
"recall has found.`,trauma(i));history.replaceState(0,'',`#${\n",
"D.texts.indexOf(T)+1}.${i-T.from+1}`)};\n",
"function read(k,i){const run=new Set,g=(T=D.texts[k]).tokens;g.forEach((t,j)=>{\n",
"if(t.w&&t.w[2]>3)for(let m=0;m<t.w[3];m++)run.add(j-m)});$('#text').innerHTML=g.map((t,j)=>{\n",
"const c=(run.has(j)?'run':'')+(t.w===0&&g[j-1]?.w!==0?' new':t.w&&g[j-1]?.w&&t.w[3]<=g[j-1].w[3]?' "
    "seam':'');\n",
"return j<T.from?`<i class='${c}'>${h(t.s)}</i>`:`<span role=option class='${c}' style='--p:${\n",
"Math.round(60*(1-Math.sqrt(t.p)))}%'>${h(t.s)}</span>`}).join('');\n",
"$('nav').innerHTML=D.texts.length<2?'':D.texts.map((t,j)=>`<button aria-pressed=${j==k}>${\n",
"h(t.name)+(D.texts.length>2?' '+(j+1):'')}</button>`).join('');all('nav button').forEach((e,\n",
"j)=>e.onclick=()=>read(j,0));all('#text span').forEach((e,j)=>e.onclick=()=>select(j+T.from,1));\n",
"select(i+T.from)};\n",
"function show(d){D=d;d.texts.forEach(t=>t.tokens=t.tokens.map(a=>Object.fromEntries(a.map((x,\n",
"i)=>['sqprlguvwcxao'[i],x]))));const [k,i]=location.hash.slice(1).split('.');\n",
"$('#made').textContent=d.made;read(Math.min(Math.max(1,k|0),d.texts.length)-1,Math.max(1,i|0)-1);\n",
"document.onkeydown=e=>{const s={ArrowRight:1,ArrowDown:1,ArrowLeft:-1,ArrowUp:-1,Home:-1e9,End:1e9}\n",
"[e.key];if(s&&!e.ctrlKey&&!e.metaKey&&!e.altKey){e.preventDefault();select(at+s,1)}}}\n",
"</script><script>show("};

/* Puts JSON: %q a token, quoted as in the ledger; %t bytes and their number, as the text itself, its invalid
 * bytes as U+FFFD; %2 and %3 a number with so many decimals; %v numbers and how many; %z a size_t; %, a comma
 * but where a list begins; all else as it is. */
static void page_put(Ledger *why, const char *format, ...) {
    Bytes *to = why->page, text = {0};
    char room[64];
    va_list args;
    va_start(args, format);
    for (const char *c = format; *c; c++) {
        if (*c != '%') { bytes_add(to, c, 1); continue; }
        if (*++c == 'q') {
            const Slice token = token_text(why->tok, va_arg(args, uint32_t));
            text.length = 0;
            quoted(&text, token.data, token.length, 100);
            page_put(why, "%t", text.data, text.length);
        } else if (*c == 't') {
            const unsigned char *data = va_arg(args, const unsigned char *);
            const size_t length = va_arg(args, size_t);
            bytes_add(to, "\"", 1);
            for (size_t at = 0, n; at < length; at += n) {
                int valid;
                n = character(data + at, length - at, &valid);
                if (!valid) bytes_add(to, "\xEF\xBF\xBD", 3);
                else if (data[at] >= ' ' && !strchr("\"\\<>&\x7f", data[at])) bytes_add(to, data + at, n);
                else bytes_put(to, "\\u%04x", data[at]);
            }
            bytes_add(to, "\"", 1);
        } else if (*c == 'v') {
            const double *x = va_arg(args, const double *);
            const size_t n = va_arg(args, size_t);
            for (size_t i = 0; i < n; i++) bytes_put(to, "%c%s", i ? ',' : '[', fixed(room, x[i], 2));
            bytes_add(to, "]", 1);
        } else if (*c == ',') bytes_add(to, c, to->length && to->data[to->length - 1] != '[');
        else if (*c == 'z') bytes_put(to, "%zu", va_arg(args, size_t));
        else bytes_put(to, "%s", fixed(room, va_arg(args, double), *c - '0'));
    }
    va_end(args);
    free(text.data);
}

/* A token of the page: its text, and how it is quoted. A character stands at the token that completes it. */
static void page_token(Ledger *why, uint32_t id) {
    const Slice text = token_text(why->tok, id);
    bytes_add(&why->held, text.data, text.length);
    const unsigned char state = utf8_run(0, why->held.data, why->held.length);
    const int whole = !state || state == BROKEN;
    page_put(why, "%,[%t,%q", why->held.data, whole ? why->held.length : (size_t)0, id);
    if (whole) why->held.length = 0;
}

/* The text of one sample as JSON: what was heard, of it the newest two windows, then the rows. */
static void page_text(Ledger *why, const char *name, size_t context) {
    const Bytes *corpus = why->standing.corpus;
    const size_t known = why->heard.n < 2 * context ? why->heard.n : 2 * context;
    page_put(why, "%,{\"name\":%t,\"from\":%z,\"tokens\":[", name, strlen(name), known);
    for (size_t i = why->heard.n - known; i < why->heard.n; i++) {
        page_token(why, why->heard.ids[i]);
        page_put(why, "]");
    }
    for (const Row *row = why->rows; row < why->rows + why->n; row++) {
        page_token(why, row->id);
        page_put(why, ",%3,%z,%2,%v,%q,%3,", row->p, row->rank, row->level, row->gave, (size_t)N_TERMS,
                 row->second, row->second_p);
        if (row->words) page_put(why, "[%z,%z,%z,%z],[", row->line, row->column, row->words, row->since);
        else page_put(why, "0,[");
        for (size_t i = 0; i < row->n_candidates; i++) {
            const Candidate *c = &row->candidates[i];
            page_put(why, "%,[%q,%3,%v]", c->id, c->p, c->parts, (size_t)N_TERMS);
        }
        page_put(why, "],[");
        for (size_t i = 0; i < row->n_excerpts; i++) {
            const size_t at = row->excerpt[i], before = at > MARGIN ? at - MARGIN : 0, end = at + row->n_run,
                left = corpus->length - end;
            page_put(why, "%,[%t,%t,%t]", corpus->data + before, at - before, corpus->data + at, row->n_run,
                     corpus->data + end, left < MARGIN ? left : (size_t)MARGIN);
        }
        page_put(why, "],[");
        for (size_t i = 0; i < row->n_heads; i++) {
            page_put(why, "%,\"");
            bytes_add(why->page, row->attention + i * row->n_window, row->n_window);
            page_put(why, "\"");
        }
        page_put(why, "],[");
        for (size_t i = 0; i < row->n_promises; i++) {
            const Promise *promise = &row->promise[i];
            page_put(why, "%,[%q,%q,%z,%2]", promise->x, promise->by, promise->back, promise->nats);
        }
        page_put(why, "]]");
    }
    page_put(why, "]}");
    why->held.length = 0;
}

/* Writes the page: its fixed part, what it is of, and the texts that stand in why->page. */
static void put_page(Ledger *why, const Options *o) {
    const char *name = o->corpus + folder_of(o->corpus);
    char room[64];
    Bytes texts = *why->page, made = {0}, page = {0};
    why->page = &page;
    for (size_t i = 0; i < sizeof PAGE / sizeof *PAGE; i++) bytes_add(&page, PAGE[i], strlen(PAGE[i]));
    bytes_put(&made, "%.*s, ", (int)strlen(VERSION) - 1, VERSION);
    bytes_add(&made, name, strlen(name));
    bytes_put(&made, ", temperature %s, seed %llu", fixed(room, o->sampling.temperature, 2),
              (unsigned long long)o->sampling.seed);
    page_put(why, "{\"vocab\":%z,\"content\":%z,\"rrpram\":%z,\"tau\":%3,\"made\":%t,\"texts\":[",
             why->tok->vocab, o->shape.content, o->shape.rrpram,
             o->sampling.temperature > 0.0 ? o->sampling.temperature : 1.0, made.data, made.length);
    bytes_add(&page, texts.data, texts.length);
    page_put(why, "]})</script>\n");
    save_file(o->page, page.data, page.length, 0);
    free(made.data); free(page.data); free(texts.data);
}

/* The prompt and what follows it, in one mode, or in both under a heading each. said[3] of each sample:
 * the text so far by mode, which goes on where there is one; it gets what is added. Or NULL. */
static void continue_prompt(Model *model, const unsigned char *prompt, size_t length, Bytes *said) {
    static const struct { const char *name; int use; } modes[3] = {
        {"meta", META}, {"full", FULL}, {"transformer", USE_NET}};
    const Options *o = model->options;
    const int both = !strcmp(o->mode, "both");
    for (size_t i = 0; i < 3 * o->samples && !stopped; i++) {
        const char *name = modes[i % 3].name;
        if (i && i % 3 == 0) put_text("----\n");
        if (both ? i % 3 == 2 : strcmp(o->mode, name)) continue;
        if (both) put_line("--- %s ---\n", name);
        Bytes text = {0};
        saying = said ? &said[i] : NULL;
        const int on = saying && saying->data;
        bytes_add(&text, on ? saying->data : prompt, on ? saying->length : length);
        if (!on) say(prompt, length);
        generate(model, text.data, text.length, modes[i % 3].use, o->sampling.seed + i / 3, say, model->why);
        put_text("\n");
        if (o->page) page_text(model->why, name, o->shape.context);
        if (o->why && model->why->n) put_ledger(model->why);
        free(text.data);
    }
}

static void put_terminal(const char *text) { if (isatty(0)) fputs(text, stderr); }

/* Answers the prompt, if there is one, then standard input, a line at a time. An empty line goes on where
 * the text stopped, with the next seed; an interrupt ends the answer under way and nothing else. */
static void converse(Model *model, const Bytes *prompt) {
    const size_t n_said = 3 * model->options->samples;
    Bytes *said = alloc(n_said, sizeof *said);
    Options again = *model->options;
    char *line = NULL;
    size_t size = 0;
    int answered = prompt != NULL;
    model->options = &again;
    conversing = 1;
    if (prompt) continue_prompt(model, prompt->data, prompt->length, said);
    for (;;) {
        stopped = 0;
        waiting = isatty(0) ? 2 : 1;
        put_terminal("\r\x1b[K> ");
        ssize_t n = getline(&line, &size, stdin);
        if (n < 0 && ferror(stdin))
            fail("cannot read the prompt from standard input: %s", strerror(errno));
        if (n < 0) break;
        waiting = 0;
        while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
        const int byte = strange_byte(&model->tokenizer, (unsigned char *)line, (size_t)n);
        if (byte >= 0) {
            put_error(LACKS, "the prompt", (unsigned)byte);
            continue;
        }
        if (n || !answered)
            for (size_t i = 0; i < n_said; i++) { free(said[i].data); said[i] = (Bytes){NULL, 0, 0}; }
        else again.sampling.seed++;
        answered = 1;
        continue_prompt(model, (unsigned char *)line, (size_t)n, said);
    }
    conversing = waiting = 0;
    put_terminal("\r\x1b[K\n");
    for (size_t i = 0; i < n_said; i++) free(said[i].data);
    free(said);
    free(line);
}

enum { QUOTED = 8 };             /* words in a row that the corpus has are a quotation */

/* Of the runs of QUOTED words in a text, each up to where the next word begins: adds to found how many the
 * corpus has, and to runs how many there are. */
static void quotations(Standing *s, const Bytes *text, size_t *found, size_t *runs) {
    standing_clear(s);
    for (size_t at = 0; at < text->length; at++) {
        if (s->n_begun >= QUOTED && standing_begins(text->data, at)) {
            ++*runs;
            *found += standing_find(s, QUOTED, 0) != NOWHERE;
        }
        standing_write(s, (Slice){text->data + at, 1});
    }
}

/* Eight prompts from the corpus itself: the first three pieces of the lines after each eighth of it; and a
 * note on how much of what was said is copied. */
static void demonstrate(Model *model, const Bytes *corpus) {
    const unsigned char *data = corpus->data;
    const size_t n_said = model->options->quiet ? 0 : 3 * model->options->samples;
    Bytes *said = alloc(n_said, sizeof *said);
    Standing standing = {0};
    size_t found = 0, runs = 0;
    if (n_said) standing_make(&standing, corpus);
    for (size_t i = 0; i < 8; i++) {
        size_t at = corpus->length / 8 * i, end;
        if (at) while (at < corpus->length && data[at - 1] != '\n') at++;
        while (at < corpus->length && kind_of[data[at]] >= SPACE) at++;
        end = at;
        for (size_t piece = 0; piece < 3 && end < corpus->length && kind_of[data[end]] != WHITE; piece++)
            end = piece_end(data, end, corpus->length);
        if (i) put_text("\n");
        continue_prompt(model, data + at, end - at, n_said ? said : NULL);
        for (size_t k = 0; k < n_said; k++) {
            quotations(&standing, &said[k], &found, &runs);
            free(said[k].data);
            said[k] = (Bytes){NULL, 0, 0};
        }
    }
    const double share = 100.0 * (double)found / (double)(runs + !runs);
    if (runs) note(model->options, "of %zu runs of %d words that were said, %zu stand in the corpus"
                   " (%.1f %%)", runs, QUOTED, found, share);
    free(said);
    standing_free(&standing);
}

static void interrupted(int number) {
    static const char hint[] =
        "\r\x1b[Kpostgpt: an interrupt ends an answer; the end of input (Ctrl-D) ends this\n\r\x1b[K> ";
    const int before = errno;
    /* the best state is saved first, however often one asks */
    if (training || (conversing && number == SIGINT)) {
        if (!waiting && !stopped) stopped = number;
        if (waiting == 2 && write(STDERR_FILENO, hint, sizeof hint - 1) < 0) waiting = 0;
        errno = before;
        return;
    }
    if (unfinished) unlink(draft.name);
    end_by(number);
}

/* The folder of the program, so that the book beside it is found from anywhere. */
static char *beside(const char *program, const char *name) {
    char *link = alloc(4096, 1);
    const ssize_t n = readlink("/proc/self/exe", link, 4000);
    if (n <= 0) snprintf(link, 4000, "%s", program);
    strcpy(link + folder_of(link), name);
    return link;
}

/* Says so where what was given is hardly what was meant. */
static void look_at(const Bytes *corpus, const Options *o) {
    static const struct { const char *magic, *what; } looks[] = {
        {"\x1f\x8b", "compressed (gzip)"}, {"PK\x03\x04", "compressed (zip)"}, {"%PDF-", "like a PDF"},
        {"\x7f" "ELF", "like a program (ELF)"}};
    struct stat there;
    for (size_t i = 0; i < 4; i++)
        if (!strncmp((char *)corpus->data, looks[i].magic, strlen(looks[i].magic)))
            note(o, "the corpus %s looks %s, not like text: its bytes are counted as they are", o->corpus,
                 looks[i].what);
    if (o->prompt && *o->prompt && strcmp(o->prompt, "-") && !o->prompt[strcspn(o->prompt, "\t\n\v\f\r ")]
        && !stat(o->prompt, &there) && S_ISREG(there.st_mode))
        note(o, "the prompt '%s' is also the name of a file (--corpus %s counts it, - reads a prompt from"
            " standard input)", o->prompt, o->prompt);
}

/* What is counted of the corpus; behind it stands what --holdout holds out. */
static Bytes read_corpus(const Options *o, size_t *held_out) {
    Bytes corpus = read_file(o->corpus, "the corpus");
    const size_t length = corpus.length;
    if (length < 2)
        fail("the corpus %s %s: there is nothing to count", o->corpus, length ? "has one byte" : "is empty");
    *held_out = (size_t)((double)length * o->holdout);
    corpus.length -= *held_out;
    if (corpus.length < 2) fail("--holdout leaves too little of the corpus %s to build on", o->corpus);
    return corpus;
}

/* The model, loaded, trained and saved as the options ask. What cannot be written is found before. */
static void build_model(Model *model, const Bytes *corpus, size_t held_out, const Bytes *checkpoint) {
    const Options *o = model->options;
    if (o->page && !draft_begin(o->page)) fail("cannot write %s: %s", o->page, strerror(errno));
    draft_drop();                                      /* it can be written, as far as one can know */
    if (o->save && !draft_begin(o->save)) fail("cannot write %s: %s", o->save, strerror(errno));
    model->utf8 = utf8_run(0, corpus->data, corpus->length) == 0;
    model_count(model, corpus);
    if (o->load) model_load(model, corpus, checkpoint);
    if (o->train) train_model(model, corpus, corpus->data + corpus->length, held_out);
    else if (o->save) model_save(model, corpus, 0);
}

/* Where a name leads, also where nothing is yet: real[PATH], empty where it leads nowhere. */
static void real_name(const char *name, char *real, int links) {
    char folder[PATH + 2] = "", link[PATH] = "";
    const size_t stem = folder_of(name);
    char *there = realpath(name, NULL);
    *real = 0;
    if (there || links > 40 || strlen(name) >= PATH) {
        if (there && strlen(there) < PATH) strcpy(real, there);
        free(there);
        return;
    }
    memcpy(folder, name, stem);
    strcpy(folder + stem, ".");
    const ssize_t n = readlink(name, link, PATH - 1);
    if (n > 0 && (*link == '/' || stem + (size_t)n < PATH)) {
        char next[2 * PATH];
        snprintf(next, sizeof next, "%.*s%s", *link == '/' ? 0 : (int)stem, name, link);
        real_name(next, real, links + 1);
    } else if ((there = realpath(folder, NULL)) && strlen(there) + strlen(name + stem) + 1 < PATH)
        sprintf(real, "%s/%s", there[1] ? there : "", name + stem);
    free(there);
}

/* Do two names lead to one file, which need not be there yet? */
static int same_file(const char *a, const char *b) {
    struct stat x, y;
    if (!stat(a, &x) && !stat(b, &y)) return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    char real[2][PATH];
    real_name(a, real[0], 0);
    real_name(b, real[1], 0);
    return *real[0] && !strcmp(real[0], real[1]);
}

/* What is to be written must not be what is read. */
static void check_outputs(const Options *o, int prompted) {
    char *merges = merges_path(o->corpus);
    const char *const taken[][2] = {
        {o->corpus, "the corpus is read from it"}, {o->eval, "the text is read from it"},
        {merges, "the merges are kept in it"}, {prompted ? "/dev/stdin" : NULL, "the prompt is read from it"},
        {o->save, "the checkpoint is to be kept in it"}, {o->load, "the checkpoint is read from it"}};
    const char *const written[] = {o->save, o->page};
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; written[i] && k < (i ? 6 : 4); k++)
            if (taken[k][0] && same_file(written[i], taken[k][0]))
                fail("cannot write %s: %s (name another file)", written[i], taken[k][1]);
    free(merges);
}

/* The program. */
static void run(Options *o) {
    const int asked = o->prompt && !strcmp(o->prompt, "-"), prompted = asked || o->interactive;
    struct stat input;
    if (prompted && (fstat(0, &input) || !S_ISREG(input.st_mode)) && same_file(o->corpus, "/dev/stdin"))
        usage_error("the corpus and the prompt cannot both be read from standard input (name a corpus file)");
    size_t held_out;
    Bytes corpus = read_corpus(o, &held_out), prompt = {NULL, 0, 0}, text = {NULL, 0, 0},
        checkpoint = {NULL, 0, 0};
    look_at(&corpus, o);
    if (asked) prompt = read_file(NULL, "the prompt");
    else if (o->prompt) prompt = (Bytes){(unsigned char *)o->prompt, strlen(o->prompt), 0};
    if (o->tree) {
        Company company;
        kinds_make();
        company_make(&company, corpus.data, corpus.length);
        company_tree(&company, prompt.data, prompt.length, put);
        return;
    }
    Model model;
    memset(&model, 0, sizeof model);
    model.options = o;
    Tokenizer *tok = &model.tokenizer;
    tokenizer_make(tok, corpus.data, corpus.length, o->lines, !strcmp(o->alphabet, "corpus"));
    const size_t vocab = tok->base + o->merges;
    /* the default suits every vocabulary */
    if (o->sampling.top_k > vocab && o->sampling.top_k > OPTIONS.sampling.top_k)
        usage_error("--top-k takes a whole number from 0 to %zu, not '%zu'", vocab, o->sampling.top_k);
    /* what cannot be used is found before anything takes long */
    check_outputs(o, prompted);
    const char *name = o->encode ? o->encode : o->eval, *rest = "what --holdout holds out";
    check_bytes(&model, prompt.data, prompt.length, "the prompt");
    if (name) text = read_file(name, "the text");
    check_bytes(&model, text.data, text.length, name);
    check_bytes(&model, corpus.data + corpus.length, held_out, rest);
    if (o->eval && !text.length) fail("%s is empty: there is nothing to evaluate", name);
    if (o->holdout > 0.0 && !held_out) fail("%s is empty: there is nothing to evaluate", rest);
    if (o->load) checkpoint = read_file(o->load, "the checkpoint");
    load_tokenizer(&model, &corpus);
    if (o->encode) { model_encode(&model, &text); return; }
    build_model(&model, &corpus, held_out, &checkpoint);
    if (o->info) put_info(&model, &corpus);
    if (o->holdout > 0.0) put_figures(&model, corpus.data + corpus.length, held_out);
    if (o->eval) put_figures(&model, text.data, text.length);
    Bytes page = {0};
    Ledger why = {.tok = tok, .page = o->page ? &page : NULL};
    if (o->why || o->page) {
        standing_make(&why.standing, &corpus);
        best_make(&why.best, tok->vocab);
        model.why = &why;
    }
    if (o->interactive) converse(&model, o->prompt ? &prompt : NULL);
    else if (o->prompt) continue_prompt(&model, prompt.data, prompt.length, NULL);
    else if (!o->info && !o->eval && o->holdout <= 0.0 && !o->train && !o->save) demonstrate(&model, &corpus);
    if (o->page) put_page(&why, o);
}

/* What a signal does; not by signal(): in strict C it forgets the handler after the first one. */
static void catch_signals(void) {
    const struct sigaction on_signal = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
    const int numbers[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU};
    struct sigaction before;
    /* a closed pipe is a silent end, also where it was ignored */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!i || (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN))
            sigaction(numbers[i], &on_signal, NULL);
    signal(SIGXFSZ, SIG_IGN);                          /* a file too large is an error like others */
    atexit(draft_drop);
}

/* Runs the command line; exit codes: 0, 1 what cannot be done, 2 a wrong command line, 130 an interrupt. */
int main(int argc, char **argv) {
    Options o = OPTIONS;
    /* freed at once, it tells glibc to keep what is freed */
    void *volatile room = malloc((size_t)30 << 20);
    free(room);
    arithmetic_check();
    catch_signals();
    parse(&o, argc, argv);
    if (o.help) {
        put_text(USAGE);
        for (size_t k = 0; k < N_OPTIONS; k++) put_text(TABLE[k].help);
        put_text(EXAMPLES);
        return 0;
    }
    if (o.version) { put_text(VERSION); return 0; }
    if (!o.corpus) o.corpus = beside(argv[0], "postgpt.txt");
    if (o.random_seed) {
        FILE *source = fopen("/dev/urandom", "rb");
        if (!source || !fread(&o.sampling.seed, sizeof o.sampling.seed, 1, source))
            fail("cannot read /dev/urandom: --seed random needs it");
        fclose(source);
        put_error("seed %" PRIu64, o.sampling.seed);
    }
    if (o.tree && (!o.prompt || !*o.prompt))
        usage_error("--tree needs a prompt: the words whose company it shows");
    if (isatty(2) && !o.quiet) progress_next = seconds() + 1.0;
    run(&o);
    progress_clear();
    return 0;
}
