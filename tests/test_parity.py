"""The twins do the same: exit codes, standard output, standard error and merges files, byte for byte; weights and
logits, bit for bit."""
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import twins
from twins import Case, book, corpora, damage_of, random_case

import postgpt

# options under which the Python twin takes a tenth of a second
QUICK = ("-n", "12", "--merges", "64", "-c", "corpus.txt")
SLIM = ("--shape", "embd=24,context=32")
SMALL = {"corpus.txt": book(2000)}


def quick(*args, **more):
    """A case on a small corpus."""
    return Case((*QUICK, *args), **{"files": SMALL, **more})


# Each group below gives (name, case): the test is test_<name> of the class that is made of the group.

def prompts():
    """Prompts that a person, a pipe or a mishap may bring."""
    texts = {
        "empty": b"", "of_one_letter": b"t", "of_one_word": b"The", "with_a_space_at_its_end": b"The ",
             "of_blanks": b"    ", "of_a_newline": b"\n", "with_newlines": b"one\n\ntwo\r\nthree\n",
        "with_a_tab": b"a\tb", "with_unknown_words": b"Zyxxq wvut", "ending_within_an_unknown_word": b"the zyx",
             "of_digits": b"12345 6789", "of_marks": b"!!! ??? ;;;",
        "with_quotes": b"'\"$HOME`\\n%s%d", "in_cyrillic": "Машина считает".encode(),
             "with_emoji": "🙂 and 👩‍👩‍👧".encode(), "that_is_not_utf8": b"\xff\xfe abc \x80",
             "ending_within_a_character": b"caf\xc3",
        "ending_within_a_character_of_four": b"a \xf0\x9f\x99", "with_an_overlong_character": b"\xc0\xaf\xe0\x80\xaf",
             "with_a_surrogate": b"\xed\xa0\x80",
        "longer_than_the_window": book(900), "of_one_letter_repeated": b"a" * 700,
             "of_all_bytes_but_nul": bytes(range(1, 256)), "from_the_corpus": book(2000)[500:560],
             "that_looks_like_a_number": b"42",
    }
    for name, text in texts.items():
        yield "argument_" + name, quick("--", text)
        yield "standard_input_" + name, quick("-", "-m", "full", *SLIM, stdin=text)
    yield "standard_input_with_nuls", quick("-", "-m", "meta", stdin=b"a\0b\0")
    yield "standard_input_very_long", quick("-", "-m", "full", "--memory", "50", stdin=book(40000))
    yield "standard_input_longer_than_memory_and_window", quick("-", "--memory", "20", "--shape", "context=8",
                                                                stdin=book(700))
    yield "standard_input_not_in_the_alphabet", quick("-", "--alphabet", "corpus", stdin=b"caf\xc3\xa9")
    yield "argument_after_two_hyphens", quick("--", "-n")
    yield "argument_hyphen_after_two_hyphens", quick("--", "-", stdin=b"from standard input")
    yield "argument_before_options", Case(("The", *QUICK), SMALL)
    yield "argument_in_the_c_locale", quick("--", "naïve \udcff".encode("utf-8", "surrogateescape"),
                                            env={"LC_ALL": "C"})
    yield "argument_in_a_locale_with_decimal_commas", quick("The", "-t", "0.5",
                                                            env={"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"})
    yield "none_gives_a_demonstration", quick("-n", "3")
    yield "none_gives_a_demonstration_of_a_transformer", quick("-n", "3", "-m", "transformer")
    yield "none_gives_a_demonstration_of_lines", Case(("-n", "3", "--lines", "-c", "corpus.txt"),
                                                      {"corpus.txt": twins.NAMES})
    yield "none_gives_a_demonstration_of_blanks", Case(("-n", "2", "-c", "corpus.txt"),
                                                       {"corpus.txt": corpora()["white_space"]})
    yield "none_gives_a_demonstration_of_two_bytes", Case(("-n", "2", "-m", "meta", "-c", "corpus.txt"),
                                                          {"corpus.txt": b"ab"})


