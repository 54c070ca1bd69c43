#!/bin/sh
# Makes build/connector-people, a program that runs with this folder's own Python packages.
# PYTHON names a Python that has them already.
set -eu
cd "$(dirname "$0")"
proto=${PROTO:-../../proto}
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$PWD/.venv/bin/python3
    [ -x "$PYTHON" ] || python3 -m venv .venv
    "$PYTHON" -m pip install --quiet --requirement requirements.txt
fi
mkdir -p build
"$PYTHON" -m grpc_tools.protoc --proto_path "$proto" --python_out build --grpc_python_out build \
    cordon/v1/connector.proto
cp channel.py records.py build/
{ printf '#!%s\n' "$PYTHON"; cat connector.py; } > build/connector-people
chmod 755 build/connector-people
