"""What counting is worth in steps of training: the transformer trained from random weights and from the ghost. Draws
curve.svg.

    python3 tests/measure curve [--steps N] [--out FILE] [TEXT]      or     make curve TEXT=path      (the book without
    one)

Every point is a run of its own, `./postgpt --init .. --train N --holdout 0.1`, its learning rate falling to zero over
its N steps, and shows the held-out loss after its last step: what so much training buys. A single long run would be
looked at ten times only, and would show early steps at a rate meant for the late ones.
"""
import argparse
import math
import os
import re
import sys
from typing import Dict, NamedTuple, Tuple
from xml.sax.saxutils import escape

import twins
from measure import thesis

MARKS = (1, 1.5, 2, 3, 5, 7)                              # of each power of ten: the numbers of steps that are run
LOOK = re.compile(r"(?m)^held-out after (\d+) steps: loss (\S+) best (\S+)$")
INITS = (("random", "random weights", "#d55e00"), ("ghost", "the ghost", "#0072b2"))     # colours: Okabe and Ito 2008
LINES = (("uniform", "uniform"), ("unigram", "unigram"), ("bigram", "Kneser-Ney bigram"),
         ("chain", "Kneser-Ney, order 3"))

WIDTH, HEIGHT = 1000, 600                                 # of the picture
LEFT, RIGHT, TOP, BOTTOM = 80, 790, 96, 530               # of the plot in it
INK, GREY, PALE = "#222222", "#666666", "#e4e4e4"


class Run(NamedTuple):
    """One training run. Losses are held-out, nats a token, as training prints them."""
    args: Tuple[str, ...]
    first: float                                          # before the first step
    last: float                                           # after the last step
    best: float                                           # and of the state that was kept
    figures: dict                                         # what --holdout prints of that state


class Course(NamedTuple):
    """All runs from one kind of weights."""
    untrained: dict                                       # what --holdout prints where nothing was trained
    runs: Dict[int, Run]                                  # by their number of steps

    def start(self):
        """The held-out loss before the first step."""
        return next(iter(self.runs.values())).first

    def points(self):
        """(steps, held-out loss after them), from 0 on."""
        return [(0, self.start()), *((steps, run.last) for steps, run in sorted(self.runs.items()))]

    def best(self):
        """The steps of the run with the best state, the fewest among equals."""
        return min(self.runs, key=lambda steps: (self.runs[steps].best, steps))


# Measuring

def budgets(steps):
    """The numbers of steps to run: 10, 15, 20, 30 .. and `steps`."""
    found = {int(mark * 10 ** power) for power in range(1, len(str(steps))) for mark in MARKS}
    return sorted({n for n in found if n < steps} | {steps})


def train(source, init, steps):
    """One run."""
    args = (*source, "--init", init, "--train", "%d" % steps, "--holdout", "0.1")
    if sys.stderr.isatty():                               # all of them take minutes
        print(thesis.command(args), file=sys.stderr)
    output, error = thesis.run(args)
    looks = LOOK.findall(error)
    return Run(args, float(looks[0][1]), float(looks[-1][1]), float(looks[-1][2]), thesis.parse(output))


def course_of(source, init, steps):
    """All runs from one kind of weights, up to a number of steps."""
    output, _ = thesis.run((*source, "--init", init, "--holdout", "0.1"))
    return Course(thesis.parse(output), {n: train(source, init, n) for n in budgets(steps)})


def overtake(source, random, goal):
    """The fewest steps, to within 5 %, that bring random weights to a loss, and that run; None where they do not get
    there."""
    points = random.points()
    at = next((i for i, (_, loss) in enumerate(points) if loss <= goal), 0)
    if not at:
        return None
    (low, _), (high, _) = points[at - 1:at + 1]
    found = random.runs[high]
    while high - low > max(1, 0.05 * high):
        middle = (low + high) // 2
        run = train(source, "random", middle)
        if run.last <= goal:
            high, found = middle, run
        else:
            low = middle
    return high, found


# Drawing