# what an option takes: values that it does take, and some that it refuses
TAKES = {
    "mode": ("meta", "full", "transformer", "both"), "tokens": ("1", "3", "007"),
         "temperature": ("0", "10", ".5", "1.", "1e-300", "5e-324", "1e1", "0.0"),
    "top-k": ("0", "1", "2", "256", "320"), "repetition": ("0", "10", "1E-2"),
         "seed": ("0", "1", "18446744073709551615", "9223372036854775808", "0" * 40 + "5"),
    "merges": ("0", "1", "2", "500", "65280"), "alphabet": ("bytes", "corpus"), "order": tuple("12345678"),
         "init": ("ghost", "random"),
    "lambda": ("0", "100", "0.5"), "kappa": ("0", "100"), "alpha": ("0", "100"), "beta": ("0", "100"),
         "gamma": ("0", "100"), "trauma": ("0", "100"),
    "memory": ("1", "2", "12", "1000000"),
}
REFUSED = {
    "mode": ("", "Meta", "o", "or", "meta,", "meta, full", "both, meta, full or transformer"),
           "tokens": ("0", "1000001", "-1", "1.5", "", " 1", "1 ", "+1", "0x1", "1" * 30, "9" * 5000, "١"),
    "temperature": ("-1", "10.001", "nan", "inf", "1e400", "", ".", "e5", "1e", "1e+", "1,5", "0x1p3", "1_0", " 1"),
           "top-k": ("65537", "321", "-1", "x"), "repetition": ("10.5", "-0", "r"),
    "seed": ("-1", "18446744073709551616", "99999999999999999999", "1e3", ""), "corpus": ("",),
           "merges": ("65281", "-5", "many"), "alphabet": ("", "byte", "bytes or corpus", "ascii"),
    "order": ("0", "9", "3.0"), "init": ("", "ghosts", "ghost or random"), "lambda": ("100.1", "-1", "x"),
           "kappa": ("101",), "alpha": ("-0.5",), "beta": ("1e9",), "gamma": ("",), "trauma": ("100.0001",),
    "memory": ("0", "1000001"), "eval": ("",), "holdout": ("0", "1", "0.0009", "0.9991", "half"), "encode": ("",),
    "shape": ("", "layers", "layers=", "layers=0", "layers=33", "embd=1", "embd=1025", "embd=99999", "embd=" + "9" * 30,
              "embd=" + "9" * 5000, "content=65", "rrpram=65", "context=1", "context=4097", "mlp=0", "mlp=17",
              "embd=50,content=2,rrpram=1", "content=0,rrpram=0", "depth=3", "layers=2,", ",layers=2", "layers=2;mlp=1",
              "layers =2", "layers=-1", "layers=2 ", "LAYERS=2"),
}


def named(value):
    """A value as part of a test's name."""
    return "nothing" if not value else (value if len(value) < 30 else "%s_and_%d_more" % (value[:3], len(value) - 3))


def taken_values():
    """Values at the ends of what options take, and in between."""
    for option, values in TAKES.items():
        for value in values:
            yield "%s_%s" % (option, named(value)), quick("The to", "--%s=%s" % (option, value), *SLIM)


def refused_values():
    """Values that an option does not take, and command lines that make no sense."""
    for option, values in REFUSED.items():
        for value in values:
            yield "%s_%s" % (option, named(value)), quick("The", "--" + option, value)
    for option in [*TAKES, "shape", "corpus", "eval", "holdout", "encode"]:
        yield "%s_without_a_value" % option, quick("The", "--" + option)
    for flag in ("lines", "info", "no-cache", "quiet", "help", "version"):
        yield "%s_with_a_value" % flag, quick("--%s=1" % flag)
    lines = {"unknown_option": ("--frobnicate",), "unknown_option_with_a_value": ("--frobnicate=3",),
             "unknown_letter": ("-x",), "unknown_letter_not_ascii": ("-é",), "a_letter_that_is_not_utf8": (b"-\xff",),
             "three_hyphens": ("---",), "half_a_name": ("--temp", "1"), "a_name_too_long": ("--seeds", "1"),
             "two_prompts": ("one", "two"), "two_prompts_the_second_after_hyphens": ("one", "--", "-two"),
             "two_standard_inputs": ("-", "-"), "flag_letter_with_a_value": ("-qq",),
             "an_empty_prompt_and_another": ("", "x"), "a_value_that_is_not_utf8": ("-m", b"\xff\xfe"),
             "a_shape_that_an_earlier_one_spoils": ("--shape", "embd=12", "--shape", "content=8,rrpram=8"),
             "help_and_an_error": ("--help", "--order", "9"), "a_letter_without_a_value": ("-n",)}
    for name, args in lines.items():
        yield name, Case(args)


