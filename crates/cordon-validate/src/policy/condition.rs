//! Conditions on the attributes of a record, as operators write them.
//!
//! A condition is a table of attributes, all of which must hold, or a list of such tables, one of
//! which must hold. That is all of and, or and not that people read without thinking; what needs
//! more is two rules.

use std::collections::BTreeMap;
use std::fmt;

use cordon_model::{AttributeName, AttributeType, Row, Value};
use jiff::Timestamp;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{KeyGlob, TimeSpan};

/// Attributes, values or alternatives of one condition, at most.
const PARTS_MAX: usize = 64;

/// What a record has to be like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Condition {
    any_of: Vec<BTreeMap<AttributeName, Test>>,
}

/// What one attribute has to be like; every part that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Test {
    /// Whether it has a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<bool>,
    /// It has one of these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    is: Option<Vec<Literal>>,
    /// It has none of these values; having no value at all is having none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    not: Option<Vec<Literal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    below: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<i64>,
    /// It is a moment longer ago than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_than: Option<TimeSpan>,
    /// It is a moment not so long ago, or one to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    newer_than: Option<TimeSpan>,
    /// Whether the sync changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Literal {
    Text(KeyGlob),
    Integer(i64),
    Boolean(bool),
}

/// A record, what it was before where a sync changed it, and the time that ages are taken at.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) row: &'a Row,
    pub(crate) before: Option<&'a Row>,
    pub(crate) now: Timestamp,
}

impl Condition {
    /// Whether a record is like this.
    pub(crate) fn holds(&self, seen: Seen<'_>) -> bool {
        let fits = |all: &BTreeMap<AttributeName, Test>| {
            all.iter().all(|(name, test)| {
                let value = seen.row.values.get(name.as_str());
                let before = seen.before.and_then(|row| row.values.get(name.as_str()));
                test.holds(value, before, seen.now)
            })
        };
        self.any_of.iter().any(fits)
    }

    /// Whether a part of it asks for what a sync changed.
    pub(crate) fn asks_for_change(&self) -> bool {
        self.tests().any(|(_, test)| test.changed.is_some())
    }

    /// Every attribute that it names, with what it has to be like.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&AttributeName, &Test)> {
        self.any_of.iter().flatten()
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>, before: Option<&Value>, now: Timestamp) -> bool {
        let is = |literals: &Vec<Literal>| {
            value.is_some_and(|value| literals.iter().any(|literal| literal.is(value)))
        };
        let number = |holds: &dyn Fn(i64) -> bool| match value {
            Some(Value::Integer(number)) => holds(*number),
            _ => false,
        };
        let age = |holds: &dyn Fn(i128) -> bool| match value {
            Some(Value::Timestamp(time)) => {
                holds(now.as_nanosecond().saturating_sub(time.as_nanosecond()))
            }
            _ => false,
        };
        let nanos = |span: TimeSpan| i128::from(span.seconds()) * 1_000_000_000;
        self.present.is_none_or(|present| value.is_some() == present)
            && self.is.as_ref().is_none_or(is)
            && !self.not.as_ref().is_some_and(is)
            && self.below.is_none_or(|limit| number(&|n| n < limit))
            && self.above.is_none_or(|limit| number(&|n| n > limit))
            && self.at_least.is_none_or(|limit| number(&|n| n >= limit))
            && self.at_most.is_none_or(|limit| number(&|n| n <= limit))
            && self.older_than.is_none_or(|span| age(&|age| age > nanos(span)))
            && self.newer_than.is_none_or(|span| age(&|age| age <= nanos(span)))
            && self.changed.is_none_or(|changed| (value != before) == changed)
    }

    /// Why values of a type can never be like this; none when they can.
    pub(crate) fn misfit(&self, value_type: AttributeType) -> Option<&'static str> {
        let literals = self.is.iter().chain(&self.not).flatten();
        let numbers = [self.below, self.above, self.at_least, self.at_most];
        let ages = [self.older_than, self.newer_than];
        let is = |wanted| value_type == wanted;
        for literal in literals {
            match literal {
                Literal::Text(_) if !is(AttributeType::Text) => return Some("compared with text"),
                Literal::Integer(_) if !is(AttributeType::Integer) => {
                    return Some("compared with a number");
                }
                Literal::Boolean(_) if !is(AttributeType::Boolean) => {
                    return Some("compared with true or false");
                }
                _ => {}
            }
        }
        if numbers.iter().any(Option::is_some) && !is(AttributeType::Integer) {
            return Some("compared with a number");
        }
        if ages.iter().any(Option::is_some) && !is(AttributeType::Timestamp) {
            return Some("asked for its age");
        }
        None
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Literal {
    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(glob), Value::Text(text)) => glob.matches(text),
            (Self::Integer(known), Value::Integer(number)) => known == number,
            (Self::Boolean(known), Value::Boolean(yes)) => known == yes,
            _ => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, all) in self.any_of.iter().enumerate() {
            if index > 0 {
                f.write_str(", or ")?;
            }
            let tests: Vec<String> = all.iter().map(|(name, test)| test.words(name)).collect();
            f.write_str(&tests.join(" and "))?;
        }
        Ok(())
    }
}

