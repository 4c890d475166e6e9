"""Chapters II and VI: places, the chain that speaks, where it leaves the corpus, how it ends. The slow definitions are
here."""
import doctest
import random
import re
import subprocess
import tempfile
import unittest
from collections import Counter

import twins
import postgpt
from postgpt import Places, PostGPT, Reader, Tokenizer, Voice, trait_of

SHAPE = dict(layers=1, embd=16, content=1, rrpram=1, context=12, mlp=1)
TEXT = twins.book(9000)


def windows(words, n):
    return list(zip(*(words[i:] for i in range(n))))


def begun(tokens, ids, start=0):
    """How many words begin in ids[start:], read slowly: a word begins where something that is not white follows
    white."""
    data, at = b"".join(tokens[id] for id in ids), len(b"".join(tokens[id] for id in ids[:start]))
    return len([m for m in re.finditer(rb"(?:^|(?<=[\s]))\S", data) if m.end() > at])


class Reading(unittest.TestCase):
    def test_its_example_is_true(self):
        finder = doctest.DocTestFinder().find(Reader, "Reader", globs=vars(postgpt))
        self.assertTrue(any(test.examples for test in finder))
        for test in finder:
            self.assertEqual(doctest.DocTestRunner(verbose=False).run(test).failed, 0)

    def test_words_are_what_stands_between_white_space(self):
        tokenizer = Tokenizer.learn(TEXT, 200)
        rng = random.Random(1)
        for _ in range(60):
            at = rng.randrange(8000)
            ids, reader = tokenizer.encode(TEXT[at:at + 200]), Reader(list(map(trait_of, tokenizer.text)))
            for id in ids:
                reader.read(id)
            long = [word for word in TEXT[at:at + 200].split() if len(word) + 1 > postgpt.LONG]
            if not long:
                self.assertEqual(reader.words, len(TEXT[at:at + 200].split()))

    def test_every_character_of_han_is_a_word_and_so_are_sixteen_bytes_without_a_space(self):
        for text, words in (("语言模型 ok", 5), ("モデル", 3), ("a" * 40, 3), ("слова слова", 2)):
            tokenizer, reader = Tokenizer(range(256)), None
            reader = Reader(list(map(trait_of, tokenizer.text)))
            for id in tokenizer.encode(text.encode()):
                reader.read(id)
            self.assertEqual(reader.words, words, text)

    def test_brackets_and_quotes_open_and_close_and_a_line_closes_all(self):
        for text, nested in ((b"a (b [c", 2), (b"a (b) c", 0), (b'say "so', 8), (b'say "so" (', 1), (b"((\n", 0),
                             (b")))", 0), (b"(" * 9, 7)):
            reader = Reader([trait_of(bytes([c])) for c in range(256)])
            for byte in text:
                reader.read(byte)
            self.assertEqual(reader.nested, nested, text)


class WhatIsIndexed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = Tokenizer.learn(TEXT, 200)
        cls.ids = cls.tokenizer.encode(TEXT)
        cls.places = Places(cls.ids, cls.tokenizer, list(map(trait_of, cls.tokenizer.text)))
        cls.same = [cls.places.bare[id] for id in cls.ids]

    def test_places_of_a_pair_are_where_it_stands(self):
        for pair in random.Random(2).sample(sorted(self.places.after), 50):
            self.assertEqual(self.places.after[pair], [i for i in range(2, len(self.ids))
                                                       if tuple(self.same[i - 2:i]) == pair])

    def test_a_sentence_and_a_paragraph_begin_with_the_same_word(self):
        text, bare = self.tokenizer.text, self.places.bare
        changed = {text[id]: text[other] for id, other in enumerate(bare) if other != id}
        self.assertEqual(changed[b" The"], b"The")
        for word, without in changed.items():
            self.assertEqual(word, b" " + without)
            self.assertTrue(without[:1].isupper())

    def test_a_fork_is_where_a_sentence_ends_or_two_words_are_shared(self):
        ids, places, found = self.same, self.places, Counter()

        def forks(at):
            if places.ended[at]:
                return True
            for other in range(2, len(ids)):
                n = 0
                while n < min(at, other) and ids[at - n - 1] == ids[other - n - 1]:
                    n += 1
                if n > 1 and ids[other] != ids[at] and places.words[at] - places.words[at - n] >= 2 and places.nested[
                        at] == places.nested[other]:
                    return True
            return False
        for at in random.Random(3).sample(range(2, len(ids) - 1), 120):
            self.assertEqual(places.fork[at], forks(at), at)
            found[forks(at)] += 1
        self.assertGreater(min(found.values()), 5)

    def test_until_fork_counts_the_words_on_the_way(self):
        places = self.places
        for place in random.Random(4).sample(range(2, len(self.ids) - 60), 60):
            at = place + 1
            while not places.fork[at] and places.words[at] - places.words[place] < postgpt.FAR:
                at += 1
            self.assertEqual(places.until_fork(place), places.words[at] - places.words[place])

    def test_home_is_the_end_of_the_sentence(self):
        places = self.places
        for place in random.Random(4).sample(range(2, len(self.ids) - 200), 60):
            at = place + 1
            while not places.ended[at]:
                at += 1
            self.assertEqual(places.until_home(place), places.words[at] - places.words[place])

    def test_spoken_counts_the_words_since_the_sentence_began(self):
        places = self.places
        for place in random.Random(4).sample(range(2, len(self.ids)), 60):
            at = place - 1
            while not (places.ended[at] and places.words[at + 1] > places.words[at]):
                at -= 1
            self.assertEqual(places.spoken[place], places.words[place] - places.words[at])


