/* The C twin as a library, and a model of the corpus that a command line names, its merges learned. */
#define main postgpt_main
#include "../postgpt.c"
#undef main

static void model_of(Model *model, const Options *options, const Bytes *corpus) {
    memset(model, 0, sizeof *model);
    model->options = options;
    tokenizer_make(&model->tokenizer, corpus->data, corpus->length, options->lines,
                   !strcmp(options->alphabet, "corpus"));
    tokenizer_learn(&model->tokenizer, corpus->data, corpus->length, options->merges);
    model->utf8 = utf8_run(0, corpus->data, corpus->length) == 0;
    model_count(model, corpus);
}
