# make (builds ./postgpt) · make test · make bench · make check (sanitizers, fuzz) · make fuzz · make clean
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
	@$(PYTHON) tests/measure bench

check: postgpt
	@$(PYTHON) tests/check.py
	@$(PYTHON) tests/fuzz_parity.py --cases 500 --seed 1

thesis: postgpt
	@$(PYTHON) tests/measure thesis $(TEXTS)

# libFuzzer, SECONDS a target (60)
fuzz:
	@$(PYTHON) tests/fuzz.py $(SECONDS)

curve: postgpt
	@$(PYTHON) tests/measure curve $(TEXT)

voice: postgpt
	@$(PYTHON) tests/measure voice $(TEXTS)

clean:
	rm -rf postgpt curve.svg *.merges *.tmp tests/__pycache__ __pycache__

.PHONY: test voice bench check fuzz thesis curve clean
