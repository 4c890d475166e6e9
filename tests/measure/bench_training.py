"""Chapter VII's part of `make bench`: steps a second beside PyTorch's, PyTorch's gradients, what the seeds of this
program learn and how quickly, and Chuck beside plain AdamW. bench.py calls it.

PyTorch is asked where it is installed (`pip install torch`); without it its rows say so.
"""
import os
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import twins
from test_training import Tasks

import postgpt

BOOK = str(twins.BOOK)
NAMES_TASK = ("--lines", "--merges", "0", "--alphabet", "corpus", "--shape",
              "layers=1,embd=16,content=4,rrpram=0,context=16,mlp=4", "--batch", "1")
FARTHEST = 1e-5                                           # that a gradient may be from PyTorch's, relatively


def row(what, figure, note=""):
    """One line of the table."""
    print("%-58s %12s  %s" % (what, figure, note), flush=True)


def train(command, corpus, steps, *options):
    """Trains, and returns what is printed of it. Raises CalledProcessError."""
    done = subprocess.run([*command, "-c", corpus, "--no-cache", "--train", str(steps), *options],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return done.stderr.decode()


def seconds(command, corpus, steps, *options):
    """The wall time of a whole run."""
    start = time.perf_counter()
    train(command, corpus, steps, "-q", *options)
    return time.perf_counter() - start


def step_seconds(command, corpus, few, many, *options, runs=7):
    """The time of one step: what more steps add to the quickest run."""
    times = [min(seconds(command, corpus, n, *options) for _ in range(runs)) for n in (few, many)]
    return (times[1] - times[0]) / (many - few)


def losses(text):
    """The loss of every step."""
    return [float(loss) for loss in re.findall(r"(?m)^step \d+ loss (\S+)", text)]


def peer():
    """The module torch_peer, or None where PyTorch is not installed."""
    try:
        from measure import torch_peer
        return torch_peer
    except ImportError:
        return None


def peer_step_seconds(torch_peer, model, batch):
    """PyTorch's times of a step and how it was run: as it is, and compiled where that works; in one thread and in two.
    -> [(seconds, way)]"""
    ways = []
    for compiled, way in ((False, "eager"), (True, "torch.compile")):
        try:
            ways.append(min((torch_peer.step_seconds(model.shape, model.net.vocab, model.meta.text.ids, batch, compiled,
                                                     threads),
                             "%s, %d threads" % (way, threads)) for threads in (1, 2)))
        # torch.compile needs a C++ compiler, and more that may be missing
        except Exception as error:
            row("PyTorch: %s" % way, "-", "it fails: %s" % type(error).__name__)
    return ways


def steps_a_second(c, python, torch_peer, model):
    """The default shape, windows of 64 tokens, in doubles; PyTorch's steps in floats."""
    row("Load average as the steps are timed", "%.1f" % os.getloadavg()[0],
        "where others run, PyTorch's threads wait the longest for each other")
    for batch, target in ((4, 1), (1, 2)):
        ours = step_seconds(c, BOOK, 1, 400 // batch, "--batch", str(batch))
        row("C: steps of %d x 64 tokens" % batch, "%.0f /s" % (1 / ours), "%.2f ms each" % (1e3 * ours))
        if not torch_peer:
            row("PyTorch: the same", "-", "torch is not installed")
            continue
        for theirs, way in peer_step_seconds(torch_peer, model, batch):
            row("PyTorch in floats, %s: the same" % way, "%.0f /s" % (1 / theirs),
                "%.2f ms each; C does %.2f times as many (target %d)" % (1e3 * theirs, theirs / ours, target))
    row("Python: a step of 1 x 64 tokens", "%.2f s" % step_seconds(python, BOOK, 1, 3, "--batch", "1", runs=3),
        "limit 2.5")


def gradients(torch_peer, models):
    """Whether PyTorch's gradients of the same weights and windows are ours."""
    if not torch_peer:
        row("Gradients beside PyTorch's", "-", "torch is not installed")
        return True
    agreed = True
    for init, model in models.items():
        ids = model.meta.text.ids
        windows = [ids[at:at + model.shape.context + 1] for at in (0, len(ids) // 2)]
        _, gradient = postgpt.batch_gradient(model.net, windows)
        apart = torch_peer.gradients_apart(model.net, windows, gradient)
        agreed = agreed and apart <= FARTHEST
        row("Gradients beside PyTorch's, %s weights" % init, "%.1g" % apart,
            "the largest relative difference (limit %g)" % FARTHEST)
    return agreed


def names(c, python, path):
    """microgpt's task: 1000 names, one a step."""
    if not path or not os.path.exists(path):
        return row("microgpt's task", "-", "there is no names.txt (--names FILE)")
    for init in ("random", "ghost"):
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda seed: losses(train(c, path, 1000, *NAMES_TASK, "--init", init, "--seed",
                                                           str(seed))), range(1, 6)))
        row("Names: loss of steps 801 to 1000, five seeds, %s" % init,
            "%.3f" % statistics.mean(statistics.mean(run[-200:]) for run in runs),
            "limit 2.45; microgpt on shuffled names 2.390" if init == "random" else "")
    still = losses(train(c, path, 1000, *NAMES_TASK, "--init", "ghost", "--lr", "0"))
    row("Names: the ghost before any step, over the same 1000", "%.3f" % statistics.mean(still),
        "%.3f over the last 200 of them" % statistics.mean(still[-200:]))
    options = (*NAMES_TASK, "--init", "random")
    row("C: a step of one name", "%.4f ms" % (1e3 * step_seconds(c, path, 1, 5001, *options)), "limit 0.09")
    row("Python: a step of one name", "%.1f ms" % (1e3 * step_seconds(python, path, 1, 101, *options, runs=3)),
        "limit 15")


def sorting():
    """zeptoGPT's task: triples of three letters put in order, as tests/test_training.py trains it."""
    for heads in ("content=2,rrpram=0", "content=1,rrpram=1"):
        with ThreadPoolExecutor(2) as pool:
            right = list(pool.map(lambda seed: Tasks().sorts(heads, seed), range(1, 11)))
        row("Sorting: right of 27 for ten seeds, %s" % heads, "%d of 10 all" % right.count(27),
            " ".join(map(str, right)))


def plain(folder):
    """A C twin whose optimizer is plain AdamW: the factor stays at 1, and nothing is clipped."""
    with open(os.path.join(twins.ROOT, "postgpt.c")) as file:
        source = file.read()
    for chucks, adamws in (("        chuck_watch(&chuck, loss);\n", ""),
                           ("    pass->clip = chuck_clip(chuck, norm);\n", "    pass->clip = 1.0;\n")):
        assert source.count(chucks) == 1, chucks
        source = source.replace(chucks, adamws)
    path = os.path.join(folder, "plain.c")
    with open(path, "w") as file:
        file.write(source)
    return [twins.build(path, flags=(*twins.FLAGS, "-march=native"))]


def best_held_out(command, init, rate, seed):
    """The best held-out loss of 1000 steps on nine tenths of the book."""
    text = train(command, BOOK, 1000, "--holdout", "0.1", "--init", init, "--lr", rate, "--seed", str(seed))
    return float(re.findall(r"(?m)^held-out .* best (\S+)", text)[-1])


def chuck_beside_adamw(c, seeds=(1, 2, 3)):
    """Chuck's best held-out loss beside plain AdamW's at the same rate, on the same windows."""
    with tempfile.TemporaryDirectory() as folder:
        adamw = plain(folder)
        for init in ("random", "ghost"):
            for rate in ("0.002", "0.003", "0.005"):
                ours, theirs = [statistics.mean(best_held_out(command, init, rate, seed) for seed in seeds)
                                for command in (c, adamw)]
                row("Chuck: best held-out loss, %s, rate %s" % (init, rate), "%.4f" % ours,
                    "plain AdamW %.4f; mean of %d seeds, 1000 steps of 4 x 64" % (theirs, len(seeds)))


def main(names_path):
    """All rows. Returns whether the gradients are PyTorch's."""
    c, python, torch_peer = [twins.binary()], list(twins.PYTHON), peer()
    with open(BOOK, "rb") as file:
        book = file.read()
    models = {init: postgpt.PostGPT(book, init=init) for init in ("random", "ghost")}
    agreed = gradients(torch_peer, models)
    steps_a_second(c, python, torch_peer, models["ghost"])
    names(c, python, names_path)
    sorting()
    chuck_beside_adamw(c)
    return agreed