class Frame(NamedTuple):
    """Where a number of steps and a loss stand in the picture."""
    steps: int
    low: float
    high: float

    def x(self, steps):
        """The logarithm of 10 more, so that 0 has a place."""
        return LEFT + (RIGHT - LEFT) * math.log(1.0 + steps / 10.0) / math.log(1.0 + self.steps / 10.0)

    def y(self, loss):
        """Linear, the lowest loss at the bottom."""
        return BOTTOM - (BOTTOM - TOP) * (loss - self.low) / (self.high - self.low)


def text(x, y, words, size=15, colour=INK, anchor="start", more=""):
    """Words at a place."""
    return '<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s"%s>%s</text>' % (x, y, size, colour,
            anchor, more, escape(words))


def stroke(points, colour, width=1.0, dash=""):
    """A line through points."""
    return '<polyline points="%s" fill="none" stroke="%s" stroke-width="%g" stroke-linejoin="round"%s/>' % (
        " ".join("%.1f,%.1f" % point for point in points), colour, width,
        ' stroke-dasharray="%s"' % dash if dash else "")


def dot(x, y, colour, radius=3.0, fill=None):
    """A point of a curve."""
    return '<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" stroke="%s" stroke-width="2"/>' % (x, y, radius,
            fill or colour, colour)


def ticks(low, high):
    """At most nine round numbers of a range."""
    gap = next(gap for gap in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if (high - low) / gap <= 8 or gap == 5.0)
    return [i * gap for i in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


def apart(places, gap):
    """Heights of labels, ascending, moved as little as needs be for each to stand `gap` from the next."""
    groups = []                                           # [sum of wished heights of the first label, labels]
    for i, place in enumerate(places):
        groups.append([place, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] + gap * groups[-2][1] > groups[-1][0] / groups[-1][1]:
            wish, n = groups.pop()
            groups[-1][0] += wish - n * gap * groups[-1][1]
            groups[-1][1] += n
    return [wish / n + gap * i for wish, n in groups for i in range(n)]


def axes(frame):
    """The axes, their ticks and what they measure."""
    parts = []
    for loss in ticks(frame.low, frame.high):
        y = frame.y(loss)
        parts += [stroke([(LEFT - 6, y), (LEFT, y)], GREY), text(LEFT - 12, y + 5, "%.1f" % loss, 14, GREY, "end")]
    steps = [0, *(n for power in range(1, 7) for n in (10 ** power, 3 * 10 ** power) if n <= frame.steps)]
    for n in steps:
        x = frame.x(n)
        parts += [stroke([(x, BOTTOM), (x, BOTTOM + 6)], GREY),
                  text(x, BOTTOM + 24, "{:,}".format(n), 14, GREY, "middle")]
    parts += [stroke([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], GREY),
              text((LEFT + RIGHT) / 2, BOTTOM + 50, "steps of training", 15, INK, "middle"),
              text(26, (TOP + BOTTOM) / 2, "held-out loss, nats a token", 15, INK, "middle",
                   ' transform="rotate(-90 26 %g)"' % ((TOP + BOTTOM) / 2))]
    return parts


def counted(frame, figures):
    """What counts alone achieve: level lines, named on the right."""
    levels = sorted((frame.y(figures[label].nats), name, figures[label].nats) for label, name in LINES)
    parts = []
    for (y, name, nats), at in zip(levels, apart([y for y, _, _ in levels], 18.0)):
        parts += [stroke([(LEFT, y), (RIGHT, y)], GREY, 1.2, "2 4"),
                  text(RIGHT + 12, at + 5, "%.2f  %s" % (nats, name), 14, GREY)]
    return parts


def curve(frame, points, colour):
    """A curve and its points."""
    places = [(frame.x(steps), frame.y(loss)) for steps, loss in points]
    return [stroke(places, colour, 3.0), *(dot(x, y, colour) for x, y in places)]


def clear_place(frame, points, levels):
    """The point of a curve beside which there is most room for its name: far from every level line."""
    return max(points[1:], key=lambda point: min(abs(frame.y(point[1]) - 12.0 - frame.y(level)) for level in levels))


def labels(frame, random, ghost, levels, reached):
    """The curves' names, and where one takes over what the other began with. levels: the losses that have a line"""
    (_, random_name, orange), (_, ghost_name, blue) = INITS
    start, bold = ghost[0][1], ' font-weight="bold"'
    steps, loss = clear_place(frame, random, [*levels, start])
    # the words are to stand clear of the curve
    above = min(frame.y(loss) for n, loss in ghost if frame.x(n) < LEFT + 330)
    parts = [text(frame.x(steps) + 14, frame.y(loss) - 6, random_name, 17, orange, "start", bold),
             text(LEFT + 14, above - 32, ghost_name, 17, blue, "start", bold),
             text(LEFT + 14, above - 13, "weights counted: %.2f before the first step" % start, 14, blue),
             dot(LEFT, frame.y(start), blue, 6.0, "#ffffff")]
    if reached:
        x, y = frame.x(reached), frame.y(start)
        parts += [stroke([(LEFT + 7, y), (x - 7, y)], blue, 1.2, "5 4"), dot(x, y, orange, 6.0, "#ffffff"),
                  text(x + 12, y - 13, "{:,} steps to get there".format(reached), 14, orange)]
    return parts


def headline(steps, reached):
    """The picture's title."""
    return "Counting is worth {}{:,} steps of training".format("" if reached else "more than ", reached or steps)


def picture(name, steps, random, ghost, reached):
    """The whole SVG file. random, ghost: Course; reached: steps, or None"""
    curves = random.points(), ghost.points()
    levels = [ghost.untrained[label].nats for label, _ in LINES]
    losses = [loss for points in curves for _, loss in points] + levels
    margin = 0.06 * (max(losses) - min(losses))
    frame = Frame(steps, min(losses) - margin, max(losses) + margin)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Helvetica, Arial, sans-serif">' % (
        WIDTH, HEIGHT),
             '<rect width="%d" height="%d" fill="#ffffff"/>' % (WIDTH, HEIGHT),
             text(LEFT, 40, headline(steps, reached), 24, INK, "start", ' font-weight="bold"'),
             text(LEFT, 66,
                  "One transformer, two beginnings. %s, last 10 %% held out; every point a run of its own." % name, 15,
                  GREY),
             *axes(frame), *counted(frame, ghost.untrained)]
    for points, (_, _, colour) in zip(curves, INITS):
        parts += curve(frame, points, colour)
    return "\n".join([*parts, *labels(frame, *curves, levels, reached), "</svg>\n"])


