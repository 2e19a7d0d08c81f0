//! Answers that must be refused, thrown at the device door as fast as it takes them.
//!
//! A few phones of its own enrol and are asked, so that each answer is wrong in one thing and right in all others. Calls
//! go out several at a time over each connection (HTTP/1.1 pipelining), as somebody would send them who wants to do harm.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use super::crowd::{CrowdPhone, Desk, user_of};
use super::doors::{Authorization, Bounds, Call, Door, ReplyReader};
use super::machine::cpu_time;
use super::phones::{answer_body, proof_claims};
use super::signer::{Addressee, Asked, SigningKey, read_challenge};
use super::target::Reach;
use crate::LoadtestError;

/// Phones that are asked.
const PHONES: u32 = 64;

/// The number of the first of them; crowds are smaller.
const FIRST_PHONE: u32 = 20_000_000;

/// Connections over which answers come.
const CONNECTIONS: usize = 8;

/// Answers that are under way over each.
const PIPELINED: usize = 16;

/// Different calls of one kind for each connection.
const BATCHES: usize = 8;

/// Life of transactions that are to be over, and the wait for it.
const SHORT_LIFE_S: u32 = 5;
const OVER_AFTER: Duration = Duration::from_secs(8);

/// Life of the others.
const LONG_LIFE_S: u32 = 600;

/// Longest wait for a reply of the preparation.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1_024;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    UnknownId,
    UnknownKid,
    Nonce,
    Digest,
    Late,
    /// All is right but the signature: the only one that costs a check.
    Signature,
}

impl Wrong {
    pub(super) const ALL: [Self; 6] =
        [Self::UnknownId, Self::UnknownKid, Self::Nonce, Self::Digest, Self::Late, Self::Signature];

    /// Its name where results are kept.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UnknownId => "unknown_id",
            Self::UnknownKid => "unknown_kid",
            Self::Nonce => "wrong_nonce",
            Self::Digest => "wrong_dh",
            Self::Late => "late",
            Self::Signature => "forged",
        }
    }
}

/// What came of one kind.
#[derive(Clone, Debug)]
pub(super) struct Pelted {
    pub(super) wrong: Wrong,
    pub(super) refused: u64,
    /// The server's own.
    pub(super) cpu: Duration,
    pub(super) took: Duration,
    /// Statuses with their codes, and how many there were of each.
    pub(super) replies: BTreeMap<String, u64>,
}

/// A phone that has been asked.
struct Asking {
    phone: CrowdPhone,
    id: Uuid,
    asked: Asked,
}

#[derive(Deserialize)]
struct Started<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Fetched<'a> {
    challenge: &'a str,
}

/// Throws each kind for so long, at phones that no run before has enrolled. Blocks; a runtime of its own is made for it.
pub(super) fn pelt(
    reach: &Arc<Reach>,
    push_type: &str,
    server: i32,
    run: u32,
    each: Duration,
) -> Result<Vec<Pelted>, LoadtestError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(LoadtestError::io("start a runtime"))?;
    LocalSet::new().block_on(&runtime, async {
        let desk = Rc::new(desk(reach));
        let first = FIRST_PHONE + run * 2 * PHONES;
        let over = ask_all(&desk, push_type, first, SHORT_LIFE_S).await?;
        let open = ask_all(&desk, push_type, first + PHONES, LONG_LIFE_S).await?;
        tokio::time::sleep(OVER_AFTER).await;
        let mut all = Vec::new();
        for wrong in Wrong::ALL {
            let of = if wrong == Wrong::Late { &over } else { &open };
            let batches = batches(reach, wrong, of)?;
            all.push(throw(reach, wrong, &batches, server, each).await?);
        }
        Ok(all)
    })
}

fn desk(reach: &Reach) -> Desk {
    let bounds = Bounds { connections_max: CONNECTIONS, held_max: CONNECTIONS };
    let [portal, device] =
        [&reach.portal, &reach.device].map(|place| Rc::new(Door::new(place.clone(), bounds)));
    Desk {
        portal,
        device,
        authorization: reach.authorization.clone(),
        issuer: reach.issuer.clone(),
        app: reach.app.clone(),
        hpke: false,
    }
}

