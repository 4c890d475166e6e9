"""Chapter IX: what a user may do to the programs, right and wrong, in both twins."""
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import twins
from twins import ROOT
import postgpt

BOOK = (ROOT / "postgpt.txt").read_bytes()
SMALL = ("--merges", "40", "--shape", "layers=1,embd=16,content=1,rrpram=1,context=16,mlp=1")     # quick to start


class Twin:
    """The cases; each twin runs them all in a fresh folder with a small corpus.txt."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "corpus.txt").write_bytes(BOOK[:5000])

    def start(self, *args, **how):
        """A process with pipes, interrupts not ignored, on corpus.txt unless the arguments name one."""
        corpus = () if "-c" in args else ("-c", "corpus.txt")
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        process = subprocess.Popen([*self.command(), *corpus, *args], cwd=str(self.folder), **how)
        self.addCleanup(twins.end, process)
        return process

    def run_(self, *args, stdin=b"", **how):
        """-> exit code, standard output, standard error"""
        process = self.start(*args, stdin=subprocess.PIPE, **how)
        out, err = process.communicate(stdin, timeout=120)
        return process.returncode, out, err

    def refused(self, code, pattern, *args, **how):
        """A run ends with a code, says nothing, and one line that matches."""
        found, out, err = self.run_(*args, **how)
        self.assertEqual((found, out or b""), (code, b""), (args, err))
        self.assertRegex(err.decode(errors="replace"), r"\Apostgpt: [^\n]*%s[^\n]*\n\Z" % pattern, args)

    def works(self, *args, **how):
        code, out, err = self.run_("-q", *args, **how)
        self.assertEqual((code, err), (0, b""), args)
        return out

    # What is said, and where

    def test_one_mode_prints_the_prompt_its_continuation_and_a_newline(self):
        model = postgpt.PostGPT(BOOK[:5000], merges=40,
                                shape=dict(layers=1, embd=16, content=1, rrpram=1, context=16, mlp=1))
        for mode in postgpt.MODES:
            said = b"".join(model.generate(b"The model", 15, mode, 7, 0.9, 5, 0.2))
            out = self.works(*SMALL, "-m", mode, "-n", "15", "-s", "7", "-t", "0.9", "-k", "5", "-r", "0.2",
                             "The model")
            self.assertEqual(out, b"The model" + said + b"\n")

    def test_both_modes_stand_under_headings(self):
        meta, full = (self.works(*SMALL, "-n", "9", "-m", mode, "A") for mode in ("meta", "full"))
        self.assertEqual(self.works(*SMALL, "-n", "9", "A"), b"--- meta ---\n" + meta + b"--- full ---\n" + full)

    def test_no_prompt_demonstrates_eight(self):
        self.assertEqual(self.works(*SMALL, "-n", "2").count(b"--- full ---\n"), 8)

    def test_help_names_every_option_and_what_the_design_promises(self):
        text = self.works("--help").decode()
        self.assertEqual(text, postgpt.HELP)
        self.assertEqual(self.works("-h").decode(), text)
        for name in (
            "mode tokens temperature top-k repetition seed corpus merges alphabet order lines shape init lambda kappa "
            "alpha beta gamma trauma "
            "tree interactive memory eval holdout train lr batch save load encode info no-cache quiet help version"
        ).split():
            self.assertIn("--" + name, text)

    def test_version(self):
        self.assertRegex(self.works("--version"), rb"\Apostgpt \d+\.\d+\.\d+\n\Z")

    def test_options_may_be_written_in_any_of_their_ways(self):
        want = self.works(*SMALL, "--mode", "meta", "--tokens", "6", "--seed", "3", "--top-k", "4", "The")
        for args in (["-m", "meta", "-n", "6", "-s", "3", "-k", "4", "The"], ["-mmeta", "-n6", "-s3", "-k4", "The"],
                     ["The", "-k4", "-s3", "-n6", "-mmeta"],
                     ["--mode=meta", "--tokens=6", "--seed=3", "--top-k=4", "--", "The"],
                     ["-n", "99", "-n", "6", "-s", "3", "-k", "4", "-m", "meta", "The"]):
            self.assertEqual(self.works(*SMALL, *args), want, args)
        self.assertEqual(self.works(*SMALL, "-mmeta", "-n6", "-s3", "-k4", "-", stdin=b"The"), want)

    def test_numbers_at_their_limits_are_taken(self):
        low = ("-n 1 -t 0 -k 0 -r 0 -s 0 --order 1 --merges 0 --memory 1 "
               "--lambda 0 --kappa 0 --alpha 0 --beta 0 --gamma 0 --trauma 0")
        high = ("-n 2 -t 10 -k 296 -r 10 -s 18446744073709551615 --order 8 --memory 1000000 "
                "--lambda 100 --kappa 100 --alpha 1e2 --beta 100. --gamma .1e3 --trauma 100")
        for args in (low, high):
            self.assertGreater(len(self.works(*SMALL, "-m", "full", *args.split(), "The")), 4)

    def test_dashes_before_a_prompt_that_looks_like_an_option(self):
        self.assertTrue(self.works(*SMALL, "-n", "2", "-m", "meta", "--", "--help").startswith(b"--help"))

    # Bad input: the table of design section 9

    def test_corpus_missing(self):
        self.refused(1, "nowhere.txt.*No such file", "-c", "nowhere.txt", "x")

    def test_corpus_a_folder(self):
        (self.folder / "folder").mkdir()
        self.refused(1, "folder.*Is a directory", "-c", "folder", "x")

    def test_corpus_unreadable(self):
        (self.folder / "corpus.txt").chmod(0)
        if os.access(str(self.folder / "corpus.txt"), os.R_OK):
            self.skipTest("whoever runs this may read everything")
        self.refused(1, "corpus.txt.*Permission denied", "x")

    def test_corpus_empty_or_of_one_byte(self):
        for data, why in ((b"", "is empty"), (b"a", "has one byte")):
            (self.folder / "small.txt").write_bytes(data)
            self.refused(1, "small.txt.*" + why, "-c", "small.txt", "x")

    def test_corpus_of_any_bytes(self):
        for data in (bytes(range(256)) * 4, b"\0" * 300, b"caf\xe9 \xff\xfe" * 40, b"word " * 400, b"a" * 900, b"ab"):
            (self.folder / "any.txt").write_bytes(data)
            self.assertGreater(len(self.works(*SMALL, "-c", "any.txt", "-n", "5", "-m", "full", "a")), 3)

    def test_prompts_of_all_sorts(self):
        for prompt in ("", b"\xff\xfe\x80", "\u8a9e \U0001f642", " ", "\n\n"):
            out = self.works(*SMALL, "-n", "3", "-m", "full", prompt)
            self.assertTrue(out.startswith(os.fsencode(prompt)) and len(out) > len(os.fsencode(prompt)) + 1, prompt)

    def test_a_prompt_of_a_megabyte(self):
        prompt = (BOOK * 7)[:1 << 20]
        out = self.works(*SMALL, "-n", "3", "-m", "full", "-", stdin=prompt)
        self.assertTrue(out.startswith(prompt))
        self.assertGreater(len(out), len(prompt) + 3)

    def test_a_byte_that_the_alphabet_lacks_is_named(self):
        self.refused(1, "0x7e", "--alphabet", "corpus", "--merges", "0", "-c", "corpus.txt", "a~b")

    def test_wrong_command_lines(self):
        huge = "9" * 5000
        values = {
            "-n": ("0", "1000001", "-1", "1.5", "", "ten", " 5", "+5", huge),
                  "-t": ("10.01", "nan", "inf", "-0.1", "0x1", "1e", ".", " 1", huge), "-k": ("-1", "65537", "1e2"),
            "-r": ("11",), "-s": ("18446744073709551616", "-1"), "-m": ("all", "both, meta", "or", "meta,", ""),
                  "-c": ("",), "--merges": ("65281",), "--order": ("0", "9"),
            "--alphabet": ("latin", "bytes or corpus"), "--init": ("g",), "--memory": ("0",), "--lambda": ("101",),
                  "--kappa": ("-1",), "--holdout": ("0", "1"),
            "--train": ("0", "1000001"), "--lr": ("1.5",), "--batch": ("0", "1025"), "--save": ("",), "--eval": ("",),
            "--shape": ("layers=0", "heads=2", "embd", "embd=7", "", "layers=" + huge, "content=0,rrpram=0",
                        "layers=1,", "embd=48;mlp=2")}
        letters = {"-" + option.letter: "--" + option.name for option in postgpt.OPTIONS}
        cases = [(letters.get(option, option), [option, value]) for option in values for value in values[option]]
        cases += [(letters.get(option, option), [option]) for option in values]
        cases += [("--top-k", ["-k", "297", "--merges", "40"]), ("--no-such", ["--no-such"]), ("-x", ["-x"]),
                  ("--info ", ["--info "]), ("--merges N=5", ["--merges N=5"]), ("--token", ["--token", "5"]),
                  ("--lines", ["--lines=1"]), ("--quiet", ["-qq"]), ("second", ["first", "second"]),
                  ("second", ["--", "first", "second"])]
        # test_parity has the twins refuse the same
        for name, args in cases if self.command() != list(twins.PYTHON) else cases[::5]:
            self.refused(2, re.escape(name), *args)

    def test_what_is_to_be_evaluated_or_encoded_must_be_there(self):
        (self.folder / "empty.txt").write_bytes(b"")
        for option, name, why in (("--eval", "nowhere.txt", "No such file"), ("--eval", "empty.txt", "is empty"),
                                  ("--encode", "nowhere.txt", "No such file")):
            self.refused(1, "%s.*%s" % (name, why), "-q", *SMALL, option, name)

    # Streams

    def test_text_comes_before_the_end_and_a_closed_pipe_ends_it_silently(self):
        process = self.start("-q", *SMALL, "-m", "meta", "-n", "100000", "The")
        self.assertEqual(len(process.stdout.read(200)), 200)
        self.assertIsNone(process.poll(), "still speaking")
        process.stdout.close()
        process.wait(60)
        self.assertEqual((process.stderr.read(), process.returncode), (b"", -signal.SIGPIPE))

    def test_standard_output_closed(self):
        for args in (["--help"], ["--version"], [*SMALL, "-q", "-n", "5", "The"], [*SMALL, "-q", "--info"],
                     [*SMALL, "-q", "--encode", "corpus.txt"]):
            self.refused(1, "standard output", *args, stdout=None, preexec_fn=lambda: os.close(1))

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_standard_output_full(self):
        for args in (["--help"], [*SMALL, "-q", "-n", "5", "The"]):
            with open("/dev/full", "wb") as full:
                self.refused(1, "standard output: No space left", *args, stdout=full)

    def test_an_interrupt_leaves_the_text_so_far(self):
        process = self.start("-q", *SMALL, "-m", "full", "-n", "1000000", "The",
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        said = b""
        # not process.stdout.read: communicate() would not see what that reads ahead
        while len(said) < 100:
            said += os.read(process.stdout.fileno(), 100 - len(said))
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (130, b""))
        want = self.works(*SMALL, "-m", "full", "-n", "200", "The")[:-1]
        both = min(len(want), len(said + rest))
        self.assertGreaterEqual(both, 100)
        self.assertEqual((said + rest)[:both], want[:both])

    # Files

    def test_the_merges_file_is_written_once_and_used_again(self):
        first = self.run_(*SMALL, "-n", "5", "The")
        self.assertRegex(first[2], rb"\Apostgpt: learned \d+ merges[^\n]*missing\n\Z")
        self.assertEqual(sorted(os.listdir(str(self.folder))), ["corpus.merges", "corpus.txt"])
        self.assertEqual(self.run_(*SMALL, "-n", "5", "The"), (0, first[1], b""))

    def test_killed_while_writing_the_merges_file_leaves_no_half_file_that_is_believed(self):
        want = self.works(*SMALL, "--no-cache", "-n", "5", "The")
        # 100 bytes a file, then death
        self.run_("-q", *SMALL, "-n", "5", "The", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                (100, 100)))
        self.assertFalse((self.folder / "corpus.merges").exists())
        self.assertEqual(self.works(*SMALL, "-n", "5", "The"), want)
        whole = (self.folder / "corpus.merges").read_bytes()
        for half in (whole[:100], whole[:-1], b"", whole[:len(whole) // 2]):
            (self.folder / "corpus.merges").write_bytes(half)
            code, out, err = self.run_(*SMALL, "-n", "5", "The")
            self.assertEqual((code, out, err.count(b"\n")), (0, want, 1))
            self.assertEqual((self.folder / "corpus.merges").read_bytes(), whole)

    def test_a_folder_that_cannot_be_written_is_no_obstacle(self):
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        if os.access(str(self.folder), os.W_OK):
            self.skipTest("whoever runs this may write everywhere")
        self.assertTrue(self.works(*SMALL, "-n", "3", "The"))

    def test_a_checkpoint_that_cannot_be_written_is_noticed_before_the_training(self):
        (self.folder / "folder").mkdir()
        (self.folder / "here").write_bytes(b"a checkpoint")
        os.mkfifo(str(self.folder / "pipe"))
        before = sorted(os.listdir(str(self.folder)))
        targets = {"missing/x": "No such file", "new/": "No such file", "corpus.txt/x": "Not a directory",
                   "folder": "Is a directory", "folder/": "Is a directory",
                   ".": "Is a directory", "x" * 256: "File name too long", "x/" * 2500 + "x": "File name too long",
                   "pipe": "not supported"}
        targets.update({name: "not supported" for name in ("/dev/full", os.devnull) if os.path.exists(name)})
        for target, why in targets.items():
            for args in (["--train", "1000000"], []):
                self.refused(1, r"cannot write [^:]*: .*" + why, "--no-cache", *SMALL, *args, "--save", target)
        self.assertEqual(sorted(os.listdir(str(self.folder))), before)
        self.assertEqual(os.listdir(str(self.folder / "folder")), [])
        self.assertFalse(os.path.isfile(os.devnull))

    def test_a_read_only_folder_for_a_checkpoint_is_noticed_before_the_training(self):
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        if os.access(str(self.folder), os.W_OK):
            self.skipTest("whoever runs this may write everywhere")
        self.refused(1, "cannot write x: Permission denied", "--no-cache", *SMALL, "--train", "1000000", "--save", "x")

    def test_the_checkpoint_that_is_there_stays_until_the_new_one_is_whole(self):
        (self.folder / "x").write_bytes(b"the one before")
        self.refused(1, "cannot use", "--no-cache", *SMALL, "--load", "x", "--train", "9", "--save", "x")
        # 100 bytes a file
        self.refused(1, "cannot write x: File too large", "-q", "--no-cache", *SMALL, "--train", "1", "--save", "x",
                     preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                         resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))))
        process = self.start("--no-cache", *SMALL, "--train", "1000000", "--save", "x")
        self.assertTrue(process.stderr.readline().startswith(b"step 1 "))
        process.kill()
        process.wait()
        self.assertEqual((self.folder / "x").read_bytes(), b"the one before")
        self.assertRegex(" ".join(sorted(os.listdir(str(self.folder)))), r"\Acorpus.txt postgpt-[0-9a-f]{16}.tmp x\Z")
        self.works("--no-cache", *SMALL, "--train", "1", "--save", "x")         # what was left is swept
        self.works("--no-cache", *SMALL, "--load", "x", "-n", "2", "The")
        self.assertEqual(sorted(os.listdir(str(self.folder))), ["corpus.txt", "x"])

    def test_two_programs_at_once_in_a_fresh_folder(self):
        running = [self.start("-q", *SMALL, "-n", "5", "The") for _ in range(4)]
        said = {(process.communicate(timeout=120), process.returncode) for process in running}
        self.assertEqual(len(said), 1, said)
        self.assertEqual(sorted(os.listdir(str(self.folder))), ["corpus.merges", "corpus.txt"])
        (_, err), code = said.pop()
        self.assertEqual((err, code), (b"", 0))


class Python(Twin, unittest.TestCase):
    def command(self):
        return [sys.executable, str(ROOT / "postgpt.py")]

    def test_importing_says_nothing_and_makes_no_file(self):
        for name in ("postgpt.py", "postgpt.txt"):
            shutil.copy(str(ROOT / name), str(self.folder))
        before = sorted(os.listdir(str(self.folder)))
        done = subprocess.run([sys.executable, "-B", "-c", "import postgpt"], cwd=str(self.folder),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertEqual(sorted(os.listdir(str(self.folder))), before)


class C(Twin, unittest.TestCase):
    def command(self):
        return [twins.binary()]

    def test_out_of_memory_is_one_line(self):
        """Under every limit on its memory it either says what it would have said or that there is not enough."""
        (self.folder / "corpus.txt").write_bytes(BOOK)
        args, ends = ("-q", "-n", "5", "-m", "full", "The"), set()
        want = self.works(*args)
        for megabytes in range(8, 60, 3):
            limit = megabytes << 20
            code, out, err = self.run_(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
            self.assertIn((code, out, err), ((0, want, b""), (1, out, b"postgpt: out of memory\n")),
                          "%d MB" % megabytes)
            self.assertTrue(want.startswith(out))
            ends.add(code)
        self.assertEqual(ends, {0, 1})


if __name__ == "__main__":
    unittest.main()