def spellings():
    """Ways to write options that are all right."""
    lines = {"letters_with_values_apart": ("-m", "meta", "-s", "7", "-k", "3", "-r", "1", "-t", "1"),
             "letters_with_values_close": ("-mfull", "-s7", "-k3", "-r1", "-t1"),
             "the_last_of_two_counts": ("-s", "1", "--seed=2"),
             "shapes_add_up": ("--shape", "layers=1", "--shape", "mlp=1,context=8"),
             "shapes_that_only_fit_together": ("--shape", "embd=10,content=5,rrpram=0", "--shape", "rrpram=5"),
             "shape_names_twice": ("--shape", "embd=12,embd=24",), "quiet": ("-q",),
             "quiet_and_no_cache": ("--quiet", "--no-cache"), "info": ("--info",),
             "info_and_a_shape": ("--info", "--shape", "embd=12,layers=3"),
             "lines": ("--lines",), "lines_and_alphabet_of_the_corpus": ("--lines", "--alphabet", "corpus"),
             "random_weights_of_a_seed": ("--init", "random", "-s", "9", "-m", "transformer")}
    for name, args in lines.items():
        yield name, quick("The", *args)
    for name in ("-h", "--help", "--version"):
        yield "only" + name, Case((name,))
    yield "info_without_a_prompt", quick("--info")
    yield "info_of_lines", Case(("--info", "--lines", "-c", "corpus.txt"), {"corpus.txt": twins.NAMES})


def shapes():
    """Transformers of every build, and a window that slides."""
    for shape in ("embd=2,content=1,rrpram=0", "embd=2,content=0,rrpram=1", "embd=2,content=1,rrpram=1",
                  "embd=6,content=1,rrpram=1", "embd=6,content=3,rrpram=3", "embd=12", "embd=12,content=0,rrpram=3",
                  "embd=12,content=3,rrpram=0",
                  "embd=16,context=7", "embd=16,content=4,rrpram=0,context=2", "embd=48,content=0,rrpram=4",
                  "embd=48,content=4,rrpram=0", "embd=64,content=2,rrpram=2", "embd=64,content=1,rrpram=0,context=100",
                  "embd=31,content=1,rrpram=0",
                  "embd=32,content=8,rrpram=8", "layers=1", "layers=3,embd=24", "layers=3,embd=12,mlp=1,context=5",
                  "mlp=1", "mlp=16,embd=8", "context=2", "context=3", "context=8", "context=200",
                  "layers=5,embd=8,rrpram=2,content=0"):
        yield "full_" + shape, quick("The to", "-m", "full", "-n", "25", "--shape", shape)
        if "context" not in shape:
            yield "transformer_that_slides_" + shape, quick("The to", "-m", "transformer", "-n", "20", "--shape",
                                                            shape + ",context=6")