async fn ask_all(
    desk: &Rc<Desk>,
    push_type: &str,
    first: u32,
    life_s: u32,
) -> Result<Vec<Asking>, LoadtestError> {
    let mut tasks = JoinSet::new();
    for number in first..first + PHONES {
        let (desk, push_type) = (Rc::clone(desk), push_type.to_owned());
        tasks.spawn_local(async move { ask(&desk, &push_type, number, life_s).await });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done.map_err(|error| LoadtestError::Unexpected(error.to_string()))??);
    }
    Ok(all)
}

/// Enrols a phone, starts a transaction for its user and fetches the challenge.
async fn ask(desk: &Desk, push_type: &str, number: u32, life_s: u32) -> Result<Asking, LoadtestError> {
    let unexpected = |what: &str| LoadtestError::Unexpected(format!("{what} before answers were thrown"));
    let (phone, _) = desk.enrol(number).await?;
    let body = format!(r#"{{"type":"{push_type}","user":"{}","ttl_s":{life_s}}}"#, user_of(number));
    let call = Call::post("/v1/transactions", Authorization::Basic(&desk.authorization), &body);
    let reply = desk.portal.call(call, REPLY_DEADLINE).await.result;
    let reply = reply.map_err(|lost| unexpected(lost.word()))?;
    let started = serde_json::from_slice::<Started<'_>>(&reply.body).ok();
    let id: Option<Uuid> = started.and_then(|started| started.id.parse().ok());
    let id = id.ok_or_else(|| unexpected("a start was refused"))?;
    let path = format!("/device/v1/transactions/{id}");
    let claims = proof_claims(&desk.issuer, &phone.device_id, "GET", &path, &Uuid::new_v4().to_string());
    let proof = phone.key.sign("tocsin-proof+jwt", Some(&phone.kid), &claims);
    let reply = desk.device.call(Call::get(&path, Authorization::Proof(&proof)), REPLY_DEADLINE).await.result;
    let reply = reply.map_err(|lost| unexpected(lost.word()))?;
    let fetched: Fetched<'_> =
        serde_json::from_slice(&reply.body).map_err(|_| unexpected("a challenge was refused"))?;
    let transaction_id = id.to_string();
    let addressee =
        Addressee { issuer: &desk.issuer, device_id: &phone.device_id, transaction_id: &transaction_id };
    let asked =
        read_challenge(fetched.challenge, None, addressee).map_err(|distrust| unexpected(distrust.word()))?;
    Ok(Asking { phone, id, asked })
}

/// Bytes of several calls each.
fn batches(reach: &Reach, wrong: Wrong, of: &[Asking]) -> Result<Vec<Vec<u8>>, LoadtestError> {
    let stranger = SigningKey::generate()?;
    let mut all = Vec::new();
    let mut askings = of.iter().cycle();
    for _ in 0..BATCHES * CONNECTIONS {
        let mut batch = Vec::new();
        for asking in askings.by_ref().take(PIPELINED) {
            let body = body(reach, wrong, asking, &stranger);
            let id = if wrong == Wrong::UnknownId { other_id(asking.id) } else { asking.id };
            let path = format!("/device/v1/transactions/{id}/answer");
            batch.extend(Call::post(&path, Authorization::None, &body).to_bytes(&reach.device.host));
        }
        all.push(batch);
    }
    Ok(all)
}

fn body(reach: &Reach, wrong: Wrong, asking: &Asking, stranger: &SigningKey) -> String {
    let Asking { phone, id, asked } = asking;
    let mut asked = asked.clone();
    let mut kid = phone.kid.to_string();
    let mut id = *id;
    match wrong {
        Wrong::UnknownId => id = other_id(id),
        Wrong::UnknownKid => kid = other_text(&kid),
        Wrong::Nonce => asked.nonce = other_text(&asked.nonce),
        Wrong::Digest => asked.dh = other_text(&asked.dh),
        Wrong::Late | Wrong::Signature => {}
    }
    // None of them may be signed well, or a check would be missed that is made.
    answer_body(stranger, &kid, &reach.issuer, &phone.device_id, id, &asked, "accept")
}

/// One that nobody has.
fn other_id(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ 0xffff)
}

