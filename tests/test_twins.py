"""The twins side by side: same chapters, same names by one rule; every example in a docstring is true; the first
reading is as long as the heads say."""
import ast
import doctest
import re
import unittest

import twins
import postgpt

PYTHON, C = ((twins.ROOT / name).read_text(encoding="utf-8") for name in ("postgpt.py", "postgpt.c"))

# The rule: a function f is f, a class K the struct K, its method m k_m (PostGPT is the Model), a constant keeps its
# name. __init__ is k_make where C has something to allocate. Reason -> the public names of Python that have no such
# name in C.
EXCEPTIONS = {
    "Python's own: exceptions, the collector, bytes or str, what a terminal is told through an object (fail, progress)":
        "unreadable Failure Misuse Progress Progress.watch Progress.say resting as_bytes to_bytes to_text arguments",
    "a pattern or table of Python's, a function in C (piece_end, kind_of, has_han, is_one_of, utf8_run)":
        "PIECE KIND HAN BRACKETS LEAD",
    "a field or an assignment in C": "Tokenizer.vocab Text.documents Transformer.n_params Window.clear zeros",
    "C keeps a layer's matrices in one block, and multiplies rows of zeros too":
        "Transformer.matrices Rows Rows.times weighed",
    "C looks up token_text, words_add and a walk through two sorted lists": "Tokenizer.decode words_of Words.endings",
    "one #define each, or a bit of `use`": "COEFFICIENTS TRAINED TRANSFORMER MODES",
    "C walks with field_moment and field_match, and adds rows to a ledger": "Field.moments look_back",
    "a library checks what the command line has parsed; C has no library":
        "check_options checked_corpus sampling mode_of alphabet_of PostGPT",
    "PostGPT's for programs; C has generate, evaluate and a Ledger":
        "PostGPT.net PostGPT.field PostGPT.generate PostGPT.speak PostGPT.say "
        "PostGPT.explain PostGPT.logprobs PostGPT.train PostGPT.evaluate",
    "C's products go into a gradient or a part of a row at once: matmul, rows, block, memcpy":
        "linear_backward widened copied",
    "a loop or a pattern inside the function that needs it":
        "matrix_names VALUE without_heads CONFLICTS CONTROLS MAGIC MODELS",
    "USAGE, TABLE and EXAMPLES in C, a row of which knows where its option goes; parse_count": "HELP whole_number",
    "C writes a checkpoint in one piece (checkpoint_bytes): its training takes all memory before the first step":
        "checkpoint_room checkpoint_parts PostGPT.saved",
    "one draft at a time in C, an object of its own (draft_begin, draft_drop; kept by write_file); read_all reads":
        "Draft Draft.keep save_draft merges_read",
    "flags in C: training, conversing, waiting, stopped, which the handler reads": "SIGNALS hold_signals asked stopped",
    "C walks over bytes (character, quoted) and puts JSON as it goes (page_put, page_text)":
        "pieces_of json_text json_list page_row",
}


def snake(name):
    """ClassName -> class_name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def python_names(source):
    """[(public name, the C name that the rule gives it)]"""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found.append((node.name, node.name))
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    kind = "model" if node.name == "PostGPT" else snake(node.name)
                    found.append(("%s.%s" % (node.name, method.name), "%s_%s" % (kind, method.name)))
        elif isinstance(node, ast.FunctionDef):
            found.append((node.name, node.name))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(name, ast.Name):
                        found.append((name.id, name.id))
    return found


def c_names(source):
    """The names of functions, types, macros, enumeration constants and objects that stand outside all functions."""
    source = re.sub(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", " ", source, flags=re.S)
    names = set(re.findall(r"(?m)^(?:static|int) [\w\s*]*?\b(\w+)\(", source))              # functions
    kinds = r"(?m)^#define (\w+)|^struct (\w+) \{|^\} (\w+);|^typedef [^;{]*?(\w+);|^typedef struct \{[^}]*\} (\w+);"
    names |= {name for found in re.findall(kinds, source) for name in found}
    names |= {name for body in re.findall(r"\benum \{([^}]*)\}", source) for name in re.findall(r"\b[A-Z]\w*", body)}
    return names | set(re.findall(r"(?m)^static [^(=;]*?\b(\w+)(?:\[[^\]]*\])* =", source))


def chapters(source):
    """The titles, in order."""
    return re.findall(r"(?m)^(?:#| \*) ([0IVX]+  [A-Z ]+\b)", source)


class SideBySide(unittest.TestCase):
    def test_chapters_have_the_same_titles_in_the_same_order(self):
        self.assertEqual(chapters(PYTHON), chapters(C))
        self.assertEqual([title.split()[0] for title in chapters(PYTHON)], "0 I II III IV V VI VII VIII IX".split())

    def test_every_public_name_of_python_has_its_name_in_c(self):
        known, excepted = c_names(C), " ".join(EXCEPTIONS.values()).split()
        missing = {name for name, wanted in python_names(PYTHON) if wanted not in known}
        self.assertEqual(sorted(missing - set(excepted)), [])
        self.assertEqual(sorted(set(excepted) - missing), [], "these need no exception any more")


class Lines(unittest.TestCase):
    def test_none_is_longer_than_a_reader_s_window(self):
        """110 columns in the twins, 120 in the tests."""
        for most, paths in ((110, ("postgpt.py", "postgpt.c")), (120, ("tests/*.*", "tests/measure/*.py"))):
            for path in [path for pattern in paths for path in sorted(twins.ROOT.glob(pattern))
                         if path.suffix in (".py", ".c", ".h")]:
                long = [n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
                        if len(line) > most]
                self.assertEqual(long, [], path.name)


class FirstReading(unittest.TestCase):
    def check(self, source, rule):
        """The lines that the head promises, chapter by chapter, are those down to the second reading."""
        lines, found = source.splitlines(), {}
        starts = [i for i, line in enumerate(lines) if line.startswith(rule)]
        for start, end in zip(starts, starts[1:]):
            stop = [i for i in range(start, end) if re.match(r"\s*(#|/\*) Second reading", lines[i])]
            found[lines[start + 1].split()[1]] = (stop + [end])[0] - start
        said = dict(re.findall(r"(?m)^(?: \*)? +([0IV]+) +[A-Z][a-z ]+? +(\d+) lines", source))
        self.assertEqual({name: int(n) for name, n in said.items()}, {name: found[name] for name in said})
        self.assertEqual(list(said), ["0", "I", "II", "III", "IV", "V", "VI"])
        self.assertIn(" %d lines\n" % sum(map(int, said.values())), source)

    def test_it_is_as_long_as_the_heads_say(self):
        self.check(PYTHON, "# ------")
        self.check(C, "/* ------")


class Examples(unittest.TestCase):
    def test_every_example_is_true(self):
        found = doctest.testmod(postgpt)
        self.assertGreater(found.attempted, 25)
        self.assertEqual(found.failed, 0)


if __name__ == "__main__":
    unittest.main()
