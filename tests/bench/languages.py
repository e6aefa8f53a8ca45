#!/usr/bin/env python3
"""Six languages, hello world in a warm container, beside the same commands started there by hand.

    .run/venv/bin/python tests/bench/languages.py [-n ROUNDS] [-o FILE.json] [python|javascript|java|cpp|go|r…]

Both are measured inside the container from fork to exit: ours is what the agent reports, by hand a program in the same
conversation starts the same commands on the same file with the same environment. Needs an image that has them all:
SANDBOX_IMAGE, else celeriac-sandbox:full where that is.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from stand import Figure, finish, IMAGE, judge, options, PAUSE, Stand, summary, told

BAR = 1.3
HOME = "/sandbox/.celeriac/"
PROGRAMS = {
    "python": ("main.py", "print('hello')", [["python3", "-u", HOME + "main.py"]]),
    "javascript": ("main.js", "console.log('hello')", [["node", HOME + "main.js"]]),
    "java": ("Main.java", "class Main { public static void main(String[] a) { System.out.println(\"hello\"); } }",
             [["java", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:MaxRAMPercentage=50", HOME + "Main.java"]]),
    "cpp": ("main.cpp", "#include <iostream>\nint main() { std::cout << \"hello\\n\"; }",
            [["g++", "-std=gnu++20", "-o", HOME + "main-cpp", HOME + "main.cpp"], [HOME + "main-cpp"]]),
    "go": ("main.go", "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"hello\") }",
           [["go", "build", "-o", HOME + "main-go", HOME + "main.go"], [HOME + "main-go"]]),
    "r": ("main.R", "cat('hello\\n')", [["Rscript", HOME + "main.R"]]),
}
GO = {"GODEBUG": "installgoroot=all", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off",
      "GOPATH": "/sandbox/.local/go"}
BY_HAND = """
import os, time
os.makedirs({home!r}, exist_ok=True)
with open({home!r} + {name!r}, "w") as file:
    file.write({code!r})
env = dict(os.environ, **{env!r})
null = os.open("/dev/null", os.O_RDWR)
began = time.perf_counter()
for command in {commands!r}:
    pid = os.posix_spawnp(command[0], command, env, file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)])
    assert os.waitpid(pid, 0)[1] == 0, command
print((time.perf_counter() - began) * 1000)
"""


def measure(stand, language, rounds):
    name, code, commands = PROGRAMS[language]
    conversation = f"bench-{language}"
    by_hand = BY_HAND.format(home=HOME, name=name, code=code, env=GO if language == "go" else {}, commands=commands)
    stand.run(code, conversation, language=language, timeout=120)
    stand.run(by_hand, conversation, timeout=120)
    time.sleep(3)
    ours, bare = [], []
    for _ in range(rounds):
        time.sleep(PAUSE)
        value = stand.run(code, conversation, language=language, timeout=120)
        assert value["stdout"] == "hello\n", value
        ours.append(value["duration_ms"])
        time.sleep(PAUSE)
        bare.append(float(stand.run(by_hand, conversation, timeout=120)["stdout"]))
    ratio = statistics.median(ours) / statistics.median(bare)
    return judge({"ours_ms": summary(ours), "by_hand_ms": summary(bare), "of_the_bare": Figure(ratio, 2)}, of_the_bare=(ratio, "most", BAR))


def image_with_all():
    if "SANDBOX_IMAGE" in os.environ:
        return IMAGE
    found = subprocess.run(["docker", "image", "inspect", "celeriac-sandbox:full"], capture_output=True, text=True)
    assert found.returncode == 0, "no image celeriac-sandbox:full (make image), and no SANDBOX_IMAGE"
    assert json.loads(found.stdout)
    return "celeriac-sandbox:full"


def main():
    asked = options(__doc__, 10).parse_args()
    rows = {}
    with Stand(image=image_with_all()) as stand:
        for language in asked.only or PROGRAMS:
            row = rows[language] = measure(stand, language, asked.rounds)
            print(f"{language:10} {row['of_the_bare']} of the bare command's time: {row['ours_ms']['p50']} ms (p90 {row['ours_ms']['p90']}), "
                  f"by hand {row['by_hand_ms']['p50']} (p90 {row['by_hand_ms']['p90']}){told(row)}", flush=True)
    return finish(asked, rows)


if __name__ == "__main__":
    sys.exit(main())
