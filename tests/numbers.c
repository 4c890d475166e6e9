/* Prints the C twin's numbers as hex floats: the seeded weights, then what each row of the evaluation says before
 * every token of a text.
 *
 *     numbers --corpus FILE --encode TEXT [options]
 *
 * A line each: "params" or "LABEL POSITION" (blanks in labels as underscores), a colon, the doubles. test_parity.py
 * compares them with the Python twin's, bit by bit. */
#include "counted.h"

static void put_doubles(const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) printf(" %a", x[i]);
    putchar('\n');
}

int main(int argc, char **argv) {
    Options options = OPTIONS;
    parse(&options, argc, argv);
    Bytes corpus = read_file(options.corpus, "the corpus"), file = read_file(options.encode, "the text");
    Model model;
    model_of(&model, &options, &corpus);
    Tokenizer *tok = &model.tokenizer;
    printf("params:");
    put_doubles(model.net.params, model.net.n_params);

    Window window;
    Field field;
    const Text text = encode_text(tok, file.data, file.length, options.lines);
    double *logits = alloc(tok->vocab, sizeof *logits);
    window_make(&window, &model.net);
    const Coefficients co = model_coefficients(&model);
    field_make(&field, &model.meta, &model.words, &co, &window);
    for (size_t doc = 0; doc < text.n_docs; doc++) {
        field_reset(&field);
        for (size_t i = text.start[doc]; i < text.start[doc + 1]; i++) {
            field_terms(&field);
            for (size_t row = 3; row < N_ROWS; row++) {
                for (const char *c = ROWS[row].label; *c; c++) putchar(*c == ' ' ? '_' : *c);
                printf(" %zu:", i);
                field_logits(&field, logits, ROWS[row].use);
                put_doubles(logits, tok->vocab);
            }
            field_push(&field, text.ids[i], field_expected(&field, text.ids[i]));
        }
    }
    return 0;
}
