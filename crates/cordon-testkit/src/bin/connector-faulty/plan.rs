//! The honest source: every message of a sync that keeps the contract.

use cordon_testkit::scenario::Scenario;
use cordon_wire::v1::{self, sync_message::Message as Payload};

/// The type of an attribute of the honest source.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Boolean,
}

/// Kind, type and attributes of one sort of record.
type Schema = (v1::RecordKind, &'static str, &'static [(&'static str, Type)]);

/// All that is reported. The first attribute is the key.
const SCHEMAS: [Schema; 4] = [
    (
        v1::RecordKind::Resource,
        "user",
        &[
            ("id", Type::Text),
            ("name", Type::Text),
            ("login", Type::Text),
            ("email", Type::Text),
            ("account_type", Type::Text),
            ("status", Type::Text),
        ],
    ),
    (v1::RecordKind::Resource, "group", &[("id", Type::Text), ("name", Type::Text)]),
    (
        v1::RecordKind::Entitlement,
        "group",
        &[
            ("id", Type::Text),
            ("resource", Type::Text),
            ("name", Type::Text),
            ("privileged", Type::Boolean),
        ],
    ),
    (v1::RecordKind::Grant, "user", &[("principal", Type::Text), ("entitlement", Type::Text)]),
];

/// The honest description.
pub(crate) fn description(scenario: &Scenario) -> v1::DescribeResponse {
    let attribute = |(name, value_type): &(&str, Type)| v1::AttributeSchema {
        name: (*name).to_owned(),
        r#type: match value_type {
            Type::Text => v1::AttributeType::Text.into(),
            Type::Boolean => v1::AttributeType::Boolean.into(),
        },
        required: matches!(*name, "id" | "resource" | "principal" | "entitlement"),
        sensitive: false,
        natural_key: matches!(*name, "login" | "email"),
    };
    let schemas = SCHEMAS.iter().map(|(kind, name, attributes)| v1::RecordSchema {
        kind: (*kind).into(),
        r#type: (*name).to_owned(),
        attributes: attributes.iter().map(attribute).collect(),
    });
    v1::DescribeResponse {
        name: "faulty".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_min: cordon_wire::PROTOCOL,
        protocol_max: cordon_wire::PROTOCOL,
        capabilities: scenario
            .looks_up
            .then_some(v1::Capability::Lookup.into())
            .into_iter()
            .collect(),
        schemas: schemas.collect(),
        configuration_schema: r#"{"type":"object","properties":{"file":{"type":"string"}}}"#
            .to_owned(),
    }
}

/// Whether the honest source has a record.
pub(crate) fn holds(scenario: &Scenario, key: &v1::RecordKey) -> bool {
    let number = |id: &str, prefix: &str| id.strip_prefix(prefix)?.parse::<u32>().ok();
    let user = |id: &str| {
        let number = number(id, "u")?;
        let is_there = (scenario.day..scenario.users + scenario.day).contains(&number)
            && !scenario.without.iter().any(|gone| gone == id);
        is_there.then_some(number)
    };
    let group = |id: &str| number(id, "g").filter(|group| *group < scenario.groups);
    let entitled = |id: &str| group(id.strip_suffix(":member")?);
    match key.kind() {
        v1::RecordKind::Resource if key.r#type == "user" => user(&key.id).is_some(),
        v1::RecordKind::Resource => group(&key.id).is_some(),
        v1::RecordKind::Entitlement => entitled(&key.id).is_some(),
        v1::RecordKind::Grant => {
            let both = user(&key.id).zip(entitled(&key.entitlement));
            both.is_some_and(|(user, group)| is_member(scenario, user, group))
        }
        v1::RecordKind::Unspecified => false,
    }
}

fn is_member(scenario: &Scenario, user: u32, group: u32) -> bool {
    let grants = scenario.grants_per_user.min(scenario.groups);
    (0..grants).any(|k| (user + k) % scenario.groups == group)
}

/// Every message of an honest sync, in order; of a source that gives but so many percent of its
/// users and their grants, and still counts all of them.
pub(crate) fn sync(scenario: &Scenario, percent: u32) -> Vec<Payload> {
    let mut plan = Plan { page: scenario.page.max(1) as usize, ..Plan::default() };
    let users: Vec<u32> = (scenario.day..scenario.users + scenario.day)
        .filter(|user| !scenario.without.contains(&format!("u{user}")))
        .collect();
    let given = (users.len() as u64 * u64::from(percent.min(100)) / 100) as usize;
    let total = |records: usize| scenario.totals.then_some(records as u64);

    plan.begin("users");
    plan.records(0, &users[..given], |user| {
        let senior = if *user < scenario.day * 2 { " (senior)" } else { "" };
        vec![
            Cell::Text(format!("u{user}")),
            Cell::Text(format!("User {user}{senior}")),
            Cell::Text(format!("user{user}")),
            Cell::Text(format!("user{user}@example.com")),
            Cell::Text("human".to_owned()),
            Cell::Text("active".to_owned()),
        ]
    });
    plan.end(total(users.len()));

    let groups: Vec<u32> = (0..scenario.groups).collect();
    plan.begin("groups");
    plan.records(1, &groups, |group| {
        vec![Cell::Text(format!("g{group}")), Cell::Text(format!("Group {group}"))]
    });
    plan.records(2, &groups, |group| {
        vec![
            Cell::Text(format!("g{group}:member")),
            Cell::Text(format!("group:g{group}")),
            Cell::Text("member".to_owned()),
            Cell::Boolean(*group < scenario.privileged_groups),
        ]
    });
    plan.end(total(groups.len() * 2));

    for group in groups {
        let is_member = |user: &&u32| is_member(scenario, **user, group);
        let all = users.iter().filter(is_member).count();
        let members: Vec<u32> = users[..given].iter().filter(is_member).copied().collect();
        plan.begin(&format!("members of g{group}"));
        plan.records(3, &members, |user| {
            vec![Cell::Text(format!("u{user}")), Cell::Text(format!("g{group}:member"))]
        });
        plan.end(total(all));
    }
    plan.finish()
}

/// One value.
enum Cell {
    Text(String),
    Boolean(bool),
}

#[derive(Default)]
struct Plan {
    messages: Vec<Payload>,
    page: usize,
    scopes: u32,
    records: u64,
    records_of_scope: u64,
}

impl Plan {
    fn begin(&mut self, name: &str) {
        let begin = v1::ScopeBegin { scope: self.scopes, name: name.to_owned() };
        self.messages.push(Payload::ScopeBegin(begin));
        self.records_of_scope = 0;
    }

    fn records(&mut self, schema: usize, ids: &[u32], row: impl Fn(&u32) -> Vec<Cell>) {
        for page in ids.chunks(self.page) {
            let rows: Vec<Vec<Cell>> = page.iter().map(&row).collect();
            self.messages.push(Payload::Batch(batch(self.scopes, schema, &rows)));
            self.records_of_scope += rows.len() as u64;
        }
    }

    fn end(&mut self, source_total: Option<u64>) {
        self.messages.push(Payload::ScopeEnd(v1::ScopeEnd {
            scope: self.scopes,
            outcome: v1::ScopeOutcome::Complete.into(),
            reason: String::new(),
            records: self.records_of_scope,
            source_total,
            watermark: None,
        }));
        self.records += self.records_of_scope;
        self.scopes += 1;
    }

    fn finish(mut self) -> Vec<Payload> {
        let end = v1::SyncEnd { scopes: self.scopes, records: self.records };
        self.messages.push(Payload::SyncEnd(end));
        self.messages
    }
}

fn batch(scope: u32, schema: usize, rows: &[Vec<Cell>]) -> v1::Batch {
    let (kind, type_name, attributes) = SCHEMAS[schema];
    let columns = attributes.iter().enumerate().map(|(place, (name, value_type))| {
        let values = match value_type {
            Type::Text => text_column(rows, place),
            Type::Boolean => boolean_column(rows, place),
        };
        v1::Column { name: (*name).to_owned(), presence: Vec::new(), values: Some(values) }
    });
    v1::Batch {
        scope,
        kind: kind.into(),
        r#type: type_name.to_owned(),
        records: rows.len() as u32,
        columns: columns.collect(),
    }
}

fn text_column(rows: &[Vec<Cell>], place: usize) -> v1::column::Values {
    let mut column = v1::TextColumn::default();
    for row in rows {
        let Cell::Text(text) = &row[place] else { unreachable!("a schema says which are texts") };
        column.lengths.push(text.len() as u32);
        column.data.extend_from_slice(text.as_bytes());
    }
    v1::column::Values::Text(column)
}

fn boolean_column(rows: &[Vec<Cell>], place: usize) -> v1::column::Values {
    let mut bits = vec![0; rows.len().div_ceil(8)];
    for (index, row) in rows.iter().enumerate() {
        if matches!(row[place], Cell::Boolean(true)) {
            bits[index / 8] |= 1 << (index % 8);
        }
    }
    v1::column::Values::Booleans(v1::BooleanColumn { bits })
}