class WhatTheVoiceKnows(unittest.TestCase):
    """After each token of a text made of pieces of the corpus: what it knows of every token, against all places of the
    corpus."""

    @classmethod
    def setUpClass(cls):
        cls.model = PostGPT(TEXT, merges=200, shape=SHAPE)

    def test_runs_and_shared_words_are_those_of_the_best_place(self):
        model, rng, checked = self.model, random.Random(5), Counter()
        ids, places, voice = model.meta.text.ids, None, model.voice(0.3, 11)
        places = voice.places
        said = []
        for _ in range(25):
            at = rng.randrange(len(ids) - 20)
            for id in ids[at:at + rng.randrange(1, 9)]:
                said.append(id)
                voice.write(id)
                voice.speak([1.0] * model.meta.vocab)
                run, shared, home, reader = {}, {}, set(), voice.reader
                so_far = 0 if reader.ended else reader.spoken
                # as the corpus would have it
                heard = [places.bare[id]
                         for id in model.tokenizer.encode(b"".join(model.tokenizer.text[id] for id in said))]
                for place in range(2, len(ids)):
                    n = 0
                    while n < min(place, len(heard)) and heard[-n - 1] == places.bare[ids[place - n - 1]]:
                        n += 1
                    if n < 2:
                        continue
                    x, begins = ids[place], places.words[place + 1] > places.words[place]
                    if begins:
                        run[x] = max(run.get(x, 0), places.words[place + 1] - places.words[place - n])
                    if places.nested[place] == reader.nested:
                        both = places.words[place] - places.words[place - n]
                        shared[x] = max(shared.get(x, 0), both)
                        if 2 <= both < so_far >= places.spoken[place] and both + places.until_home(place) <= 7:
                            home.add(x)
                self.assertEqual(voice.run, run)
                self.assertEqual(voice.shared, shared)
                self.assertEqual(voice.home, home)
                checked["run" if run else "no run"] += 1
                checked["home" if home else "no home"] += 1
        self.assertGreater(min(checked.values()), 5, checked)

    def test_the_way_home_is_taken_gladly_and_its_words_cost_nothing(self):
        voice, field = self.model.voice(), self.model.field("BHF")
        field.push(0, 1.0)
        voice.write(0)
        plain = {"run": {1: 5, 2: 5, 3: 9}, "shared": {1: 2, 2: 2, 3: 2}, "level": {1, 2, 3}, "reach": {}}
        vars(voice).update(home={2, 3}, **plain)
        gain = voice.rules(field)
        self.assertAlmostEqual(gain[2] - gain[1], postgpt.HOME + 2 * postgpt.GLAD)
        vars(voice).update(home=set(), **plain)
        self.assertAlmostEqual(gain[3] - voice.rules(field)[3], postgpt.HOME)    # too long a run is left all the same

    def test_what_it_says_is_a_distribution_and_nothing_has_probability_0(self):
        model = self.model
        for discount in (0.0, 0.2, 1.0):
            voice, heard = model.voice(discount), []
            for id in model.tokenizer.encode(TEXT[500:900]):
                voice.write(id)
                heard.append(id)
                p = voice.speak(model.meta.chain.probs(heard))
                self.assertAlmostEqual(sum(p), 1.0, delta=1e-9)
                self.assertGreater(min(p), 0.0)

    def test_with_a_smaller_discount_it_keeps_closer_to_what_it_has_met(self):
        model, ids = self.model, self.model.tokenizer.encode(TEXT[:600])
        taken = []
        for discount in (0.0, 0.3, 1.0):
            voice = model.voice(discount)
            for id in ids[:-1]:
                voice.write(id)
            taken.append(voice.speak(model.meta.chain.probs(ids[:-1]))[ids[-1]])
        self.assertGreater(taken[0], taken[1])
        self.assertGreater(taken[1], taken[2])

    def test_evaluation_does_not_speak(self):
        ids = self.model.tokenizer.encode(TEXT[100:400])
        self.assertEqual([p for p in self.model.logprobs(ids, "meta")],
                         PostGPT(TEXT, merges=200, shape=SHAPE).logprobs(ids, "meta"))
        self.assertIsNone(self.model.field("BHF").voice)


