#!/usr/bin/env python3
"""Corpora as files of lines, and as the directories that libFuzzer wants.

corpus.py unpack FILE DIRECTORY   a file for each line
corpus.py pack DIRECTORY FILE     and back; comments, and the lines below them, are kept
corpus.py add FILE [COMMENT]      an input from standard input
corpus.py list                    the targets, one a line
"""
import hashlib
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
NAMED = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord("\\"): "\\\\"}
LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}
LINE_MOST = 6000  # bytes of an input that is kept


def escape(data):
    text = "".join(NAMED.get(c) or (chr(c) if 0x20 <= c < 0x7F else f"\\x{c:02x}") for c in data)
    return "\\x23" + text[1:] if text.startswith("#") else text


def unescape(line):
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", lambda m: bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else LETTERS[m[1]], line.encode())


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def unpack(path, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for line in lines(path):
        if not line.startswith("#"):
            data = unescape(line)
            (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(directory, path):
    """What is named by a comment stays, whatever else reaches the same code."""
    old, kept = lines(path), []
    for i, line in enumerate(old):
        if line.startswith("#"):
            kept += [line] + old[i + 1:i + 2]
    found = {escape(p.read_bytes()) for p in directory.iterdir() if p.stat().st_size <= LINE_MOST}
    path.write_text("".join(line + "\n" for line in kept + sorted(found - set(kept), key=lambda s: (len(s), s))))


def main():
    match sys.argv[1:]:
        case ["unpack", path, directory]:
            unpack(pathlib.Path(path), pathlib.Path(directory))
        case ["pack", directory, path]:
            pack(pathlib.Path(directory), pathlib.Path(path))
        case ["add", path, *comment]:
            with open(path, "a") as f:
                f.write("".join(f"# {c}\n" for c in comment) + escape(sys.stdin.buffer.read()) + "\n")
        case ["list"]:
            print("\n".join(re.findall(r"^\tX\((\w+)\)", (HERE / "fuzz.h").read_text(), re.M)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
