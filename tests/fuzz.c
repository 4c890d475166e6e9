/* libFuzzer's targets (make fuzz): TARGET is merges, checkpoint, corpus or line. The C twin is included whole; where
 * it would exit it comes back here, and what it had allocated is freed. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf over;

typedef struct Block { struct Block *before, *after; } Block;      /* 16 bytes before each allocation, a ring of all */
static Block blocks = {&blocks, &blocks};

static void *linked(Block *block) {
    if (!block) return NULL;
    *block = (Block){&blocks, blocks.after};
    blocks.after->before = block;
    blocks.after = block;
    return block + 1;
}

static Block *unlinked(void *p) {
    Block *block = (Block *)p - 1;
    block->before->after = block->after;
    block->after->before = block->before;
    return block;
}

static void *fuzz_calloc(size_t n, size_t size) {
    if (size && n > ((size_t)1 << 28) / size) return NULL;         /* memory has an end */
    return linked(calloc(1, n * size + sizeof(Block)));
}

static void *fuzz_realloc(void *p, size_t n) {
    return n > (size_t)1 << 28 ? NULL : linked(realloc(p ? unlinked(p) : NULL, n + sizeof(Block)));
}
static void fuzz_free(void *p) { if (p) free(unlinked(p)); }
static void fuzz_exit(int code) { (void)code; longjmp(over, 1); }

#define main postgpt_main
#define exit fuzz_exit
#define calloc fuzz_calloc
#define realloc fuzz_realloc
#define free fuzz_free
#undef stderr
#define stderr nowhere
static FILE *nowhere;
#include "../postgpt.c"
#undef main

static volatile size_t said;

static void hear(const unsigned char *bytes, size_t n) { for (size_t i = 0; i < n; i++) said += bytes[i]; }

/* A model of a corpus, with options that make it small. */
static void tiny(Model *model, Options *o, Bytes *corpus) {
    memset(model, 0, sizeof *model);
    model->options = o;
    tokenizer_make(&model->tokenizer, corpus->data, corpus->length, o->lines, !strcmp(o->alphabet, "corpus"));
}

static void count(Model *model, const Bytes *corpus) {
    model->utf8 = utf8_run(0, corpus->data, corpus->length) == 0;
    model_count(model, corpus);
}

/* The next part of the data, up to the byte 0xFE. */
static Bytes part(const unsigned char **data, size_t *size) {
    const unsigned char *end = memchr(*data, 0xFE, *size);
    const size_t n = end ? (size_t)(end - *data) : *size, taken = n + (end != NULL);
    Bytes bytes = {alloc(n + 1, 1), n};
    memcpy(bytes.data, *data, n);
    *data += taken;
    *size -= taken;
    return bytes;
}

/* A corpus, then a merges file: as it is, or (first byte odd) its pairs under a header that says of them what is so. */
static void fuzz_merges(const unsigned char *data, size_t size) {
    const int whole = data[0] & 1;
    data++, size--;
    Options o = OPTIONS;
    Model model;
    Bytes corpus = part(&data, &size), file = part(&data, &size);
    if (corpus.length < 2) return;
    o.merges = 40;
    o.shape = (Shape){1, 4, 1, 1, 3, 1};
    o.tokens = 5;
    tiny(&model, &o, &corpus);
    if (whole) {
        size_t n = 0, lines = 0;
        char *text = alloc(file.length + 256, 1);
        for (size_t i = 0; i < file.length; i++) lines += file.data[i] == '\n';
        n = (size_t)sprintf(text, MERGES "1 corpus %zu crc32 %08x alphabet bytes 256 merges 40 learned %zu crc32 %08x"
                            "\n", corpus.length, crc32_of(corpus.data, corpus.length), lines,
                            crc32_of(file.data, file.length));
        memcpy(text + n, file.data, file.length);
        file = (Bytes){(unsigned char *)text, n + file.length};
    }
    if (!merges_take(&model.tokenizer, &corpus, &o, &file)) {
        merges_forget(&model.tokenizer);
        tokenizer_learn(&model.tokenizer, corpus.data, corpus.length, o.merges);
    }
    count(&model, &corpus);
    generate(&model, corpus.data, 2, FULL, 42, hear, NULL);
}