# The command line

def report(random, ghost, reached):
    """What the picture shows, in figures."""
    thesis.table(["steps", *(name for _, name, _ in INITS)],
                 [["{:,}".format(steps), "%.4f" % loss, "%.4f" % other] for (steps, loss),
                  (_, other) in zip(random.points(), ghost.points())])
    print("- The ghost starts at %.4f nats a token; random weights %s" % (
        ghost.start(), "need %d steps to get there: `%s`" % (reached[0], thesis.command(reached[1].args)) if reached
        else "do not get there."))
    for course, (_, name, _) in zip((random, ghost), INITS):
        steps = course.best()
        run = course.runs[steps]
        print(
            "- From %s: best held-out loss %.4f, in the run of %d steps: `%s`. The full model takes %.4f bits a byte "
            "before training, %.4f after it."
            % (name, run.best, steps, thesis.command(run.args), course.untrained["full"].bits, run.figures["full"].bits)
        )


def main():
    """Measures, draws, prints."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("text", metavar="TEXT", nargs="?")
    options.add_argument("--steps", type=int, default=3000, metavar="N", help="of the longest run (default 3000)")
    options.add_argument("--out", default="curve.svg", metavar="FILE")
    chosen = options.parse_args()
    if not 10 <= chosen.steps <= 1000000:
        options.error("--steps takes a whole number from 10 to 1000000")
    source = ("--corpus", chosen.text) if chosen.text else ()
    random, ghost = [course_of(source, init, chosen.steps) for init, _, _ in INITS]
    reached = overtake(source, random, ghost.start())
    name = os.path.basename(chosen.text or twins.BOOK)
    report(random, ghost, reached)
    with open(chosen.out, "w", encoding="utf-8") as file:
        file.write(picture(name, chosen.steps, random, ghost, reached and reached[0]))


if __name__ == "__main__":
    main()