impl Test {
    /// What an attribute has to be like, in words.
    fn words(&self, name: &AttributeName) -> String {
        let one_of = |literals: &Vec<Literal>| {
            literals.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        };
        let parts = [
            self.present.map(|yes| if yes { "is present" } else { "is absent" }.to_owned()),
            self.is.as_ref().map(|literals| format!("is {}", one_of(literals))),
            self.not.as_ref().map(|literals| format!("is not {}", one_of(literals))),
            self.below.map(|number| format!("is below {number}")),
            self.above.map(|number| format!("is above {number}")),
            self.at_least.map(|number| format!("is at least {number}")),
            self.at_most.map(|number| format!("is at most {number}")),
            self.older_than.map(|span| format!("is older than {span}")),
            self.newer_than.map(|span| format!("is newer than {span}")),
            self.changed.map(|yes| if yes { "changed" } else { "did not change" }.to_owned()),
        ];
        format!("{name} {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(glob) => write!(f, "{:?}", glob.to_string()),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
        }
    }
}

// Read by hand: what serde says of a value that fits none of several forms helps nobody.

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionVisitor)
    }
}

struct ConditionVisitor;

impl<'de> Visitor<'de> for ConditionVisitor {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of attributes, such as { department = \"sales\" }, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((name, test)) = map.next_entry::<AttributeName, Test>()? {
            all.insert(name, test);
        }
        bounded("a condition", all.len())?;
        Ok(Condition { any_of: vec![all] })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Condition, A::Error> {
        let mut any_of = Vec::new();
        while let Some(all) = list.next_element::<BTreeMap<AttributeName, Test>>()? {
            bounded("a condition", all.len())?;
            any_of.push(all);
        }
        bounded("a list of conditions", any_of.len())?;
        Ok(Condition { any_of })
    }
}

fn bounded<E: de::Error>(what: &str, parts: usize) -> Result<(), E> {
    match parts {
        0 => Err(E::custom(format!("{what} is empty, so it says nothing"))),
        1..=PARTS_MAX => Ok(()),
        parts => Err(E::custom(format!("{what} has {parts} parts, more than {PARTS_MAX}"))),
    }
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TestVisitor)
    }
}

struct TestVisitor;

impl TestVisitor {
    fn is(literal: Literal) -> Test {
        Test { is: Some(vec![literal]), ..Test::default() }
    }
}

impl<'de> Visitor<'de> for TestVisitor {
    type Value = Test;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values, or a table such as { older_than = \"90d\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Test, E> {
        KeyGlob::new(text).map(|glob| Self::is(Literal::Text(glob))).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Test, E> {
        Ok(Self::is(Literal::Boolean(yes)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Test, E> {
        Ok(Self::is(Literal::Integer(number)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Test, E> {
        let number = i64::try_from(number).map_err(E::custom)?;
        Ok(Self::is(Literal::Integer(number)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Test, A::Error> {
        let mut literals = Vec::new();
        while let Some(literal) = list.next_element::<Literal>()? {
            literals.push(literal);
        }
        bounded("a list of values", literals.len())?;
        Ok(Test { is: Some(literals), ..Test::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Test, A::Error> {
        let parts = Parts::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let test = Test {
            present: parts.present,
            is: parts.is.map(|one_of| one_of.0),
            not: parts.not.map(|one_of| one_of.0),
            below: parts.below,
            above: parts.above,
            at_least: parts.at_least,
            at_most: parts.at_most,
            older_than: parts.older_than,
            newer_than: parts.newer_than,
            changed: parts.changed,
        };
        bounded("what an attribute has to be like", usize::from(!test.is_empty()))?;
        Ok(test)
    }
}

/// The long form of a test.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    present: Option<bool>,
    is: Option<OneOf>,
    not: Option<OneOf>,
    below: Option<i64>,
    above: Option<i64>,
    at_least: Option<i64>,
    at_most: Option<i64>,
    older_than: Option<TimeSpan>,
    newer_than: Option<TimeSpan>,
    changed: Option<bool>,
}

/// One value, or a list of them.
struct OneOf(Vec<Literal>);

impl<'de> Deserialize<'de> for OneOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Test::deserialize(deserializer)? {
            Test { is: Some(literals), present: None, not: None, .. } => Ok(Self(literals)),
            _ => Err(de::Error::custom("a value or a list of values is needed here")),
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let one = OneOf::deserialize(deserializer)?.0;
        let [literal] = <[Literal; 1]>::try_from(one)
            .map_err(|_| de::Error::custom("a list stands where one value is needed"))?;
        Ok(literal)
    }
}
