#!/usr/bin/env python3
"""Holds `fwtrace explain --json` and `fwtrace doctor --json` to docs/fwtrace.schema.json, and the example of docs/json.md too.

    tests/schema_test.py FWTRACE

Runs the program on the fixtures, with and without their rulesets, and validates every line; then makes sure that
the schema refuses what is not in it. Exit status: 0 all valid, 1 something is not, 77 python3-jsonschema is absent
(ctest: SKIP_RETURN_CODE 77).
"""
import json
import pathlib
import re
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("schema_test: python3-jsonschema is not installed: skipped")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
TRACES = {".log", ".kmsg", ".trace", ".txt", ".monitor"}
SHOWN = 5  # errors of each run

schema = json.loads((ROOT / "docs" / "fwtrace.schema.json").read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
failures = 0


def fail(text):
    global failures
    failures += 1
    print("schema_test: FAILED: " + text)


def validate(name, lines):
    """Every line is valid, the summary is there, once, and last. Gives the parsed lines."""
    parsed, shown = [], 0
    for number, line in enumerate(lines, 1):
        try:
            parsed.append(json.loads(line))
        except ValueError as error:
            fail(f"{name}: line {number} is not JSON: {error}")
            continue
        for error in validator.iter_errors(parsed[-1]):
            # The reason that oneOf gives is the whole line; what is inside is more use.
            fail(f"{name}: line {number}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
            shown += 1
            if shown >= SHOWN:
                return parsed
    return parsed


def explain(fwtrace, args):
    name = " ".join(str(a) if not isinstance(a, pathlib.Path) else str(a.relative_to(ROOT)) for a in args)
    done = subprocess.run([fwtrace, "explain", "--json", *map(str, args)], capture_output=True, check=False)
    if done.returncode not in (0, 3):
        fail(f"{name}: exit status {done.returncode}: {done.stderr.decode(errors='replace')[:400]}")
        return
    if done.returncode == 3 and not done.stdout:
        print(f"{name}: not understood, nothing to validate")
        return
    try:
        text = done.stdout.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(f"{name}: the output is not UTF-8: {error}")
        return
    lines = text.split("\n")
    if lines.pop() != "":
        fail(f"{name}: the last line has no newline")
    parsed = validate(name, lines)
    kinds = ["summary" if "summary" in line else "journey" for line in parsed]
    if kinds.count("summary") != 1 or kinds[-1] != "summary":
        fail(f"{name}: the summary is not there once, at the end")
        return
    summary = parsed[-1]["summary"]
    if summary["shown"] != len(parsed) - 1 or sum(summary["outcomes"].values()) != summary["shown"]:
        fail(f"{name}: the counts of the summary do not add up")
    print(f"{name}: {len(parsed) - 1} journeys valid")


def doctor(fwtrace):
    """Whatever this machine is like, and whoever runs it."""
    done = subprocess.run([fwtrace, "doctor", "--json"], capture_output=True, check=False)
    if done.returncode not in (0, 4):
        fail(f"doctor: exit status {done.returncode}: {done.stderr.decode(errors='replace')[:400]}")
        return
    parsed = validate("doctor", done.stdout.decode("utf-8").splitlines())
    checks = [line["check"] for line in parsed if "check" in line]
    if not parsed or "doctor" not in parsed[-1] or len(checks) != len(parsed) - 1:
        fail("doctor: its answer is not there once, at the end")
        return
    answer = parsed[-1]["doctor"]
    for status, count in answer["counts"].items():
        if count != sum(check["status"] == status for check in checks):
            fail(f"doctor: the count of {status} does not add up")
    if answer["works"] != (done.returncode == 0) or answer["works"] != (answer["counts"]["missing"] == 0):
        fail("doctor: the exit status and the answer differ")
    refuses("a check without a status", {"schema": 1, "check": {"name": "x", "found": "y"}})
    refuses("an unknown status", {"schema": 1, "check": {"name": "x", "found": "y", "status": "fine"}})
    refuses("a check and a journey at once", {**parsed[0], "journey": {}})
    print(f"doctor: {len(checks)} checks valid")


def refuses(what, line):
    if validator.is_valid(line):
        fail(f"the schema accepts {what}")


def check_example():
    text = (ROOT / "docs" / "json.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.S).group(1)
    line = json.loads(example)
    validate("docs/json.md", [json.dumps(line)])
    refuses("an unknown field", {**line, "extra": 1})
    refuses("another schema number", {**line, "schema": 2})
    refuses("neither journey nor summary", {"schema": 1})
    journey = line["journey"]
    refuses("an unknown field of a journey", {"schema": 1, "journey": {**journey, "extra": 1}})
    refuses("a journey without steps", {"schema": 1, "journey": {**journey, "steps": []}})
    refuses("an unknown verdict", {"schema": 1, "journey": {**journey, "outcome": {"verdict": "eaten", "assumes": []}}})
    refuses("an unknown field of a packet", {"schema": 1, "journey": {**journey, "forms": [{"colour": 1}]}})


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    check_example()
    doctor(sys.argv[1])
    for trace in sorted(p for p in FIXTURES.rglob("*") if p.suffix in TRACES):
        explain(sys.argv[1], [trace])
        for rules in sorted(p for p in trace.parent.iterdir() if p.suffix.startswith(".rules")):
            if trace.name.startswith(rules.stem):  # forms-v4.kmsg has forms.rules4
                explain(sys.argv[1], [trace, "--rules", rules])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
