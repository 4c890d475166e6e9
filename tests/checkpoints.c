/* Says what the C twin makes of many checkpoints.
 *
 *     checkpoints [options] < FILES
 *
 * Standard input: for each file its length in decimal, a newline, its bytes. A line each is printed: what is wrong
 * with it, or "weights" and the CRC-32 of all weights as they were loaded. Each lies in memory of just its length, so
 * that a sanitizer sees a read behind its end, and what a refused one leaves behind is compared with what was there.
 */
#include "counted.h"

int main(int argc, char **argv) {
    Options options = OPTIONS;
    parse(&options, argc, argv);
    options.load = "";                                    /* no seeding */
    Bytes corpus = read_file(options.corpus, "the corpus");
    Model model;
    model_of(&model, &options, &corpus);
    About about[N_ABOUT];
    const size_t size = model.net.n_params * sizeof(double);
    double *before = alloc(size, 1);
    for (size_t length; scanf("%zu", &length) == 1 && getchar() == '\n';) {
        char fault[FAULT];
        unsigned char *bytes = malloc(length);
        if (length && (!bytes || fread(bytes, 1, length, stdin) != length)) return 1;
        memcpy(before, model.net.params, size);
        model.trained = checkpoint_trained(bytes, length);
        model_about(&model, &corpus, about);
        if (checkpoint_take(&model.net, about, bytes, length, fault)) {
            unsigned char *weights = alloc(size, 1);
            for (size_t i = 0; i < model.net.n_params; i++) {
                uint64_t bits;
                memcpy(&bits, &model.net.params[i], 8);
                put_u64(weights + 8 * i, bits);
            }
            printf("weights %08x\n", crc32_of(weights, size));
            free(weights);
        } else printf("%s%s\n", fault, memcmp(before, model.net.params, size) ? " (but it changed the weights)" : "");
        free(bytes);
    }
    return 0;
}
