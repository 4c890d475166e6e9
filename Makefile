# make (builds ./postgpt) · make test · make bench · make check (sanitizers, fuzz) · make clean
# make thesis (the README's figures; TEXTS="path path" for other texts) · make curve (draws curve.svg; TEXT=path)
CC = cc
# -ffp-contract=off: no fused multiply-add, so that both twins round alike; -fno-math-errno: sqrt as one instruction;
# the widest vectors the machine has are welcome
CFLAGS = -std=c11 -O3 -ffp-contract=off -fno-math-errno $(shell $(CC) -march=native -E -x c /dev/null >/dev/null 2>&1 && echo -march=native)
PYTHON = python3

postgpt: postgpt.c
	@$(CC) $(CFLAGS) -o $@ postgpt.c -lm -pthread

test: postgpt
	@$(PYTHON) tests

bench: postgpt
	@$(PYTHON) tests/bench.py

check: postgpt
	@$(PYTHON) tests/check.py
	@$(PYTHON) tests/fuzz_parity.py --cases 500 --seed 1

thesis: postgpt
	@$(PYTHON) tests/thesis.py $(TEXTS)

curve: postgpt
	@$(PYTHON) tests/curve.py $(TEXT)

voice: postgpt
	@$(PYTHON) tests/voice.py $(TEXTS)

clean:
	rm -rf postgpt curve.svg *.merges *.tmp tests/__pycache__ __pycache__

.PHONY: test voice bench check thesis curve clean
