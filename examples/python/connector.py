"""A Cordon connector in Python: people and teams, from pages in a JSON file.

The file stands for a source with paging. What is worth copying is what surrounds it: a scope is
complete only if every page of it came, a page that comes twice is an error, and an error says which
kind it is.
"""

import json
import logging
import os
import sys

import grpc

import channel
import records
from cordon.v1 import connector_pb2 as wire
from cordon.v1 import connector_pb2_grpc
from records import ENTITLEMENT, GRANT, RESOURCE, Scope

PROTOCOL = 1
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "The file with the source's pages."}},
    "required": ["path"],
    "additionalProperties": False,
}
CODES = {
    wire.ERROR_KIND_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    wire.ERROR_KIND_INCOMPLETE: grpc.StatusCode.ABORTED,
    wire.ERROR_KIND_BAD_CONFIG: grpc.StatusCode.INVALID_ARGUMENT,
    wire.ERROR_KIND_BUG: grpc.StatusCode.INTERNAL,
}


class Failure(Exception):
    """Why a call cannot be answered. Its kind decides what happens next."""

    def __init__(self, kind, message, field=""):
        super().__init__(message)
        self.kind, self.field = kind, field


class Source:
    """Replace this by the real one, and keep its shape: a page, the cursor of the next, a total."""

    def __init__(self, path):
        self.path = path

    def read(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)
        except OSError as error:
            raise Failure(wire.ERROR_KIND_UNAVAILABLE, f"cannot read {self.path}: {error.strerror}")
        except ValueError:
            raise Failure(wire.ERROR_KIND_INCOMPLETE, f"{self.path} is not what the source writes")

    def pages(self):
        """The people of every page."""
        cursor, seen = "1", set()
        while cursor is not None:
            if cursor in seen:
                raise Failure(wire.ERROR_KIND_INCOMPLETE, f"page {cursor} came a second time")
            seen.add(cursor)
            page = self.read()["pages"].get(cursor)
            if page is None:
                raise Failure(wire.ERROR_KIND_INCOMPLETE, f"page {cursor} did not come")
            yield page["people"]
            cursor = page["next"]


class People(connector_pb2_grpc.ConnectorServicer):
    def __init__(self):
        self.source = None

    def Describe(self, request, context):
        return wire.DescribeResponse(
            name="people",
            version="0.1.0",
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            capabilities=[wire.CAPABILITY_LOOKUP, wire.CAPABILITY_LOOKUP_BY_READING],
            schemas=records.schemas(),
            configuration_schema=json.dumps(SCHEMA),
        )

    def Configure(self, request, context):
        if request.protocol != PROTOCOL:
            refuse(context, Failure(wire.ERROR_KIND_BUG, f"protocol {request.protocol} is not spoken"))
        if self.source is not None:
            refuse(context, Failure(wire.ERROR_KIND_BUG, "it is configured already"))
        try:
            self.source = Source(path_of(json.loads(request.configuration)))
        except Failure as failure:
            refuse(context, failure)
        return wire.ConfigureResponse()

    def Check(self, request, context):
        try:
            total = self.configured().read()["total"]
        except Failure as failure:
            refuse(context, failure)
        return wire.CheckResponse(notes=[f"{total} people can be read"])

    def Sync(self, request, context):
        try:
            source = self.configured()
        except Failure as failure:
            refuse(context, failure)
        sent = 0
        for number, (name, report) in enumerate((("people", people), ("teams", teams))):
            scope = Scope(number, name)
            yield scope.begin()
            try:
                yield from report(source, scope)
            except Failure as failure:
                # What did not come is unknown, and not gone.
                yield scope.incomplete(str(failure))
            sent += scope.records
        yield wire.SyncMessage(sync_end=wire.SyncEnd(scopes=number + 1, records=sent))

    def Lookup(self, request, context):
        try:
            known = keys(self.configured())
        except Failure as failure:
            refuse(context, failure)
        return wire.LookupResponse(
            presences=[
                wire.PRESENCE_PRESENT
                if (key.kind, key.type, key.id, key.entitlement) in known
                else wire.PRESENCE_ABSENT
                for key in request.keys
            ]
        )

    def configured(self):
        if self.source is None:
            raise Failure(wire.ERROR_KIND_BUG, "it is not configured")
        return self.source


def path_of(config):
    """The one key of the configuration. A message never repeats a value: it could be a secret."""
    for key in config:
        if key not in SCHEMA["properties"]:
            raise Failure(wire.ERROR_KIND_BAD_CONFIG, "there is no such key", key)
    path = config.get("path")
    if not isinstance(path, str) or not os.path.isabs(path):
        raise Failure(wire.ERROR_KIND_BAD_CONFIG, "an absolute path is needed", "path")
    return path


def people(source, scope):
    for page in source.pages():
        yield from scope.rows(RESOURCE, "user", [user(person) for person in page])
    yield scope.complete(source_total=source.read()["total"])


def user(person):
    return {
        "id": person["id"],
        "name": person["name"],
        "login": person["login"],
        "status": "active" if person["active"] else "disabled",
        "account_type": "human",
    }


def teams(source, scope):
    listed = source.read()["teams"]
    groups = [{"id": team["id"], "name": team["name"]} for team in listed]
    yield from scope.rows(RESOURCE, "group", groups)
    yield from scope.rows(ENTITLEMENT, "group", list(entitlements(listed)))
    yield from scope.rows(GRANT, "user", list(grants(listed)))
    yield scope.complete()


def entitlements(listed):
    for team in listed:
        for role in ("member", "owner"):
            yield {
                "id": f"{team['id']}:{role}",
                "resource": f"group:{team['id']}",
                "name": role,
                "privileged": role == "owner",
            }


def grants(listed):
    for team in listed:
        for role in ("member", "owner"):
            for person in team[role + "s"]:
                yield {"principal": person, "entitlement": f"{team['id']}:{role}"}


def keys(source):
    """Every record that there is, by its key."""
    listed = source.read()["teams"]
    known = {(RESOURCE, "user", person["id"], "") for page in source.pages() for person in page}
    known |= {(RESOURCE, "group", team["id"], "") for team in listed}
    known |= {(ENTITLEMENT, "group", it["id"], "") for it in entitlements(listed)}
    known |= {(GRANT, "user", it["principal"], it["entitlement"]) for it in grants(listed)}
    return known


def refuse(context, failure):
    error = wire.Error(kind=failure.kind, message=str(failure), field=failure.field)
    context.set_trailing_metadata((("cordon-error-bin", error.SerializeToString()),))
    context.abort(CODES[failure.kind], str(failure))


if __name__ == "__main__":
    # Standard error is the log; standard output stays empty.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    channel.serve(People())
