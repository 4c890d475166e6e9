"""The twins side by side: same chapters, same names by one rule; every example in a docstring is true; the first reading is as long
as the heads say."""
import ast
import doctest
import re
import unittest

import twins
import postgpt

PYTHON, C = ((twins.ROOT / name).read_text(encoding="utf-8") for name in ("postgpt.py", "postgpt.c"))

# Python's public name -> why C has none of the rule's. The rule: a function f is f, a class K the struct K, its method m k_m, and
# its __init__ k_make; a constant keeps its name.
EXCEPTIONS = {}


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
                if isinstance(method, ast.FunctionDef) and (method.name == "__init__" or not method.name.startswith("_")):
                    found.append(("%s.%s" % (node.name, method.name), "%s_%s" % (snake(node.name), method.name.replace("__init__", "make"))))
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
    names = set(re.findall(r"(?m)^static [\w\s*]*?\b(\w+)\(", source))                    # functions
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
        self.assertEqual([title.split()[0] for title in chapters(PYTHON)], ["0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"])

    def test_every_public_name_of_python_has_its_name_in_c(self):
        known = c_names(C)
        missing = [name for name, wanted in python_names(PYTHON) if wanted not in known and name not in EXCEPTIONS]
        self.assertEqual(missing, [])

    def test_exceptions_are_needed(self):
        known, names = c_names(C), dict(python_names(PYTHON))
        self.assertEqual([name for name in EXCEPTIONS if name not in names or names[name] in known], [])


class Examples(unittest.TestCase):
    def test_every_example_is_true(self):
        found = doctest.testmod(postgpt)
        self.assertGreater(found.attempted, 25)
        self.assertEqual(found.failed, 0)


if __name__ == "__main__":
    unittest.main()