/* A checkpoint for a tiny model: as it is, or (first byte odd) with the checksum of its weights. */
static void fuzz_checkpoint(const unsigned char *data, size_t size) {
    static unsigned char book[] = "a cab, a bad cab, a bead\na cab, a bad cab, a bead\n";
    Options o = OPTIONS;
    Model model;
    Bytes corpus = {book, sizeof book - 1}, file = {alloc(size, 1), size - 1};
    About about[N_ABOUT];
    char fault[FAULT];
    memcpy(file.data, data + 1, size - 1);
    o.merges = 2;
    o.alphabet = "corpus";
    o.shape = (Shape){1, 4, 1, 1, 4, 1};
    o.load = "x";
    o.tokens = 3;
    tiny(&model, &o, &corpus);
    tokenizer_learn(&model.tokenizer, corpus.data, corpus.length, o.merges);
    count(&model, &corpus);
    model.trained = checkpoint_trained(file.data, file.length);
    model_about(&model, &corpus, about);
    if (data[0] & 1 && file.length > 8 && get_u64(file.data) < file.length - 8) {
        static const char label[] = "weights_crc32\":\"";
        const size_t header = 8 + (size_t)get_u64(file.data);
        for (size_t at = 8; at + sizeof label + 8 < header; at++)
            if (!memcmp(file.data + at, label, sizeof label - 1)) {
                char sum[9];
                snprintf(sum, sizeof sum, "%08x", crc32_of(file.data + header, file.length - header));
                memcpy(file.data + at + sizeof label - 1, sum, 8);
            }
    }
    if (!checkpoint_take(&model.net, about, file.data, file.length, fault)) return;
    generate(&model, (const unsigned char *)"a", 1, FULL, 42, hear, NULL);
    double nats[N_ROWS];
    evaluate(&model, &model.meta.text, nats);
}

/* Options by the first bytes, a corpus, a prompt, a text to be evaluated. */
static void fuzz_corpus(const unsigned char *data, size_t size) {
    Options o = OPTIONS;
    Model model;
    if (size < 8) return;
    o.lines = data[0] & 1;
    o.alphabet = data[0] & 2 ? "corpus" : "bytes";
    o.init = data[0] & 4 ? "random" : "ghost";
    o.merges = data[1] % 60;
    o.order = 1 + data[2] % 8;
    o.field.memory = 1 + data[3] * data[3];
    o.shape = (Shape){1 + data[4] % 2, 2 * (1 + data[4] / 2 % 8), data[4] / 16 % 2, 1 + data[4] / 32 % 2,
                      2 + data[5] % 9, 1 + data[5] / 16 % 2};
    if (o.shape.embd % (o.shape.content + o.shape.rrpram)) return;
    o.sampling.temperature = (data[6] % 16) / 4.0;
    o.sampling.top_k = data[6] / 16;
    o.tokens = 1 + data[7] % 16;
    if (data[7] & 128) o.sampling.top_p = (data[6] + 1) / 256.0;
    data += 8, size -= 8;
    Bytes corpus = part(&data, &size), prompt = part(&data, &size), text = part(&data, &size);
    if (corpus.length < 2) return;
    tiny(&model, &o, &corpus);
    check_bytes(&model, prompt.data, prompt.length, "the prompt");
    check_bytes(&model, text.data, text.length, "the text");
    tokenizer_learn(&model.tokenizer, corpus.data, corpus.length, o.merges);
    count(&model, &corpus);
    generate(&model, prompt.data, prompt.length, FULL, 42, hear, NULL);
    double nats[N_ROWS];
    const Text held = encode_text(&model.tokenizer, text.data, text.length, o.lines);
    evaluate(&model, &held, nats);
}

/* Arguments, apart by 0xFE. */
static void fuzz_line(const unsigned char *data, size_t size) {
    Options o = OPTIONS;
    char *argv[32] = {"postgpt"};
    int argc = 1;
    for (; size && argc < 31; argc++) argv[argc] = (char *)part(&data, &size).data;
    parse(&o, argc, argv);
}

#define TARGET_OF(name) fuzz_##name
#define FUZZ(name) TARGET_OF(name)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!nowhere) nowhere = fopen("/dev/null", "w");
    void (*const target)(const unsigned char *, size_t) = FUZZ(TARGET);
    if (size && !setjmp(over)) target(data, size);
    while (blocks.after != &blocks) free(blocks.after + 1);
    return 0;
}
