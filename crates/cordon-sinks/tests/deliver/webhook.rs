//! What the webhook sink promises: signed, ordered, and not at its receiver's mercy.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_sinks::{DeliverError, Sink, SinkConfig, SinkOpenError, WebhookConfig};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde_json::Value;
use sha2::Sha256;

use crate::receiver::{Answer, Receiver, Request};
use crate::{baseline, deliveries, delivery_of};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OK: Answer = Answer::Head("200 OK\r\n");

pub(crate) fn config(url: &str) -> WebhookConfig {
    WebhookConfig {
        url: url.to_owned(),
        secret: SecretString::from(SECRET),
        batch_max: 500,
        timeout: Duration::from_secs(30),
        allow_insecure: false,
    }
}

pub(crate) fn open(config: WebhookConfig) -> Result<Sink, SinkOpenError> {
    Sink::open("siem", SinkConfig::Webhook(config))
}

/// Delivers one change, with a second to do it, to a receiver that gives this answer.
async fn check(answer: Answer) -> Result<(), DeliverError> {
    check_within(Duration::from_secs(1), answer).await
}

async fn check_within(timeout: Duration, answer: Answer) -> Result<(), DeliverError> {
    let receiver = Receiver::start(vec![answer]).await;
    let config = WebhookConfig { timeout, ..config(&receiver.url) };
    let (mut sink, batch) = (open(config).unwrap(), deliveries(1..=1));
    let done = tokio::time::timeout(Duration::from_secs(10), sink.deliver(&batch)).await;
    done.expect("a delivery ends soon after its time")
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn seqs(request: &Request) -> Vec<u64> {
    let body = body(request);
    let changes = body["changes"].as_array().unwrap();
    changes.iter().map(|change| change["seq"].as_u64().unwrap()).collect()
}

/// The signature as a receiver computes it from what it got.
fn expected_signature(request: &Request) -> String {
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in ["webhook-id", "webhook-timestamp"] {
        mac.update(request.headers[part].as_bytes());
        mac.update(b".");
    }
    mac.update(&request.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_request_is_signed_so_that_its_receiver_can_tell_who_sent_it_and_when() {
    let receiver = Receiver::start(vec![OK]).await;
    let mut sink = open(config(&receiver.url)).unwrap();
    sink.deliver(&deliveries(11..=13)).await.unwrap();

    let request = &receiver.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/in/cordon?x=s3cret"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["webhook-id"], "hr/11-13");
    assert_eq!(request.headers["webhook-signature"], expected_signature(request));
    let sent: i64 = request.headers["webhook-timestamp"].parse().unwrap();
    let age = jiff::Timestamp::now().as_second() - sent;
    assert!((0..60).contains(&age), "the request was made {age} s ago");
}

#[tokio::test]
async fn a_request_holds_the_batch_in_the_documented_body() {
    let receiver = Receiver::start(vec![OK]).await;
    let mut sink = open(config(&receiver.url)).unwrap();
    let batch = deliveries(11..=12);
    sink.deliver(&batch).await.unwrap();
    let expected = serde_json::json!({
        "v": 1,
        "connector": "hr",
        "first_seq": 11,
        "last_seq": 12,
        "changes": [batch[0].to_json(), batch[1].to_json()],
    });
    assert_eq!(body(&receiver.requests()[0]), expected);
}

#[tokio::test]
async fn batches_arrive_in_order_and_an_empty_one_not_at_all() {
    let receiver = Receiver::start(vec![OK]).await;
    let mut sink = open(config(&receiver.url)).unwrap();
    for batch in [deliveries(1..=2), vec![], deliveries(3..=3), deliveries(4..=6)] {
        sink.deliver(&batch).await.unwrap();
    }
    let arrived: Vec<_> = receiver.requests().iter().map(seqs).collect();
    assert_eq!(arrived, [vec![1, 2], vec![3], vec![4, 5, 6]]);
}

#[tokio::test]
async fn a_batch_sent_again_bears_the_same_id() {
    let receiver = Receiver::start(vec![Answer::Head("503 Busy\r\n"), OK]).await;
    let mut sink = open(config(&receiver.url)).unwrap();
    let batch = deliveries(5..=9);
    sink.deliver(&batch).await.unwrap_err();
    sink.deliver(&batch).await.unwrap();
    let ids: Vec<_> =
        receiver.requests().iter().map(|request| request.headers["webhook-id"].clone()).collect();
    assert_eq!(ids, ["hr/5-9", "hr/5-9"]);
}

#[tokio::test]
async fn requests_of_a_snapshot_that_is_sent_whole_have_ids_of_their_own_without_a_full_stop() {
    let receiver = Receiver::start(vec![OK]).await;
    let mut sink = open(config(&receiver.url)).unwrap();
    sink.deliver(&baseline(8, 1..=500)).await.unwrap();
    sink.deliver(&baseline(8, 501..=600)).await.unwrap();
    let ids: Vec<_> =
        receiver.requests().iter().map(|request| request.headers["webhook-id"].clone()).collect();
    assert_eq!(ids, ["hr/8:1-8:500", "hr/8:501-8:600"]);
}

#[tokio::test]
async fn a_batch_too_large_for_one_request_is_sent_as_several_in_order() {
    let receiver = Receiver::start(vec![OK]).await;
    let mut sink = open(WebhookConfig { batch_max: 3, ..config(&receiver.url) }).unwrap();
    assert_eq!(sink.batch_max(), 3);
    let mut batch = deliveries(1..=4);
    batch.extend([delivery_of(5, 300_000), delivery_of(6, 300_000), delivery_of(7, 900_000)]);
    sink.deliver(&batch).await.unwrap();
    let requests = receiver.requests();
    let arrived: Vec<_> = requests.iter().map(seqs).collect();
    assert_eq!(arrived, [vec![1, 2, 3], vec![4, 5], vec![6], vec![7]]);
    for request in &requests {
        assert!(request.body.len() < 1 << 20, "{} bytes", request.body.len());
    }
}

#[tokio::test]
async fn after_a_failed_request_no_later_one_of_the_batch_is_sent() {
    let receiver = Receiver::start(vec![OK, Answer::Head("500 Oops\r\n"), OK]).await;
    let mut sink = open(WebhookConfig { batch_max: 1, ..config(&receiver.url) }).unwrap();
    sink.deliver(&deliveries(1..=3)).await.unwrap_err();
    let arrived: Vec<_> = receiver.requests().iter().map(seqs).collect();
    assert_eq!(arrived, [vec![1], vec![2]]);
}

#[tokio::test]
async fn every_2xx_is_a_receipt() {
    for head in ["200 OK\r\n", "201 Created\r\n", "202 Accepted\r\n", "204 No Content\r\n"] {
        assert_eq!(check(Answer::Head(head)).await, Ok(()), "{head}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_when_the_receiver_says() {
    for (head, after) in [
        ("408 Request Timeout\r\n", None),
        ("409 Conflict\r\n", None),
        ("425 Too Early\r\n", None),
        ("429 Too Many Requests\r\nretry-after: 17\r\n", Some(17)),
        ("500 Internal Server Error\r\n", None),
        ("502 Bad Gateway\r\n", None),
        ("503 Service Unavailable\r\nretry-after: 120\r\n", Some(120)),
        ("503 Service Unavailable\r\nretry-after: 99999999\r\n", Some(3600)),
    ] {
        let error = check(Answer::Head(head)).await.unwrap_err();
        let DeliverError::Retry { after: asked, reason } = error else {
            panic!("{head}: {error:?}")
        };
        assert_eq!(asked, after.map(Duration::from_secs), "{head}");
        assert!(reason.contains(&head[..3]), "{reason}");
    }
}

#[tokio::test]
async fn what_will_not_pass_by_itself_is_refused() {
    for head in ["400 Bad Request\r\n", "401 Unauthorized\r\n", "404 Not Found\r\n", "410 Gone\r\n"]
    {
        let error = check(Answer::Head(head)).await.unwrap_err();
        assert!(matches!(&error, DeliverError::Refused { .. }), "{head}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    let elsewhere = Receiver::start(vec![OK]).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let head = format!("HTTP/1.1 {status}\r\nlocation: {}\r\n\r\n", elsewhere.url);
        let error = check(Answer::Bytes(head.into_bytes())).await.unwrap_err();
        assert!(matches!(&error, DeliverError::Refused { .. }), "{status}: {error:?}");
        assert!(error.to_string().contains("not followed"), "{error}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_refusal_says_what_the_receiver_said_in_bounds() {
    let mut answer =
        b"HTTP/1.1 400 Bad\r\nconnection: close\r\n\r\nno such \x1b[31mtenant\r\n".to_vec();
    answer.extend(vec![b'x'; 1 << 20]);
    let reason = check(Answer::Bytes(answer)).await.unwrap_err().to_string();
    assert!(reason.contains("no such  [31mtenant"), "{reason}");
    assert!(reason.len() < 700, "{} bytes", reason.len());
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_not_read_to_its_end() {
    let answer = Answer::Flood("HTTP/1.1 400 Bad\r\n\r\n", "xxxxxxxxxxxxxxxx");
    let error = check_within(Duration::from_secs(60), answer).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_receiver_that_never_finishes_hits_the_time_limit() {
    for answer in [
        Answer::Silence,
        Answer::Drip("HTTP/1.1 ", "2"),
        Answer::Drip("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        Answer::Drip("HTTP/1.1 500 Oops\r\n\r\n", "x"),
    ] {
        let error = check(answer).await.unwrap_err();
        assert!(matches!(&error, DeliverError::Retry { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_receipt_counts_although_its_body_never_ends() {
    assert_eq!(check(Answer::Flood("HTTP/1.1 200 OK\r\n\r\n", "x")).await, Ok(()));
    assert_eq!(check(Answer::Drip("HTTP/1.1 200 OK\r\n\r\n", "x")).await, Ok(()));
}

#[tokio::test]
async fn a_garbage_answer_is_tried_again() {
    for answer in [
        Answer::Bytes(vec![]),
        Answer::Bytes(b"\0\xff\xfe garbage \r\n\r\n".to_vec()),
        Answer::Bytes(b"HTTP/9.9 200 OK\r\n\r\n".to_vec()),
        Answer::Bytes(b"HTTP/1.1 99999 OK\r\n\r\n".to_vec()),
        Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
        Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n".to_vec()),
        Answer::Flood("HTTP/1.1 200 OK\r\n", "x-header: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
    ] {
        let error = check(answer).await.unwrap_err();
        assert!(matches!(&error, DeliverError::Retry { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_is_tried_again_and_its_url_is_not_shown() {
    let receiver = Receiver::start(vec![Answer::Bytes(vec![])]).await;
    let gone = "http://127.0.0.1:1/in?x=s3cret";
    for url in [receiver.url.as_str(), gone] {
        let error = open(config(url)).unwrap().deliver(&deliveries(1..=1)).await.unwrap_err();
        assert!(matches!(&error, DeliverError::Retry { after: None, .. }), "{error:?}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        if url == gone {
            // The system's own word, and none of the layers above it.
            assert_eq!(error.to_string(), "cannot connect: Connection refused (os error 111)");
        }
    }
    assert!(open(config(gone)).unwrap().check().await.is_err());
}

#[tokio::test]
async fn a_check_delivers_nothing_and_takes_any_answer() {
    let receiver = Receiver::start(vec![Answer::Head("405 Method Not Allowed\r\n")]).await;
    assert_eq!(open(config(&receiver.url)).unwrap().check().await, Ok(()));
    let requests = receiver.requests();
    assert_eq!(requests[0].method, "HEAD");
    assert!(requests[0].body.is_empty());
}

#[tokio::test]
async fn a_receiver_without_https_is_tried_again_when_https_was_asked_for() {
    let receiver = Receiver::start(vec![OK]).await;
    let url = receiver.url.replace("http://", "https://");
    let config = WebhookConfig { timeout: Duration::from_secs(1), ..config(&url) };
    let error = open(config).unwrap().deliver(&deliveries(1..=1)).await.unwrap_err();
    assert!(matches!(&error, DeliverError::Retry { .. }), "{error:?}");
    assert!(receiver.requests().is_empty(), "the change was sent without encryption");
}

#[test]
fn only_https_or_this_host_is_delivered_to_unless_configured() {
    for url in
        ["https://siem.example.com/in", "http://127.0.0.1:9", "http://[::1]/", "http://localhost/"]
    {
        open(config(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for url in [
        "",
        "siem.example.com",
        "ftp://127.0.0.1/",
        "http://siem.example.com/in",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://10.0.0.1/",
        "https://user:hunter2@siem.example.com/",
    ] {
        let error = open(config(url)).expect_err(url);
        assert!(matches!(error, SinkOpenError::Url { .. }), "{url}: {error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let readable = WebhookConfig { allow_insecure: true, ..config("http://siem.example.com/in") };
    open(readable).unwrap();
}

#[test]
fn limits_of_0_are_refused() {
    let url = "https://siem.example.com/in";
    for (field, config) in [
        ("batch_max", WebhookConfig { batch_max: 0, ..config(url) }),
        ("timeout", WebhookConfig { timeout: Duration::ZERO, ..config(url) }),
    ] {
        let error = open(config).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
