"""rANS as SPEC.md has it, one symbol after the other. For spec_reader.py."""

from __future__ import annotations

from spec_blocks import Cursor, require


class Rans:
    """Takes batches of symbols. tables: a row of frequencies per class."""

    def __init__(self, payload: bytes, tables: list[list[int]]) -> None:
        self.tables = tables
        source = Cursor(payload)
        header = source.varint()
        self.segments, self.lanes = header // 8, 2 ** (header % 8)
        require(self.lanes <= 32 and self.segments <= 4096, "segments or lanes")
        self.raw = source.bytes()
        sizes = [source.varint() for _ in range(self.segments - 1)]
        body = source.bytes() if self.segments else b""
        source.end()
        states, words = body[: 4 * self.segments * self.lanes], body[4 * self.segments * self.lanes :]
        numbers = [int.from_bytes(states[i : i + 4], "little") for i in range(0, len(states), 4)]
        self.states = [numbers[g * self.lanes : (g + 1) * self.lanes] for g in range(self.segments)]
        everything = [int.from_bytes(words[i : i + 2], "little") for i in range(0, len(words), 2)]
        self.words = []
        for size in [*sizes, len(everything) - sum(sizes)][: self.segments]:
            self.words.append(iter(everything[:size]))
            everything = everything[size:]
        self.counts = [0] * self.segments

    def batch(self, classes: list[int]) -> list[int]:
        n, symbols = len(classes), []
        for g in range(self.segments):
            for c in classes[g * n // self.segments : (g + 1) * n // self.segments]:
                symbols.append(self.symbol(g, self.tables[c]))
        require(len(symbols) == n, "symbols are missing")
        return symbols

    def symbol(self, g: int, frequencies: list[int]) -> int:
        lane = self.counts[g] % self.lanes
        self.counts[g] += 1
        x = self.states[g][lane]
        t, start, symbol = x % 4096, 0, 0
        while t >= start + frequencies[symbol]:
            start += frequencies[symbol]
            symbol += 1
        x = frequencies[symbol] * (x // 4096) + t - start
        if x < 1 << 16:
            x = x * (1 << 16) + next(self.words[g])
        self.states[g][lane] = x
        return symbol

    def end(self) -> None:
        require(all(x == 1 << 16 for states in self.states for x in states), "states at the end")
        require(all(next(words, None) is None for words in self.words) and not self.raw, "words or bits are left over")