def corpora_of_all_kinds():
    """Every corpus in both modes, as lines, and with its own alphabet."""
    for i, (name, data) in enumerate(corpora().items()):
        files = {"corpus.txt": data}
        yield name + "_both_modes", Case(("-c", "corpus.txt", "-n", "15", "--merges", "150", "The"), files)
        if i % 2:
            yield name + "_transformer_of_lines", Case(("-c", "corpus.txt", "-n", "15", "--merges", "40", "--lines",
                                                        "--shape", "embd=24,context=16", "-m", "transformer", ""),
                                                       files)
        else:
            yield name + "_own_alphabet", Case(("-c", "corpus.txt", "-n", "15", "--merges", "2000", "--alphabet",
                                                "corpus", "-m", "full", "--shape", "embd=12,content=1,rrpram=1", "-t",
                                                "0", ""), files)
    for seed, draw in ((5, 0), (20, 1), (31, 0)):                     # places were told apart by their hash once
        yield "brackets_%d" % seed, Case(("-c", "corpus.txt", "-n", "300", "--merges", "0", "-m", "meta", "-s",
                                          str(draw), "d"),
                                         {"corpus.txt": twins.bracketed(random.Random(seed), 60)})
    yield "one_token_in_all", Case(("-c", "corpus.txt", "-n", "5", "--merges", "0", "--alphabet", "corpus"),
                                   {"corpus.txt": b"a" * 50})
    yield "a_text_of_one_piece", Case(("-c", "corpus.txt", "-n", "5", "x"), {"corpus.txt": b"abcabcabcabcabcabc"})
    for name, files in {"missing": {}, "empty": {"corpus.txt": b""}, "of_one_byte": {"corpus.txt": b"x"},
                        "a_folder": {"corpus.txt/": b""}}.items():
        yield "corpus_" + name, Case(("-c", "corpus.txt", "x"), files)
    yield "corpus_behind_a_file", Case(("-c", "corpus.txt/x", "x"), SMALL)
    yield "corpus_with_a_name_that_is_not_utf8", Case(("-c", b"caf\xe9.txt", "--info", "x", "-n", "1"))
    yield "corpus_with_a_very_long_path", quick("-c", "./" * 1500 + "corpus.txt", "--info", "x", "--no-cache")


def merges_and_orders():
    """Every order, with few and many merges; memory of every length."""
    for order in range(1, 9):
        for merges in (30, 2000):
            yield "order_%d_merges_%d" % (order, merges), Case(("-c", "corpus.txt", "-n", "20", "--order", str(order),
                                                                "--merges", str(merges), "-m", "meta", "weights"),
                                                               {"corpus.txt": book(5000)})
    for memory in (1, 2, 3, 5, 13, 40, 300):
        yield "memory_%d" % memory, quick("--memory", str(memory), "-m", "full", "-n", "40", *SLIM, book(300))
    for seed in (0, 2 ** 64 - 1):
        for temperature in ("0", "0.3", "10"):
            for top_k in ("0", "1", "320"):
                yield "seed_%d_temperature_%s_top_k_%s" % (seed, temperature, top_k), quick("The", "-m", "meta", "-n",
                        "30", "-s", str(seed), "-t", temperature, "-k", top_k, "-r", "10" if seed else "0")


def evaluations():
    """--eval, --holdout and --encode."""
    small = ("--shape", "embd=12,context=16", "-c", "corpus.txt", "--merges", "64")
    for name, text in {"of_the_corpus": book(200), "unseen": book(5000)[4800:], "cyrillic": twins.RUSSIAN[:150],
                       "one_byte": b"a", "a_newline": b"\n", "all_bytes": bytes(range(256)), "empty": b"",
                       "of_blank_lines": b"\n\nab\n\n"}.items():
        files = {**SMALL, "held.txt": text}
        yield "eval_" + name, Case(("--eval", "held.txt", *small), files)
        yield "eval_as_lines_" + name, Case(("--eval", "held.txt", "--lines", *small), files)
        yield "encode_" + name, Case(("--encode", "held.txt", *small), files)
        yield "encode_as_lines_" + name, Case(("--encode", "held.txt", "--lines", "--alphabet", "corpus", *small),
                                              files)
    for share in ("0.001", "0.05", "0.1"):
        yield "holdout_" + share, Case(("--holdout", share, *small), SMALL)
    yield "holdout_then_a_prompt_and_info", Case(("--holdout", ".02", "--info", "-n", "5", "The", *small), SMALL)
    yield "holdout_of_lines", Case(("--holdout", ".2", "--lines", *small), {"corpus.txt": twins.NAMES})
    yield "holdout_that_leaves_too_little", Case(("--holdout", ".999", *small), {"corpus.txt": b"abcdefgh" * 3})
    yield "holdout_that_holds_nothing_out", Case(("--holdout", ".001", *small), {"corpus.txt": b"abcdefgh" * 3})
    yield "eval_in_the_default_shape", Case(("--eval", "held.txt", "-c", "corpus.txt"),
                                            {**SMALL, "held.txt": book(2200)[2000:]})
    yield "eval_with_a_short_memory", Case(("--eval", "held.txt", "--memory", "9", "--order", "5", *small),
                                           {**SMALL, "held.txt": book(300)})
    yield "eval_missing", Case(("--eval", "none.txt", *small), SMALL)
    yield "eval_a_folder", Case(("--eval", "folder", *small), {**SMALL, "folder/": b""})
    yield "eval_with_a_byte_that_the_alphabet_lacks", Case(("--eval", "held.txt", "--alphabet", "corpus", *small),
                                                           {**SMALL, "held.txt": b"abc\xff"})
    yield "encode_missing", Case(("--encode", "none.txt", *small), SMALL)
    yield "encode_with_a_byte_that_the_alphabet_lacks", Case(("--encode", "held.txt", "--alphabet", "corpus", *small),
                                                             {**SMALL, "held.txt": b"\0"})
    for name, data in list(corpora().items())[::2]:
        yield "encode_of_the_corpus_" + name, Case(("--encode", "corpus.txt", "-c", "corpus.txt", "--merges", "500"),
                                                   {"corpus.txt": data})
    yield "encode_of_a_megabyte", Case(("--encode", "corpus.txt", "-c", "corpus.txt"), {"corpus.txt": megabyte()})


