"""Records as the wire carries them: columns, in batches of one kind and type."""

from cordon.v1 import connector_pb2 as wire

RECORDS_MAX = 1024

TEXT, BOOLEAN = wire.ATTRIBUTE_TYPE_TEXT, wire.ATTRIBUTE_TYPE_BOOLEAN
RESOURCE, ENTITLEMENT, GRANT = (
    wire.RECORD_KIND_RESOURCE,
    wire.RECORD_KIND_ENTITLEMENT,
    wire.RECORD_KIND_GRANT,
)

# Kind and type, and their attributes: name, type, required, names the thing for people.
SCHEMAS = {
    (RESOURCE, "user"): [
        ("id", TEXT, True, False),
        ("name", TEXT, False, False),
        ("login", TEXT, False, True),
        ("status", TEXT, False, False),
        ("account_type", TEXT, False, False),
    ],
    (RESOURCE, "group"): [("id", TEXT, True, False), ("name", TEXT, False, False)],
    (ENTITLEMENT, "group"): [
        ("id", TEXT, True, False),
        ("resource", TEXT, True, False),
        ("name", TEXT, False, False),
        ("privileged", BOOLEAN, False, False),
    ],
    (GRANT, "user"): [("principal", TEXT, True, False), ("entitlement", TEXT, True, False)],
}


def schemas():
    """What is announced of every kind and type."""
    for (kind, name), attributes in SCHEMAS.items():
        schema = wire.RecordSchema(kind=kind, type=name)
        for attribute, value, required, natural_key in attributes:
            schema.attributes.add(
                name=attribute, type=value, required=required, natural_key=natural_key
            )
        yield schema


def batches(scope, kind, name, rows):
    """Rows, each a dictionary, as messages of a scope. A value that is absent or None stays absent."""
    for start in range(0, len(rows), RECORDS_MAX):
        page = rows[start : start + RECORDS_MAX]
        batch = wire.Batch(scope=scope, kind=kind, type=name, records=len(page))
        for attribute, value, _, _ in SCHEMAS[kind, name]:
            values = [row.get(attribute) for row in page]
            if any(it is not None for it in values):
                batch.columns.append(_column(attribute, value, values))
        yield wire.SyncMessage(batch=batch)


def _column(name, value_type, values):
    column = wire.Column(name=name)
    if any(value is None for value in values):
        column.presence = _bits(value is not None for value in values)
    if value_type == BOOLEAN:
        column.booleans.bits = _bits(bool(value) for value in values)
    else:
        texts = [(value or "").encode() for value in values]
        column.text.lengths.extend(map(len, texts))
        column.text.data = b"".join(texts)
    return column


def _bits(flags):
    """One bit a record, least significant first."""
    packed = bytearray()
    for place, flag in enumerate(flags):
        if place % 8 == 0:
            packed.append(0)
        packed[-1] |= flag << (place % 8)
    return bytes(packed)


class Scope:
    """A named part of the source that is enumerated as a whole, and counts what it sends."""

    def __init__(self, number, name):
        self.number, self.name, self.records = number, name, 0

    def begin(self):
        begin = wire.ScopeBegin(scope=self.number, name=self.name)
        return wire.SyncMessage(scope_begin=begin)

    def rows(self, kind, name, rows):
        self.records += len(rows)
        return batches(self.number, kind, name, rows)

    def complete(self, source_total=None):
        return self._end(wire.SCOPE_OUTCOME_COMPLETE, source_total=source_total)

    def incomplete(self, reason):
        return self._end(wire.SCOPE_OUTCOME_INCOMPLETE, reason=reason[:512])

    def _end(self, outcome, **more):
        end = wire.ScopeEnd(scope=self.number, outcome=outcome, records=self.records, **more)
        return wire.SyncMessage(scope_end=end)