class Novelty(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = PostGPT(twins.book(40000), merges=400, shape=SHAPE)

    def test_no_run_of_words_is_longer_than_verbatim(self):
        """Within a paragraph."""
        for limit in (2, 4, 7):
            stock, seen = {w for line in twins.book(40000).splitlines() for w in windows(line.split(), limit + 1)}, 0
            for seed in range(8):
                for mode in ("meta", "full", "transformer"):
                    prompt = b"The chain"
                    said = prompt + b"".join(self.model.generate(prompt, 50, mode, seed, verbatim=limit))
                    for line in said[:said.rfind(b" ")].splitlines():
                        words = line.split(b" ")              # two spaces are another text
                        seen += len(words)
                        self.assertFalse(stock & set(windows(words, limit + 1)), (limit, seed, mode, said))
            self.assertGreater(seen, 300)

    def test_without_a_limit_and_a_discount_it_recites(self):
        stock = set(windows(twins.book(40000).split(), 8))
        said = b"".join(self.model.generate(b"The chain", 200, "meta", 1, verbatim=0, discount=0.0)).split()
        self.assertGreater(len(stock & set(windows(said, 8))), len(said) // 2)

    def test_what_is_stale_would_repeat_three_words_of_the_text_itself(self):
        model, seen = self.model, Counter()
        voice = model.voice()
        field, said = model.field("BHF", (), voice), []
        for id in model.tokenizer.encode(twins.book(3000)[2000:] + b" " + twins.book(3000)[2400:2700]):
            field.push(id, 0.5)
            said.append(id)
            found = set()
            for at in range(1, len(said)):
                n = 0
                while n < at and said[at - 1 - n] == said[-1 - n]:
                    n += 1
                if voice.heard[-1] - (voice.heard[-1 - n] if n < len(said) else 0) >= postgpt.AGAIN:
                    found.add(said[at])
            self.assertEqual(voice.stale(field), found)
            seen[bool(found)] += 1
        self.assertGreater(min(seen.values()), 20)

    def test_most_junctions_share_two_words(self):
        stock = set(windows(twins.book(40000).split(), 3))
        share = [w in stock for seed in range(12) for w in windows(b"".join(self.model.generate(b"The chain", 80,
                "full", seed)).split()[:-1], 3)]
        self.assertGreater(sum(share), 0.7 * len(share))

    def test_numbers_are_those_of_the_corpus_or_the_prompt(self):
        number = re.compile(rb"\d[\d.,]*\d|\d")
        known = set(number.findall(twins.book(40000) + b" 8675309"))
        found = 0
        for seed in range(30):
            said = b"8675309 in" + b"".join(self.model.generate(b"8675309 in", 60, "full", seed))
            for n in number.findall(said):
                self.assertIn(n, known)
                found += 1
        self.assertGreater(found, 35)

    def test_scripts_without_spaces_are_not_recited(self):
        corpus = "语言模型数词语，数字会说话。词语数模型，模型会数数。语言会说话，数字数词语。说话会数语言，词语会模型。"
        model = PostGPT(corpus.encode(), merges=8, shape=SHAPE)
        for seed in range(5):
            said = b"".join(model.generate("语言".encode(), 40, "full", seed)).decode()
            self.assertFalse([said[i:i + 12] for i in range(len(said) - 12) if said[i:i + 12] in corpus], said)


class Ends(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = PostGPT(twins.book(40000), merges=400, shape=SHAPE)

    def test_the_text_goes_on_to_the_end_of_its_sentence(self):
        whole = 0
        for seed in range(12):
            pieces = list(self.model.generate(b"The chain", 30, "full", seed))
            self.assertTrue(30 <= len(pieces) <= 30 + postgpt.GRACE)
            whole += b"".join(pieces).rstrip(b"\"')")[-1:] in (b".", b"?", b"!")
        self.assertGreaterEqual(whole, 10)

    def test_exact_is_exact_and_the_beginning_of_the_other(self):
        for seed in range(4):
            exact = list(self.model.generate(b"The chain", 30, "meta", seed, exact=True))
            self.assertEqual(len(exact), 30)
            self.assertEqual(exact, list(self.model.generate(b"The chain", 30, "meta", seed))[:30])

    def test_with_lines_to_the_end_of_the_line(self):
        model = PostGPT(twins.NAMES * 5, merges=0, lines=True, shape=SHAPE)
        for seed in range(6):
            said = b"".join(model.generate(b"", 10, "meta", seed))
            self.assertFalse(said.endswith(b"\n"))
            self.assertGreaterEqual(len(said), 10)

    def test_a_word_that_is_whole_is_left_alone(self):
        for prompt in (b"hello", b"I like bananas", b"The model", b"one corpus"):
            for seed in range(10):
                said = next(self.model.generate(prompt, 1, "full", seed, exact=True))
                self.assertNotEqual(postgpt.KIND[said[0]], postgpt.LETTER, (prompt, said))

    def test_a_word_that_is_cut_short_is_finished(self):
        for seed in range(10):
            said = b"transf" + b"".join(self.model.generate(b"transf", 6, "full", seed))
            self.assertIn(re.match(rb"[a-z]+", said).group(),
                          (b"transformer", b"transformers", b"transforms", b"transform"))


class Sampling(unittest.TestCase):
    def test_top_p_keeps_the_most_probable_that_have_so_much(self):
        logits, tokens = [3.0, 2.0, 1.0, 0.0], [b"a", b"b", b"c", b"d"]
        anything = postgpt.Speller(None, False)
        for p, most in ((1.0, 4), (0.97, 4), (0.9, 3), (0.65, 2), (0.6, 1), (0.0, 1)):
            rng = postgpt.Rng(3)
            drawn = {postgpt.sample(logits, tokens, [], 1.0, 0, 0.0, anything, rng, p) for _ in range(3000)}
            self.assertEqual(drawn, set(range(most)), p)


class CommandLine(unittest.TestCase):
    def run_twins(self, *args):
        """Standard output and error of both twins, which must agree."""
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/corpus.txt", "wb") as file:
                file.write(TEXT)
            runs = [subprocess.run([*command, "-q", "--no-cache", "-c", "corpus.txt", "--merges", "150", "-n", "12",
                                    *args], cwd=folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    for command in ([twins.binary()], twins.PYTHON)]
        return runs

    def test_the_demonstration_says_how_much_is_copied(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/corpus.txt", "wb") as file:
                file.write(twins.book(20000))
            runs = [subprocess.run([*command, "--no-cache", "-c", "corpus.txt", "--merges", "150", "-n", "40",
                                    "--verbatim", "15",
                                    "--shape", "layers=1,embd=16,content=1,rrpram=1,context=12,mlp=1"], cwd=folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    for command in ([twins.binary()], twins.PYTHON)]
        note = runs[0].stderr.splitlines()[-1]
        self.assertEqual(note, runs[1].stderr.splitlines()[-1])
        number, found, share = re.fullmatch(
            rb"postgpt: of (\d+) runs of 8 words that were said, (\d+) stand in the corpus \(([\d.]+) %\)",
            note).groups()
        # by the words alone; the program also compares what stands between them, and leaves out a text's last run
        stock = set(windows(twins.book(20000).split(), 8))
        said = [windows(text.split(), 8)[:-1] for text in re.split(rb"\n*--- (?:meta|full) ---\n", runs[0].stdout)]
        self.assertEqual(int(number), sum(map(len, said)))
        copied = sum(window in stock for text in said for window in text)
        self.assertGreater(copied, 0)
        self.assertAlmostEqual(int(found), copied, delta=0.1 * copied)
        self.assertEqual(b"%.1f" % (100.0 * int(found) / int(number)), share)

    def test_samples_are_what_the_seeds_give_one_by_one(self):
        many, again = self.run_twins("-m", "full", "--samples", "3", "-s", "18446744073709551614", "The")
        self.assertEqual(many.stdout, again.stdout)
        single = [self.run_twins("-m", "full", "-s", str(seed), "The")[0].stdout
                  for seed in (2 ** 64 - 2, 2 ** 64 - 1, 0)]
        self.assertEqual(many.stdout, b"----\n".join(single))

    def test_a_random_seed_is_named_and_gives_the_text_again(self):
        for run in self.run_twins("-m", "meta", "--seed", "random", "The"):
            seed = re.fullmatch(rb"postgpt: seed (\d+)\n", run.stderr).group(1).decode()
            self.assertEqual(self.run_twins("-m", "meta", "-s", seed, "The")[0].stdout, run.stdout)


if __name__ == "__main__":
    unittest.main()