def megabyte():
    """The book again and again, each time with other bytes changed."""
    rng, text = random.Random(3), bytearray()
    while len(text) < 1 << 20:
        again = bytearray(twins.BOOK.read_bytes())
        for _ in range(2000):
            again[rng.randrange(len(again))] = rng.randrange(97, 123)
        text += again
    return bytes(text[:1 << 20])


def drawn():
    """Cases drawn from a seed; fuzz_parity.py draws more of them."""
    for seed in range(25):
        yield "seed_%d" % seed, random_case(seed)


GROUPS = {"TwinsAgreeOnPrompts": prompts, "TwinsAgreeOnValuesTaken": taken_values,
          "TwinsAgreeOnValuesRefused": refused_values, "TwinsAgreeOnSpellings": spellings, "TwinsAgreeOnShapes": shapes,
          "TwinsAgreeOnCorpora": corpora_of_all_kinds, "TwinsAgreeOnMergesOrdersAndSampling": merges_and_orders,
          "TwinsAgreeOnEvaluation": evaluations, "TwinsAgreeOnCasesDrawn": drawn}
# a case's number -> its future: a second thread works ahead of the tests
AHEAD = {}


def test_of(case):
    """A test that the twins do the same."""
    def test(self):
        future = AHEAD[id(case)]
        found = twins.difference(case, (twins.binary(),)) if future.cancel() else future.result()
        if found:
            self.fail(found)
    return test


def class_of(name, group):
    """A TestCase with a test for each case of a group, or for every sixteenth one (make test; make check takes all)."""
    cases = list(group())[:: 1 if os.environ.get("EVERY_CASE") else 16]
    tests = {"test_" + what.replace(" ", "_"): test_of(case) for what, case in cases}
    assert len(tests) == len(cases), "two cases of %s have one name" % name
    return type(name, (unittest.TestCase,), {**tests, "__doc__": group.__doc__, "__module__": __name__,
                                             "cases": [case for _, case in cases]})


globals().update({name: class_of(name, group) for name, group in GROUPS.items()})


def setUpModule():
    """A second thread begins with the last cases, and takes what the tests have not come to."""
    binary, helper = (twins.binary(),), ThreadPoolExecutor(1)
    for name in sorted(GROUPS, reverse=True):
        AHEAD.update({id(case): helper.submit(twins.difference, case, binary)
                      for case in reversed(globals()[name].cases)})
    helper.shutdown(wait=False)


def tearDownModule():
    """Whatever nobody asked for is not run."""
    for future in AHEAD.values():
        future.cancel()


