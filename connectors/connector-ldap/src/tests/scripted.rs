//! What no real server does on demand: it loses its cookies, repeats itself, sends more than it was
//! asked for, or forgets to say whether there is more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::BytesMut;
use cordon_testkit::peer;
use ldap3::asn1::{
    ASNTag, Enumerated, ExplicitTag, Integer, OctetString, PL, Sequence, Set, StructureTag, Tag,
    TagClass, parse_tag, parse_uint, write,
};

use super::*;

/// How a server ends a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// With the same page and cookie, again and again.
    Again,
    /// Without the control of pages.
    Silently,
    /// With a page that is larger than what was asked for.
    Over,
    /// With that code on the second page.
    With(i64),
    /// With a control that cannot be read.
    Garbled,
}

/// A server that answers every search for users in one way.
fn server(ends: Ends) -> String {
    let port = peer::free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, ends));
        }
    });
    format!("ldap://127.0.0.1:{port}")
}

fn serve(mut stream: TcpStream, ends: Ends) {
    let mut bytes = vec![];
    let mut pages = 0;
    loop {
        while let Ok((rest, tag)) = parse_tag(&bytes) {
            let left = rest.len();
            bytes.drain(..bytes.len() - left);
            let answers = answer(tag, ends, &mut pages);
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend(&buffer[..read]),
            _ => return,
        }
    }
}

fn parts(tag: StructureTag) -> Vec<StructureTag> {
    match tag.payload {
        PL::C(parts) => parts,
        PL::P(_) => vec![],
    }
}

fn answer(tag: StructureTag, ends: Ends, pages: &mut usize) -> Vec<u8> {
    let mut message = parts(tag).into_iter();
    let Some(PL::P(number)) = message.next().map(|it| it.payload) else { return vec![] };
    let number = i64::try_from(parse_uint(&number).unwrap().1).unwrap();
    let operation = message.next().unwrap();
    match operation.id {
        0 => encoded(number, result(1, 0), None),
        3 => {
            // Single entries are not there; what is below is.
            let scope = parts(operation).into_iter().nth(1).unwrap().payload;
            if scope == PL::P(vec![0]) {
                return encoded(number, result(5, 0), None);
            }
            *pages += 1;
            page(number, ends, *pages)
        }
        _ => vec![],
    }
}

fn page(number: i64, ends: Ends, page: usize) -> Vec<u8> {
    let (entries, control, code) = match ends {
        Ends::Again => (1, Some(&b"0\x06\x02\x01\x00\x04\x01c"[..]), 0),
        Ends::Silently => (1, None, 0),
        Ends::Over => (60, Some(&b"0\x05\x02\x01\x00\x04\x00"[..]), 0),
        Ends::With(code) if page > 1 => (0, None, code),
        Ends::With(_) => (1, Some(&b"0\x06\x02\x01\x00\x04\x01c"[..]), 0),
        Ends::Garbled => (1, Some(&b"0\x7f\x02"[..]), 0),
    };
    let mut bytes = vec![];
    for user in 0..entries {
        bytes.extend(encoded(number, entry(user), None));
    }
    bytes.extend(encoded(number, result(5, code), control));
    bytes
}

fn text(text: &str) -> Tag {
    Tag::OctetString(OctetString { inner: text.as_bytes().to_vec(), ..OctetString::default() })
}

fn list(inner: Vec<Tag>) -> Tag {
    Tag::Sequence(Sequence { inner, ..Sequence::default() })
}

fn application(id: u64, inner: Vec<Tag>) -> Tag {
    Tag::Sequence(Sequence { id, class: TagClass::Application, inner })
}

fn result(id: u64, code: i64) -> Tag {
    let code = Tag::Enumerated(Enumerated { inner: code, ..Enumerated::default() });
    application(id, vec![code, text(""), text("")])
}

fn entry(user: usize) -> Tag {
    let attribute = |name: &str, value: &str| {
        list(vec![text(name), Tag::Set(Set { inner: vec![text(value)], ..Set::default() })])
    };
    let attributes = vec![
        attribute("entryUUID", &Seed::user_id(user)),
        attribute("uid", &format!("u{user}")),
        attribute("objectClass", "account"),
    ];
    application(4, vec![text(&format!("uid=u{user},dc=x")), list(attributes)])
}

fn encoded(number: i64, operation: Tag, control: Option<&[u8]>) -> Vec<u8> {
    let number = Tag::Integer(Integer { inner: number, ..Integer::default() });
    let mut message = vec![number, operation];
    if let Some(control) = control {
        let value = OctetString { inner: control.to_vec(), ..OctetString::default() };
        let control = list(vec![text("1.2.840.113556.1.4.319"), Tag::OctetString(value)]);
        let inner = Box::new(control);
        message.push(Tag::ExplicitTag(ExplicitTag { id: 0, class: TagClass::Context, inner }));
    }
    let mut bytes = BytesMut::new();
    write::encode_into(&mut bytes, list(message).into_structure()).unwrap();
    bytes.to_vec()
}

#[tokio::test]
async fn a_server_that_does_not_keep_to_its_pages_makes_the_scope_incomplete() {
    for (ends, expected) in [
        (Ends::Again, "after 1 entries: the server sends the same page again and again"),
        (Ends::Silently, "the server sends no pages"),
        (Ends::Over, "the server sends more than the 50 entries"),
        (Ends::Garbled, "the server's answer cannot be read: the control of a page"),
        (Ends::With(53), "after 1 entries: the server ended with unwillingToPerform (53)"),
        (
            Ends::With(12),
            "after 1 entries: the server ended with unavailableCriticalExtension (12)",
        ),
        (Ends::With(11), "after 1 entries: the server ended with adminLimitExceeded (11)"),
        (Ends::With(4), "after 1 entries: the server ended with sizeLimitExceeded (4)"),
        (Ends::With(3), "after 1 entries: the server ended with timeLimitExceeded (3)"),
        (Ends::With(50), "after 1 entries: the server ended with insufficientAccessRights (50)"),
    ] {
        let config = config(&server(ends), &json!({ "base": "dc=x" }));
        let collected = synced(&config).await;
        let users = reason(&collected, "users");
        assert!(users.contains(expected), "{ends:?}: {users}");
        assert!(reason(&collected, "memberships").contains("members may be missing"), "{ends:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_busy_or_away_ends_the_sync_with_its_kind_of_error() {
    let busy = failed(&config(&server(Ends::With(51)), &json!({ "base": "dc=x" }))).await;
    let Error::RateLimited { retry_after, .. } = &busy else { panic!("{busy:?}") };
    assert_eq!(retry_after.as_secs(), 30);
    let away = failed(&config(&server(Ends::With(52)), &json!({ "base": "dc=x" }))).await;
    assert!(matches!(away, Error::Unavailable { .. }), "{away:?}");
    let refused = failed(&config(&server(Ends::With(49)), &json!({ "base": "dc=x" }))).await;
    assert!(matches!(refused, Error::Auth { .. }), "{refused:?}");
}
