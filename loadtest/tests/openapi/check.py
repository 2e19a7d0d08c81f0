#!/usr/bin/env python3
"""Holds the three documents against OpenAPI 3.1, and the doors of a running server against them, by schemathesis.

    check.py '{"portal": URL, "device": URL, "ops": URL, "client": "ID:SECRET", "token": TOKEN, "documents": FOLDER}'

Prints one line of JSON: each door with the operations that never worked. Fails with what schemathesis has found.
"""
import json, os, subprocess, sys, tempfile

from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "unsupported_method", "allow_header_conformance", "ignored_auth",
    "negative_data_rejection",
]
# It would end the server.
SKIPPED = ["drain"]


def document_of(door, asked):
    return os.path.join(asked["documents"], f"{door}-v1.json")


def faults(door, asked):
    with open(document_of(door, asked), encoding="utf-8") as file:
        return [str(fault) for fault in OpenAPIV31SpecValidator(json.load(file)).iter_errors()]


def check(door, asked, folder):
    command = [
        sys.executable, "-B", "-m", "schemathesis.cli", "run", document_of(door, asked),
        "--url", asked[door], "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
        "--max-examples", "5", "--seed", "1", "--generation-deterministic",
        "--no-shrink", "--continue-on-failure", "--request-timeout", "30",
        "--suppress-health-check", "all", "--warnings", "off", "--no-color", "--workers", "1",
    ]
    for operation in SKIPPED:
        command += ["--exclude-operation-id", operation]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": HERE, "TOCSIN_DOOR": door, "TOCSIN_ASKED": json.dumps(asked),
        "TOCSIN_SEEN": os.path.join(folder, "seen.json"),
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def main():
    asked = json.loads(sys.argv[1])
    told, failed = {}, False
    for door in ("portal", "device", "ops"):
        for fault in faults(door, asked):
            failed = True
            print(f"== the document of the {door} door\n{fault}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            ran = check(door, asked, folder)
            failed |= ran.returncode != 0
            if ran.returncode:
                print(f"== the {door} door\n{ran.stdout}\n{ran.stderr}", file=sys.stderr)
            with open(os.path.join(folder, "seen.json"), encoding="utf-8") as file:
                statuses = json.load(file)
        told[door] = sorted(name for name, met in statuses.items() if not any(200 <= status < 300 for status in met))
    print(json.dumps(told))
    sys.exit(failed)


if __name__ == "__main__":
    main()
