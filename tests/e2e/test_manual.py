# SPDX-License-Identifier: Apache-2.0
"""The man pages and the guides, held against what the programs' own help says: each command and flag is in both."""

import re

from bed.cases import case
from test_openapi import ROOT

# Pages that speak of no other program's flags but these; netproxy.1 and netproxyctl.1 speak of many.
FOREIGN = {
    "netproxy-vm.1": {"api", "link", "t", "flag"},
    "netproxy-agent.8": {"guest-publish", "i"},
}
SECTIONS = {"netproxy": 1, "netproxyctl": 1, "netproxy-vm": 1, "netproxy-agent": 8}
GUIDES = ("README.md", "docs/TUTORIAL.md", "docs/MACHINES.md")
# Words of ours up to the machine's name; what follows is for another program.
PASSED_ON = ("ssh",)

FLAG = re.compile(r"(?<![\w\]./=-])--?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)")
DEFINED = re.compile(r"(?:^  |\[)--?([a-z][a-z0-9-]*)", re.MULTILINE)
COMMAND = re.compile(r"^  ([a-z]+) ", re.MULTILINE)
ESCAPE = re.compile(r"\\(?:f[A-Z]|f\[\w*\]|[&|^/,])")


def read(path):
    with open(f"{ROOT}/{path}", encoding="utf-8") as file:
        return file.read()


def page(program):
    """A man page's words, without roff's."""
    text = re.sub(r'^\.\\".*\n', "", read(f"docs/man/{program}.{SECTIONS[program]}"), flags=re.MULTILINE)
    text = ESCAPE.sub("", text).replace(r"\-", "-").replace(r"\~", " ").replace('"', "")
    return re.sub(r"^\.[A-Z]+ ", "", text, flags=re.MULTILINE)


class Help:
    """What a program says of itself. `flags` are of all commands, `of[COMMAND]` of one."""

    def __init__(self, t, program):
        self.program = program
        self.path = f"{t.settings.bin}/{program}"
        self.overview = t.host.run(self.path, "--help").stdout
        self.of = {}
        self.flags = set(DEFINED.findall(self.overview))
        if program in ("netproxy-vm", "netproxyctl"):
            for name in COMMAND.findall(self.overview.split("To start:")[0]):
                self.of[name] = set(FLAG.findall(t.host.run(self.path, "help", name).stdout))
                self.flags |= set(DEFINED.findall(t.host.run(self.path, "help", name).stdout))


def command_lines(text):
    """The command lines of a guide: its indented lines and what is between backticks, as words."""
    text = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE) + re.findall(r"`([^`]+)`", text.replace("\n", " "))
    for block in blocks:
        for line in re.split(r"&&|;|\||\s#\s", block):
            yield line.split()


def wrong_words(helps, words):
    """What a program wouldn't take of a command line, or None."""
    while words and (words[0] in ("sudo", "$") or "=" in words[0]):
        words = words[1:]
    if not words or words[0].split("/")[-1] not in helps:
        return None
    known = helps[words[0].split("/")[-1]]
    words = words[1:]
    flags = known.flags
    if known.of and words and not words[0].startswith("-"):
        if words[0] not in known.of:
            return f"there is no command {words[0]}"
        flags = known.of[words[0]] | ({"api", "json", "timeout"} & known.flags)
        if words[0] in PASSED_ON:
            words = words[:2]
    for word in words[1:]:
        match = re.match(r"--?([a-z][a-z0-9-]*)", word)
        if match and match.group(1) not in flags | {"help", "version"}:
            return f"there is no flag {word}"
    return None


@case()
def test_pages(t):
    wrong = []
    for program in SECTIONS:
        own, text = Help(t, program), page(program)
        named = set(FLAG.findall(text))
        name = f"{program}.{SECTIONS[program]}"
        assert len(own.flags) > 5, f"{program}: its help has only the flags {own.flags}"
        wrong += [f"{name} lacks -{flag}" for flag in sorted(own.flags - named - {"help", "version"})]
        if name in FOREIGN:
            wrong += [f"{name} names -{flag}, which {program} doesn't have"
                      for flag in sorted(named - own.flags - FOREIGN[name] - {"help", "version"})]
        wrong += [f"{name} lacks the command {command}" for command in own.of
                  if not re.search(rf"\b{command}\b", text)]
    assert not wrong, "\n".join(wrong)


@case()
def test_guides(t):
    helps = {program: Help(t, program) for program in SECTIONS}
    wrong, seen = [], 0
    for path in GUIDES:
        for words in command_lines(read(path)):
            seen += bool(words) and words[0].split("/")[-1] in helps
            why = wrong_words(helps, words)
            if why:
                wrong.append(f"{path}: {' '.join(words)}: {why}")
    assert seen > 30, f"only {seen} command lines were found in {GUIDES}"
    assert not wrong, "\n".join(wrong)


# A line up to the cursor, and what bash is to offer.
COMPLETIONS = (
    ("netproxy-vm sta", {"start", "status"}),
    ("netproxy-vm run -accel ", {"auto", "kvm", "tcg"}),
    ("netproxy-vm run -accel = t", {"tcg"}),
    ("netproxy-vm run -kern", {"-kernel"}),
    ("netproxy-vm snapshot ", {"save", "list", "restore", "delete"}),
    ("netproxy-vm init -mem ", set()),
    ("netproxy-vm image ", {"build"}),
    ("netproxyctl unr", {"unreserve"}),
    ("netproxyctl expose 80 80 --pro", {"--proxy"}),
    ("netproxy --egress ", {"allow", "deny"}),
    ("netproxy --publ", {"--publish"}),
)


@case()
def test_completion(t):
    """Of bash. It is made of the help's text, so that a change of that may break it."""
    for line, expected in COMPLETIONS:
        words = line.split(" ")
        script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _netproxy; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        offered = t.host.run("bash", "-c", script, f"{ROOT}/system/netproxy.bash",
                             f"{t.settings.bin}/{words[0]}", *words[1:]).stdout.split()
        assert set(offered) == expected, f"{line!r}: bash offers {offered}"