/// Base64url of as many bytes, but others.
fn other_text(text: &str) -> String {
    let other = if text.starts_with('A') { 'B' } else { 'A' };
    text.chars().enumerate().map(|(index, letter)| if index == 0 { other } else { letter }).collect()
}

async fn throw(
    reach: &Reach,
    wrong: Wrong,
    batches: &[Vec<u8>],
    server: i32,
    each: Duration,
) -> Result<Pelted, LoadtestError> {
    let server = server.to_string();
    let unseen = || LoadtestError::Unexpected("the server's processor time was not seen".to_owned());
    let replies = Rc::new(RefCell::new(BTreeMap::new()));
    let (begun, before) = (Instant::now(), cpu_time(&server).ok_or_else(unseen)?);
    let mut throwers = JoinSet::new();
    for share in batches.chunks(BATCHES) {
        let (share, replies, address) = (share.to_vec(), Rc::clone(&replies), reach.device.address);
        throwers.spawn_local(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            for batch in share.iter().cycle() {
                if begun.elapsed() >= each {
                    break;
                }
                stream.write_all(batch).await?;
                read_all(&mut stream, &replies).await?;
            }
            Ok::<(), std::io::Error>(())
        });
    }
    while let Some(done) = throwers.join_next().await {
        let done = done.map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        done.map_err(LoadtestError::io("throw answers"))?;
    }
    let (took, cpu) = (begun.elapsed(), cpu_time(&server).ok_or_else(unseen)?.saturating_sub(before));
    let replies = replies.take();
    let is_refusal = |status: StatusCode| {
        status.is_client_error() && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_REQUEST)
    };
    if let Some(other) = replies.keys().find(|(status, _)| !is_refusal(*status)) {
        let what = format!("an answer that is wrong ({}) got {} {}", wrong.name(), other.0, other.1);
        return Err(LoadtestError::Unexpected(what));
    }
    Ok(Pelted {
        wrong,
        refused: replies.values().sum(),
        cpu,
        took,
        replies: replies
            .into_iter()
            .map(|((status, code), count)| (format!("{} {code}", status.as_u16()), count))
            .collect(),
    })
}

type Replies = RefCell<BTreeMap<(StatusCode, String), u64>>;

/// Reads the replies to one batch.
async fn read_all(stream: &mut TcpStream, replies: &Replies) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut reader, mut left) = (ReplyReader::default(), PIPELINED);
    while left > 0 {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut input = &buffer[..length];
        while !input.is_empty() {
            let taken = reader.feed_one(input).map_err(|lost| std::io::Error::other(lost.word()))?;
            input = &input[taken..];
            if reader.is_done() {
                left = left.saturating_sub(1);
                note(replies, &mut reader);
                reader = ReplyReader::default();
            }
        }
    }
    Ok(())
}

fn note(replies: &Replies, reader: &mut ReplyReader) {
    #[derive(Deserialize)]
    struct Problem<'a> {
        code: &'a str,
    }
    let status = reader.head().map_or(StatusCode::BAD_GATEWAY, |head| head.status);
    let body = reader.take();
    let code = serde_json::from_slice::<Problem<'_>>(&body).map_or("", |problem| problem.code);
    let mut replies = replies.borrow_mut();
    // Nearly always it is the one that is known already.
    match replies.iter_mut().find(|((known, word), _)| *known == status && word == code) {
        Some((_, count)) => *count += 1,
        None => drop(replies.insert((status, code.to_owned()), 1)),
    }
}
