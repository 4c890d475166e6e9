/* Checks the C twin's gradients against central finite differences.
 *
 *     gradients LAYERS EMBD CONTENT RRPRAM CONTEXT MLP
 *
 * Every weight of a random transformer of that shape is moved a little up and a little down, and the slope of a
 * step's loss is compared with what backpropagation says. Prints the worst relative error (a slope under 1e-3 counts
 * as 1e-3). */
#define main postgpt_main
#include "../postgpt.c"
#undef main

enum { VOCAB = 11, BATCH = 3 };

static double loss_of(Pass *pass, const Span *window) {
    double loss = 0.0, n = 0.0;
    for (size_t i = 0; i < BATCH; i++) { loss += window_loss(pass, window[i]); n += (double)window[i].n; }
    return loss / n;
}

int main(int argc, char **argv) {
    size_t size[6];
    if (argc != 7) return 2;
    for (int i = 0; i < 6; i++) size[i] = strtoul(argv[i + 1], NULL, 10);
    const Shape shape = {size[0], size[1], size[2], size[3], size[4], size[5]};
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 2, 1, 7, 8, 9, 10, 0, 0, 6};
    const Span window[BATCH] = {{ids, shape.context}, {ids + 6, shape.context - 1}, {ids + 10, 2}};
    Transformer net;
    Team team;
    Pass pass;
    transformer_make(&net, shape, VOCAB);
    randomize(&net, 3);
    for (size_t i = 0; i < net.n_params; i++) net.params[i] *= 3.0;      /* livelier than training starts */
    team_make(&team, MOST_THREADS);
    pass_make(&pass, &net, &team, shape.context);
    const double *grad = pass.grad, loss = batch_gradient(&pass, window, BATCH);
    double worst = 0.0;
    if (!(fabs(loss - loss_of(&pass, window)) < 1e-12)) return 1;
    for (size_t i = 0; i < net.n_params; i++) {
        const double was = net.params[i], h = 1e-5;
        net.params[i] = was + h;
        const double up = loss_of(&pass, window);
        net.params[i] = was - h;
        const double slope = (up - loss_of(&pass, window)) / (2.0 * h);
        net.params[i] = was;
        const double most = fmax(fmax(fabs(slope), fabs(grad[i])), 1e-3);
        worst = fmax(worst, fabs(slope - grad[i]) / most);
    }
    team_end(&team);
    printf("%.3g\n", worst);
    return 0;
}