class MergesFilesAreKeptAndLearnedAnew(unittest.TestCase):
    """After damage, both twins say so in the same line, learn anew and write the same file; an undamaged file is taken
    without a word."""

    CASE = Case(("--encode", "corpus.txt", "-c", "corpus.txt", "--merges", "200"), {"corpus.txt": book(4000)})

    def both(self, damage):
        """The first and the second run's outcomes of C, once Python's are the same."""
        return self.agree(self.CASE._replace(damage=damage))

    def agree(self, case):
        """Asserts that the twins do the same. -> C's outcomes"""
        found = twins.difference(case, (twins.binary(),))
        if found:
            self.fail(found)
        return twins.play(case, (twins.binary(),))

    def learned_anew(self, damage, why=b"is damaged"):
        """Asserts that a damaged file is noticed, and named for what it is."""
        first, second = self.both(damage)
        self.assertEqual(second.stderr, b"postgpt: learned 200 merges: corpus.merges %s\n" % why)
        self.assertEqual((second.code, second.stdout, second.files), (0, first.stdout, first.files))

    def test_first_run_learns_and_leaves_one_file(self):
        first, second = self.both(lambda data: data)
        self.assertEqual(first.stderr, b"postgpt: learned 200 merges: corpus.merges is missing\n")
        self.assertEqual(sorted(first.files), ["corpus.merges", "corpus.txt"])
        self.assertEqual(second, first._replace(stderr=b""))

    def test_cut_short_anywhere(self):
        for share in (0.0, 0.05, 0.7):
            with self.subTest(share=share):
                self.learned_anew(lambda data: data[:int(share * len(data))])
        self.learned_anew(lambda data: data[:-1])
        self.learned_anew(lambda data: data.split(b"\n")[0])
        self.learned_anew(lambda data: b"\n".join(data.split(b"\n")[:-3]) + b"\n")

    def test_a_digit_changed(self):
        for at in (0.1, 0.5, 0.9):
            with self.subTest(at=at):
                def change(data):
                    i = next(i for i in range(int(at * len(data)), len(data)) if data[i:i + 1].isdigit())
                    return data[:i] + (b"1" if data[i:i + 1] != b"1" else b"2") + data[i + 1:]
                self.learned_anew(change)

    def test_another_line_more(self):
        self.learned_anew(lambda data: data + b"101 102\n")
        self.learned_anew(lambda data: data + b"\n")

    def test_carriage_returns(self):
        self.learned_anew(lambda data: data.replace(b"\n", b"\r\n"))

    def test_two_blanks_or_signs_or_zeros_before_a_number(self):
        for more in (b" ", b"+", b"0", b"-"):
            with self.subTest(more=more):
                self.learned_anew(lambda data: data.replace(b"\n", b"\n" + more, 2))

    def test_two_lines_exchanged(self):
        def exchange(data):
            lines = data.split(b"\n")
            return b"\n".join([lines[0], lines[2], lines[1], *lines[3:]])
        self.learned_anew(exchange)

    def test_noise_and_nuls(self):
        self.learned_anew(lambda data: data.replace(b"1", b"\0"))
        self.learned_anew(lambda data: data[:len(data) // 2] + b"\0" * (len(data) - len(data) // 2))
        self.learned_anew(lambda data: data * 50)

    def test_of_another_corpus(self):
        other = twins.play(self.CASE._replace(files={"corpus.txt": book(3999)}), (twins.binary(),
                           ))[0].files["corpus.merges"]
        self.learned_anew(lambda data: other, b"is of another corpus")

    def test_damage_drawn_from_a_seed(self):
        for seed in range(6):
            with self.subTest(seed=seed):
                self.both(damage_of(random.Random(seed)))

    def test_another_setting_learns_anew(self):
        mine = twins.play(self.CASE, (twins.binary(),))[0].files
        for args in (("--merges", "199"), ("--merges", "201"), ("--alphabet", "corpus"),
                     ("--lines", "--alphabet", "corpus")):
            with self.subTest(args=args):
                outcome, = self.agree(self.CASE._replace(args=(*self.CASE.args, *args), files=mine))
                self.assertRegex(outcome.stderr,
                                 rb": learned \d+ merges: corpus.merges was learned for other settings\n\Z")

    def test_a_folder_in_its_place_is_left_alone(self):
        outcome, = self.agree(self.CASE._replace(files={**self.CASE.files, "corpus.merges/kept": b"x"}))
        self.assertEqual((outcome.code, sorted(outcome.files)), (0, ["corpus.merges/kept", "corpus.txt"]))

    def test_a_name_too_long_for_it_goes_without(self):
        # the merges file's name, or only its temporary one, is over 255 bytes
        for length in (252, 248, 244, 240):
            with self.subTest(length=length):
                name = "c" * length
                self.agree(Case(("--encode", name, "-c", name), {name: book(500)}))

    def test_names_with_dots(self):
        for name in (".hidden", "..x.txt", "a.b.c", "a.", "book.merges", "folder.d/book", "..."):
            with self.subTest(name=name):
                self.agree(Case(("--encode", name, "-c", name), {name: book(500)}))

    def test_no_cache_and_holdout_write_none(self):
        for args in (("--no-cache",), ("--holdout", "0.1")):
            with self.subTest(args=args):
                outcome, = self.agree(self.CASE._replace(args=(*self.CASE.args, *args)))
                self.assertEqual(list(outcome.files), ["corpus.txt"])

    def test_a_folder_that_is_read_only_goes_without(self):
        with tempfile.TemporaryDirectory(dir=str(twins.scratch())) as folder:
            corpus = Path(folder) / "corpus.txt"
            corpus.write_bytes(book(500))
            os.chmod(folder, 0o555)
            try:
                c, python = (twins.run((*twin, "--encode", "corpus.txt", "-c", "corpus.txt"), cwd=folder)
                             for twin in ((twins.binary(),), twins.PYTHON))
                self.assertEqual(c[:2], python[:2])
                if os.geteuid():                          # to root no folder is read-only
                    self.assertEqual((c[2], os.listdir(folder)), (python[2], ["corpus.txt"]))
            finally:
                os.chmod(folder, 0o755)


@unittest.skipUnless(os.path.exists("/bin/sh"), "there is no /bin/sh")
class TwinsAgreeOnBrokenStreams(unittest.TestCase):
    """Standard streams that are closed, full or odd."""

    def agree(self, redirect):
        """Asserts that both twins end alike. -> their exit code and what they said"""
        with tempfile.TemporaryDirectory(dir=str(twins.scratch())) as folder:
            (Path(folder) / "corpus.txt").write_bytes(book(1000))
            c, python = (twins.run(("/bin/sh", "-c", '"$@" ' + redirect, "sh", *twin, *QUICK, "--no-cache", "-"),
                                   stdin=b"The", cwd=folder) for twin in ((twins.binary(),), twins.PYTHON))
        self.assertEqual(c, python)
        return c

    def test_standard_output_closed(self):
        self.assertEqual(self.agree(">&-")[0], 1)

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_standard_output_full(self):
        self.assertEqual(self.agree(">/dev/full")[0], 1)

    def test_standard_input_closed(self):
        self.assertEqual(self.agree("<&-")[0], 1)

    def test_standard_error_closed(self):
        self.assertEqual(self.agree("2>&-")[0], 0)

    def test_reader_gone(self):
        self.assertEqual(self.agree("-n 2000 | head -c 1")[0], 0)


class NumbersAreTheSame(unittest.TestCase):
    """Every seeded weight, and every logit of every row of the evaluation after each token, is the same double in both
    twins."""

    def agree(self, corpus, text, merges=200, shape="", **options):
        """Compares numbers.c's lines with the library's doubles."""
        binary = twins.build("tests/numbers.c", flags=("-std=c11", "-O1", "-ffp-contract=off"))
        with tempfile.TemporaryDirectory(dir=str(twins.scratch())) as folder:
            (Path(folder) / "corpus").write_bytes(corpus)
            (Path(folder) / "text").write_bytes(text)
            args = ["--corpus", "corpus", "--encode", "text", "--merges",
                    str(merges)] + (["--shape", shape] if shape else [])
            for name, value in options.items():
                args += ["--" + name] if value is True else ["--" + name, str(value)]
            code, out, error = twins.run((binary,), args, cwd=folder)
        self.assertEqual((code, error), (0, b""))
        pairs = (part.split("=") for part in shape.split(",") if part)
        model = postgpt.PostGPT(corpus, merges=merges, shape={name: int(number) for name, number in pairs}, **options)
        lines = out.decode().splitlines()
        wanted = list(self.numbers(model, text))
        self.assertEqual(len(lines), len(wanted))
        for line, (label, doubles) in zip(lines, wanted):
            head, _, rest = line.partition(":")
            self.assertEqual(head, label)
            found = list(map(float.fromhex, rest.split()))
            self.assertEqual(len(found), len(doubles), label)
            if struct.pack("<%dd" % len(found), *found) != struct.pack("<%dd" % len(doubles), *doubles):
                at = next(i for i, (x, y) in enumerate(zip(found, doubles))
                          if struct.pack("<d", x) != struct.pack("<d", y))
                self.fail("%s, number %d: C %s, Python %s" % (label, at, found[at].hex(), doubles[at].hex()))

    @staticmethod
    def numbers(model, text):
        """What numbers.c prints: (label, doubles)."""
        yield "params", [x for matrix in model.net.matrices() for row in matrix for x in row]
        field, at = model.field(postgpt.FULL), 0
        for ids in postgpt.Text(*postgpt.encode_text(model.tokenizer, text, model.lines)).documents():
            field.reset()
            for id in ids:
                field.terms()
                for label, use in postgpt.ROWS[3:]:
                    yield "%s %d" % (label.replace(" ", "_"), at), field.logits(use)
                field.push(id, field.expected(id))
                at += 1

    def test_default_shape_and_merges(self):
        self.agree(book(6000), b"The transformer counts what it has read.", merges=1024)

    def test_rooms_wider_than_what_there_is_to_put_in_them(self):
        self.agree(book(1500), book(1600)[1500:], merges=20, shape="layers=1,embd=160,context=8,mlp=1")

    def test_window_that_slides(self):
        self.agree(book(3000), book(3100)[3000:], shape="layers=3,embd=12,context=6,mlp=1")

    def test_no_content_heads(self):
        self.agree(book(3000), b"weights and counts", shape="embd=16,content=0,rrpram=4,context=16")

    def test_no_rrpram_heads(self):
        self.agree(book(3000), b"weights and counts", shape="embd=64,content=4,rrpram=0")

    def test_smallest_embedding(self):
        self.agree(book(2000), b"weights", shape="embd=2,content=1,rrpram=1,context=4")

    def test_lines_with_their_own_alphabet(self):
        self.agree(twins.NAMES, b"anna\nmira\n\nella", merges=40, lines=True, alphabet="corpus", order=5)

    def test_cyrillic_with_a_short_memory(self):
        self.agree(twins.RUSSIAN, twins.RUSSIAN[:120], memory=5, order=8, shape="embd=24,context=8")

    def test_random_bytes(self):
        self.agree(corpora()["random_bytes"], bytes(range(0, 256, 9)), merges=0, order=2, shape="embd=12,context=8")

    def test_one_byte_repeated(self):
        self.agree(b"a" * 3000, b"aaaaaaab", merges=20, shape="embd=12,context=8")

    def test_random_weights(self):
        self.agree(book(2000), b"weights", init="random", seed=2 ** 64 - 1, shape="embd=24")

    def test_coefficients(self):
        self.agree(book(2000), b"weights and counts and weights", shape="embd=12,context=8",
                   **{"lambda": 1.5, "kappa": 3.0, "alpha": 0.1, "beta": 2.0, "gamma": 7.0, "trauma": 50.0})


class BookIsFoundBesideTheProgram(unittest.TestCase):
    """Without --corpus, both twins read the book that lies beside them, from wherever they are called."""

    def test_from_another_folder(self):
        with tempfile.TemporaryDirectory(dir=str(twins.scratch())) as folder:
            house = Path(folder) / "house"
            house.mkdir()
            # by a program of its own: a file that this process has open for writing, and with it every child that
            # another thread forks just then, cannot be executed ("Text file busy")
            for name, path in ("postgpt", twins.binary()), ("postgpt.py", str(twins.ROOT / "postgpt.py")):
                subprocess.run(["cp", path, str(house / name)], check=True)
            commands = (str(house / "postgpt"),), (sys.executable, str(house / "postgpt.py"))
            for book_is_there in (False, True):
                if book_is_there:
                    (house / "postgpt.txt").write_bytes(book(1500))
                c, python = (twins.run(command, ("The", "-n", "5", "--info", "--no-cache"), cwd=folder)
                             for command in commands)
                self.assertEqual(c, python)
                self.assertEqual(c[0], 0 if book_is_there else 1)


if __name__ == "__main__":
    unittest.main()
