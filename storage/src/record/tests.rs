//! Golden bytes: what a version has written, later ones must read. A changed line here is a changed disk format.

mod anonymous;
mod codes;

use tocsin_model::{
    ActivationCodeHash, Answer, AppVersion, CallContext, Callback, CallbackFault, CallbackPhase, CallbackUrl,
    Content, Counter, Decision, Delivery, DeliveryReason, DeliveryStatus, Detail, Device, DeviceGuards,
    DeviceId, DeviceKey, DeviceProfile, DeviceStatus, Enrollment, EnrollmentId, EnrollmentState,
    FailureReason, KeptChallenge, KeyId, KeyUse, Method, Nonce, NumberMatch, Particulars, Platform,
    PublicKey, PushEnvironment, PushKind, PushTarget, PushToken, Recipient, RequestMessage, SealedChallenge,
    Secret, Seldom, State, Thumbprint, Transaction, TransactionId, TwoDigits, UnixMs, User, UserId,
};

use super::*;
use crate::store::KeptProviderToken;

const BARE_BYTES: &str = "\
    b10002010003080409050a060b070308040a61630b61720c61750d61740e000fa200615401614d108263706\
    96e68637573746f6d3a781181a5005006060606060606060606060606060606016144020103616104500707070707\
    070707070707070707070713f5";

const DEVICE_BYTES: &str = "\
    ad0002016172026175036161045003030303030303030303030303030303050306a700614e010002613403614f04614d\
    05616c0681616307a40001016230610201030508060981a6006664657669636501500707070707070707070707070707\
    070702582008080808080808080808080808080808080808080808080808080808080808080358200909090909090909\
    0909090909090909090909090909090909090909090909090458200a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\
    0a0a0a0a0a0a0a0a0a0a0a050b0a0c0b0d105840\
    0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e\
    0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

const TRANSACTION_BYTES: &str = "\
    b600020105020203080409050a060b0703080409050a61630b61720c61750d61740e000fa600615401614d0261530381\
    a200614c0161560481a200614801615705614310826370696e68637573746f6d3a781181a60050060606060606060606\
    06060606060606016144020103616104500707070707070707070707070707070705a30061700104020112a600500606\
    0606060606060606060606060606016370696e0201030c04614a05615013f51819f51825616f";

const ENROLLMENT_BYTES: &str = "\
    ab0002016163026172036175046161055820030303030303030303030303030303030303030303030303030303030303\
    03030604070508010950060606060606060606060606060606060a07";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn payload<R: Encode<()>>(record: &R) -> Vec<u8> {
    to_row(Expiry::Never, record).split_off(envelope::HEADER_BYTES)
}

fn user() -> User {
    User { realm: "r".parse().expect("valid"), id: UserId::from_stored("u") }
}

pub(crate) fn transaction() -> Transaction {
    Transaction {
        id: TransactionId::from_bytes([1; 16]),
        revision: 2,
        client: "c".parse().expect("valid"),
        user: Some(user()),
        type_name: "t".parse().expect("valid"),
        method: Method::Push,
        state: State::Failed(FailureReason::AttemptsExceeded),
        created_at: UnixMs::new(3),
        expires_at: UnixMs::new(4),
        ended_at: Some(UnixMs::new(5)),
        content: Content {
            title: "T".into(),
            message: "M".into(),
            particulars: Particulars {
                secure_message: Some("S".into()),
                details: vec![Detail { label: "L".into(), value: "V".into() }],
                hidden_details: vec![Detail { label: "H".into(), value: "W".into() }],
                context: Some("C".into()),
            }
            .kept(),
        },
        accepted_keys: [KeyUse::Pin, KeyUse::Custom("x".into())].into(),
        recipients: vec![Recipient {
            device_id: DeviceId::from_bytes([6; 16]),
            device_name: "D".into(),
            platform: Platform::Android,
            app: "a".parse().expect("valid"),
            nonce: Nonce::from_bytes([7; 16]),
            delivery: Some(Delivery {
                provider: "p".parse().expect("valid"),
                status: DeliveryStatus::Failed,
                reason: Some(DeliveryReason::TokenSuspect),
            }),
        }],
        attempts: Counter { used: 8, max: 9 },
        resends: Counter { used: 10, max: 11 },
        answer: Some(Box::new(Answer {
            device_id: DeviceId::from_bytes([6; 16]),
            key_use: KeyUse::Pin,
            decision: Decision::Decline,
            decided_at: UnixMs::new(12),
            jws: "J".into(),
            proof_jws: Some("P".into()),
        })),
        keep_for_polling: true,
        request_message: RequestMessage::AskedFor,
        callback_url: None,
        call_context: None,
        seldom: Seldom { cancelled_by: Some("o".parse().expect("valid")), ..Seldom::default() }.kept(),
    }
}

fn device() -> Device {
    Device {
        id: DeviceId::from_bytes([1; 16]),
        revision: 2,
        user: user(),
        app: "a".parse().expect("valid"),
        enrollment_id: EnrollmentId::from_bytes([3; 16]),
        status: DeviceStatus::Unreachable,
        profile: DeviceProfile {
            name: "N".into(),
            platform: Platform::Ios,
            app_version: AppVersion::new("4").expect("valid"),
            os_version: "O".into(),
            model: "M".into(),
            locale: "l".into(),
            capabilities: vec!["c".into()],
        },
        push: PushTarget {
            kind: PushKind::Apns,
            token: PushToken::new(PushKind::Apns, "0a"),
            environment: PushEnvironment::Sandbox,
            registered_at: UnixMs::new(5),
        },
        push_suspect_count: 6,
        push_is_dead: false,
        last_signed_at: None,
        unconfirmed_until: None,
        keys: vec![DeviceKey {
            key_use: KeyUse::Device,
            kid: KeyId::from_bytes([7; 16]),
            public_key: PublicKey { x: [8; 32], y: [9; 32] },
            thumbprint: Thumbprint::from_bytes([10; 32]),
            registered_at: UnixMs::new(11),
        }],
        encryption_key: Some(PublicKey { x: [14; 32], y: [15; 32] }),
        guards: DeviceGuards::default(),
        created_at: UnixMs::new(12),
        last_used_at: UnixMs::new(13),
        server_key: None,
    }
}

fn enrollment() -> Enrollment {
    Enrollment {
        id: EnrollmentId::from_bytes([1; 16]),
        revision: 2,
        client: "c".parse().expect("valid"),
        user: user(),
        app: "a".parse().expect("valid"),
        code_hash: ActivationCodeHash::from_bytes([3; 32]),
        created_at: UnixMs::new(4),
        expires_at: UnixMs::new(5),
        authorized_by: None,
        state: EnrollmentState::Completed {
            device_id: DeviceId::from_bytes([6; 16]),
            completed_at: UnixMs::new(7),
        },
        server_kids: vec![],
        server_key: None,
    }
}

fn transaction_of(payload: &[u8]) -> Result<Transaction, Malformed> {
    from_payload::<TransactionRecord<'_>>(payload)?.into_model(TransactionId::from_bytes([1; 16]))
}

#[test]
fn a_transaction_has_these_bytes() {
    let written = payload(&TransactionRecord::new(&transaction()));
    assert_eq!(hex(&written), TRANSACTION_BYTES);
    assert_eq!(transaction_of(&written), Ok(transaction()));
}

#[test]
fn what_is_rare_about_a_transaction_has_these_bytes() {
    let two_digits = |number| TwoDigits::new(number).expect("below 100");
    let choices = [two_digits(7), two_digits(42), two_digits(99)];
    let common = Transaction { request_message: RequestMessage::NotAsked, seldom: None, ..transaction() };
    let chosen = NumberMatch { right: two_digits(42), choices: Some(choices) };
    let seldom = Seldom { number: Some(chosen), resent_at: Some(UnixMs::new(4)), ..Seldom::default() };
    let rare = Transaction { seldom: seldom.kept(), ..common.clone() };
    let written = payload(&TransactionRecord::new(&rare));
    let plain = hex(&payload(&TransactionRecord::new(&common)));
    assert_eq!(hex(&written), format!("b7{}14182a1543072a631604", &plain[2..]));
    assert_eq!(transaction_of(&written), Ok(rare.clone()));
    let typed = NumberMatch { right: two_digits(7), choices: None };
    let typed = Transaction { seldom: Seldom { number: Some(typed), ..Seldom::default() }.kept(), ..rare };
    assert_eq!(transaction_of(&payload(&TransactionRecord::new(&typed))), Ok(typed));
    let mut spoiled = written;
    let right = spoiled.len() - 8;
    assert_eq!(spoiled[right - 2..=right], [0x14, 0x18, 42]);
    spoiled[right] = 100;
    assert!(transaction_of(&spoiled).is_err(), "no number of two digits");
}

#[test]
fn a_bare_transaction_has_these_bytes() {
    let mut bare = transaction();
    bare.state = State::Pending;
    bare.ended_at = None;
    bare.content.particulars = None;
    bare.recipients.iter_mut().for_each(|recipient| recipient.delivery = None);
    bare.answer = None;
    bare.request_message = RequestMessage::NotAsked;
    bare.seldom = None;
    let written = payload(&TransactionRecord::new(&bare));
    assert_eq!(hex(&written), BARE_BYTES);
    assert_eq!(transaction_of(&written), Ok(bare));
}

/// A login as most are: default texts, one iPhone, the `device` key.
fn typical() -> Transaction {
    let mut login = transaction();
    login.client = "portal".parse().expect("valid");
    let id = UserId::from_stored("user-0012345");
    login.user = Some(User { realm: "customers".parse().expect("valid"), id });
    login.type_name = "login".parse().expect("valid");
    login.state = State::Pending;
    login.created_at = UnixMs::new(1_800_000_000_000);
    login.expires_at = UnixMs::new(1_800_000_120_000);
    login.ended_at = None;
    login.seldom = None;
    login.content = Content {
        title: "Please confirm".into(),
        message: "Open the app to approve or refuse.".into(),
        ..Content::default()
    };
    login.accepted_keys = [KeyUse::Device].into();
    login.recipients = vec![Recipient {
        device_name: "iPhone".into(),
        platform: Platform::Ios,
        app: "bank".parse().expect("valid"),
        delivery: Some(Delivery {
            provider: "apns".parse().expect("valid"),
            status: DeliveryStatus::Queued,
            reason: None,
        }),
        ..login.recipients.remove(0)
    }];
    login.attempts = Counter::new(3);
    login.resends = Counter::new(3);
    login.answer = None;
    login.keep_for_polling = false;
    login.request_message = RequestMessage::NotAsked;
    login
}

#[test]
fn a_typical_transaction_is_small() {
    let login = typical();
    let record = payload(&TransactionRecord::new(&login));
    let marks = payload(&MarksRecord::new(&login));
    assert_eq!((record.len(), marks.len()), (204, 26));
    assert_eq!(transaction_of(&record), Ok(login));
}

#[test]
fn a_device_has_these_bytes() {
    let device = device();
    let written = payload(&DeviceRecord::new(&device));
    assert_eq!(hex(&written), DEVICE_BYTES);
    let read = from_payload::<DeviceRecord<'_>>(&written).expect("well-formed").into_model(device.id);
    assert_eq!(read, Ok(device));
}

#[test]
fn what_guards_a_device_has_these_bytes_and_a_count_that_is_missing_makes_it_unreadable() {
    let mut guarded = Device { encryption_key: None, ..device() };
    let pin = DeviceKey { key_use: KeyUse::Pin, kid: KeyId::from_bytes([14; 16]), ..guarded.keys[0].clone() };
    guarded.keys.push(pin);
    let bare = payload(&DeviceRecord::new(&guarded));
    assert_eq!(hex(&bare[bare.len() - 2..]), "0c00", "no try is written as none");
    guarded.guards = DeviceGuards { pin_tries_used: 2, last_authorization: UnixMs::new(4) };
    let written = payload(&DeviceRecord::new(&guarded));
    assert_eq!(hex(&written[written.len() - 4..]), "0c020e04");
    let read = |payload: &[u8]| from_payload::<DeviceRecord<'_>>(payload)?.into_model(guarded.id);
    assert_eq!(read(&written), Ok(guarded.clone()));
    let mut cut = bare[..bare.len() - 2].to_vec();
    cut[0] -= 1;
    assert_eq!(read(&cut), Err(Malformed("its count of PIN tries does not fit its keys")));
}

#[test]
fn marks_have_these_bytes() {
    let mut marked = transaction();
    let unpushed = Recipient { delivery: None, ..marked.recipients[0].clone() };
    marked.recipients.push(unpushed);
    let written = payload(&MarksRecord::new(&marked));
    assert_eq!(hex(&written), format!("a200020181a30050{}01040201", "06".repeat(16)));
    assert_eq!(from_payload(&written), Ok(MarksRecord::new(&marked)));
}

#[test]
fn marks_change_only_pushes_that_both_know() {
    let mut marked = transaction();
    marked.revision = 9;
    let delivery = marked.recipients[0].delivery.as_mut().expect("it is pushed");
    (delivery.status, delivery.reason) = (DeliveryStatus::Relayed, None);
    delivery.provider = "other".parse().expect("valid");
    let stranger = Recipient { device_id: DeviceId::from_bytes([9; 16]), ..marked.recipients[0].clone() };
    marked.recipients.push(stranger);

    let mut whole = transaction();
    MarksRecord::new(&marked).lay_on(&mut whole).expect("known words");
    let mut expected = transaction();
    expected.revision = 9;
    let delivery = expected.recipients[0].delivery.as_mut().expect("it is pushed");
    (delivery.status, delivery.reason) = (DeliveryStatus::Relayed, None);
    assert_eq!(whole, expected);

    let mut unpushed = transaction();
    unpushed.recipients[0].delivery = None;
    MarksRecord::new(&marked).lay_on(&mut unpushed).expect("known words");
    assert_eq!(unpushed.recipients[0].delivery, None);
}

#[test]
fn an_unknown_word_of_a_mark_is_refused() {
    let mut written = payload(&MarksRecord::new(&transaction()));
    let status = written.len() - 3;
    assert_eq!(written[status - 1..], [0x01, 0x04, 0x02, 0x01]);
    written[status] = 0x17;
    let marks: MarksRecord = from_payload(&written).expect("well-formed");
    assert!(marks.lay_on(&mut transaction()).is_err());
}

#[test]
fn kept_challenges_have_these_bytes() {
    let sealed = KeptChallenge::Sealed(SealedChallenge {
        to: Thumbprint::from_bytes([0x11; 32]),
        encapsulated: [0x22; 65],
        ciphertext: Box::new([0x33, 0x34]),
    });
    let signed = KeptChallenge::Signed("J".into());
    let golden = [
        (sealed, format!("a3005820{}015841{}02423334", "11".repeat(32), "22".repeat(65))),
        (signed, "a102414a".to_owned()),
    ];
    for (kept, bytes) in golden {
        let written = payload(&KeptChallengeRecord::new(&kept));
        assert_eq!(hex(&written), bytes);
        let read = from_payload::<KeptChallengeRecord<'_>>(&written).expect("well-formed").into_model();
        assert_eq!(read, Ok(kept));
    }
}

#[test]
fn half_a_seal_is_refused() {
    let half = [&[0xa2, 0x00, 0x58, 0x20][..], &[0x11; 32], &[0x02, 0x41, 0x33]].concat();
    let read = from_payload::<KeptChallengeRecord<'_>>(&half).expect("well-formed").into_model();
    assert_eq!(read, Err(Malformed("it holds half a seal")));
}

#[test]
fn an_enrolment_has_these_bytes() {
    let enrollment = enrollment();
    let written = payload(&EnrollmentRecord::new(&enrollment));
    assert_eq!(hex(&written), ENROLLMENT_BYTES);
    let read = from_payload::<EnrollmentRecord<'_>>(&written).expect("well-formed").into_model(enrollment.id);
    assert_eq!(read, Ok(enrollment));
}

#[test]
fn what_few_devices_have_stands_behind_the_rest() {
    let bare = device();
    let rare = Device {
        push_is_dead: true,
        last_signed_at: Some(UnixMs::new(14)),
        unconfirmed_until: Some(UnixMs::new(15)),
        ..device()
    };
    let written = payload(&DeviceRecord::new(&rare));
    let bare = payload(&DeviceRecord::new(&bare));
    // The head of the map counts three more.
    assert_eq!((bare[0] + 3, hex(&bare[1..])), (written[0], hex(&written[1..bare.len()])));
    assert_eq!(hex(&written[bare.len()..]), "13f5140e150f");
    let read = from_payload::<DeviceRecord<'_>>(&written).expect("well-formed").into_model(rare.id);
    assert_eq!(read, Ok(rare));
}

#[test]
fn an_enrolment_that_waits_for_its_number_reads_back() {
    let waiting = Enrollment {
        authorized_by: Some(TransactionId::from_bytes([8; 16])),
        state: EnrollmentState::Unconfirmed { device_id: DeviceId::from_bytes([6; 16]), tries_used: 2 },
        ..enrollment()
    };
    let written = payload(&EnrollmentRecord::new(&waiting));
    assert!(hex(&written).ends_with(&format!("08030950{}0b020c50{}", "06".repeat(16), "08".repeat(16))));
    let read = from_payload::<EnrollmentRecord<'_>>(&written).expect("well-formed").into_model(waiting.id);
    assert_eq!(read, Ok(waiting));
}

#[test]
fn the_short_records_have_these_bytes() {
    assert_eq!(hex(&payload(&EmptyRecord {})), "a0");
    let id = "11".repeat(16);
    assert_eq!(hex(&payload(&LinkRecord { id: [0x11; 16] })), format!("a10050{id}"));
    let promise = IdempotencyRecord { id: [0x11; 16], fingerprint: [0x22; 32] };
    assert_eq!(hex(&payload(&promise)), format!("a20050{id}015820{}", "22".repeat(32)));
    assert_eq!(hex(&payload(&UsedRecord { at_ms: 256 })), "a100190100");
    assert_eq!(hex(&payload(&MetaRecord { value: vec![0xff] })), "a10041ff");
    let token = KeptProviderToken {
        credential: [0x33; 32],
        authorization: Secret::new("bearer".to_owned()),
        minted_at: UnixMs::new(1),
        refresh_at: UnixMs::new(2),
        expires_at: UnixMs::new(3),
    };
    let written = payload(&ProviderTokenRecord::new(&token));
    assert_eq!(hex(&written), format!("a5005820{}0166626561726572020103020403", "33".repeat(32)));
    let read = from_payload::<ProviderTokenRecord>(&written).expect("well-formed").into_model();
    assert_eq!((read.credential, read.authorization.expose().as_str()), (token.credential, "bearer"));
    assert_eq!(
        (read.minted_at, read.refresh_at, read.expires_at),
        (token.minted_at, token.refresh_at, token.expires_at)
    );
}

#[cfg(feature = "rocks")]
#[test]
fn the_format_has_these_bytes() {
    assert_eq!(hex(&payload(&FormatRecord { format: 1 })), "a10001");
}

#[test]
fn every_state_and_word_reads_back() {
    let states = FailureReason::ALL.into_iter().map(State::Failed).chain([
        State::Pending,
        State::Accepted,
        State::Declined,
        State::Reported,
        State::Timeout,
        State::Cancelled,
    ]);
    for state in states {
        let one = Transaction { state, ..transaction() };
        let written = payload(&TransactionRecord::new(&one));
        assert_eq!(transaction_of(&written), Ok(one));
        let head: TransactionHead = from_payload(&written).expect("well-formed");
        assert_eq!(head.is_final(), state.is_final(), "{state:?}");
    }
}

#[test]
fn the_head_is_what_the_record_says() {
    let written = payload(&TransactionRecord::new(&transaction()));
    let head: TransactionHead = from_payload(&written).expect("well-formed");
    assert_eq!((head.revision, head.attempts_used, head.resends_used), (2, 8, 10));
    assert_eq!(head.expires_at(), UnixMs::new(4));
}

/// Appends a field with the number 200 to a map of fewer than 23.
fn with_a_field_of_the_future(mut written: Vec<u8>) -> Vec<u8> {
    written[0] += 1;
    written.extend_from_slice(&[0x18, 200, 0x82, 0x01, 0x61, b'x']);
    written
}

#[test]
fn fields_of_the_future_are_skipped() {
    let written = payload(&UsedRecord { at_ms: 256 });
    assert_eq!(from_payload(&with_a_field_of_the_future(written)), Ok(UsedRecord { at_ms: 256 }));
    let marks = MarksRecord::new(&transaction());
    assert_eq!(from_payload(&with_a_field_of_the_future(payload(&marks))), Ok(marks));
    let written = payload(&TransactionRecord::new(&transaction()));
    assert_eq!(transaction_of(&with_a_field_of_the_future(written)), Ok(transaction()));
}

#[test]
fn an_unknown_word_makes_a_row_unreadable() {
    let mut written = payload(&TransactionRecord::new(&transaction()));
    // The map's head, revision and its number, then the number of the state.
    assert_eq!(written[..5], [0xb6, 0x00, 0x02, 0x01, 0x05]);
    written[4] = 0x17;
    assert_eq!(transaction_of(&written), Err(Malformed("it holds an unknown or incomplete state")));
    let head: TransactionHead = from_payload(&written).expect("well-formed");
    assert!(head.is_final(), "it must not be overwritten");
}

#[test]
fn no_cut_or_flip_of_a_record_panics() {
    let written = payload(&TransactionRecord::new(&transaction()));
    for length in 0..written.len() {
        assert!(transaction_of(&written[..length]).is_err(), "cut to {length}");
    }
    for position in 0..written.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut flipped = written.clone();
            flipped[position] ^= flip;
            if let Ok(read) = transaction_of(&flipped) {
                assert_eq!(read.id, transaction().id);
            }
        }
    }
}

const AUDIT_BODY: &str = "\
    aa00050102020304500606060606060606060606060606060605617206617507500101010101010101010101010101010108\
    61740950030303030303030303030303030303030b78186661696c656420617474656d7074735f6578636565646564";

#[test]
fn the_audit_row_has_these_bytes_and_this_hash() {
    let event = tocsin_model::AuditEvent::ended(&transaction()).device(DeviceId::from_bytes([3; 16]));
    let row = AuditRecord::chained(&AuditPlaceRecord::START, 1, UnixMs::new(5), &event, None);
    assert_eq!(hex(&row.body), AUDIT_BODY);
    let before =
        [b"tocsin/v1/audit".to_vec(), vec![0; 32], 1_u64.to_be_bytes().to_vec(), row.body.clone()].concat();
    assert_eq!(row.hash[..], *aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &before).as_ref());
    assert!(row.is_chained(&[0; 32], 1));
    assert!(!row.is_chained(&[0; 32], 2) && !row.is_chained(&[1; 32], 1));
    let stored: AuditRecord = from_payload(&payload(&row)).expect("what was written");
    assert_eq!(stored, row);
    assert_eq!(stored.into_model(1).map(|row| row.event), Ok(event));
}

#[test]
fn a_row_with_a_pseudonym_names_no_user() {
    let event = tocsin_model::AuditEvent::ended(&transaction()).device(DeviceId::from_bytes([3; 16]));
    let pseudonym = tocsin_model::Pseudonym::from_bytes([9; 16]);
    let chained = |named| AuditRecord::chained(&AuditPlaceRecord::START, 1, UnixMs::new(5), &event, named);
    let (plain, named) = (hex(&chained(None).body), hex(&chained(Some(pseudonym)).body));
    assert_eq!(named, plain.replace("066175", "") + "0d50" + &"09".repeat(16));
    let row = chained(Some(pseudonym)).into_model(1).expect("readable");
    assert_eq!(
        (row.pseudonym, row.event.user.is_none(), row.event.kind),
        (Some(pseudonym), true, event.kind)
    );
}

#[test]
fn the_session_of_a_start_is_one_more_field_of_its_audit_row() {
    let body = |event: &tocsin_model::AuditEvent| {
        AuditRecord::chained(&AuditPlaceRecord::START, 1, UnixMs::new(5), event, None).body
    };
    let context = CallContext { session_id: Some("s".into()), ..CallContext::default() };
    let plain = tocsin_model::AuditEvent::started(&Transaction { call_context: None, ..transaction() });
    let called = Transaction { call_context: Some(Box::new(context)), ..transaction() };
    let named = tocsin_model::AuditEvent::started(&called);
    assert_eq!(hex(&body(&named))[2..], format!("{}0c6173", &hex(&body(&plain))[2..]));
    let row = AuditRecord::chained(&AuditPlaceRecord::START, 1, UnixMs::new(5), &named, None);
    assert_eq!(row.into_model(1).map(|row| row.event), Ok(named));
}

#[test]
fn where_the_user_calls_from_is_one_more_field() {
    let called_from = CallContext {
        language: Some("l".into()),
        ip_address: Some("i".into()),
        user_agent: Some("u".into()),
        session_id: Some("s".into()),
    };
    let without = Transaction { seldom: None, ..transaction() };
    let plain = payload(&TransactionRecord::new(&without));
    let with = Transaction { call_context: Some(Box::new(called_from)), ..without };
    let written = payload(&TransactionRecord::new(&with));
    assert_eq!(hex(&written)[2..], format!("{}181ea400616c016169026175036173", &hex(&plain)[2..]));
    assert_eq!(transaction_of(&written), Ok(with));
}

#[test]
fn a_url_to_call_back_is_one_more_field() {
    let uncalled = Transaction { seldom: None, ..transaction() };
    let plain = payload(&TransactionRecord::new(&uncalled));
    let url = CallbackUrl::parse("https://a").expect("valid");
    let calling = Transaction { callback_url: Some(url), ..uncalled };
    let written = payload(&TransactionRecord::new(&calling));
    let added = format!("181c69{}", hex(b"https://a"));
    assert_eq!(hex(&written)[2..], format!("{}{added}", &hex(&plain)[2..]));
    assert_eq!(transaction_of(&written), Ok(calling));
}

#[test]
fn a_callback_has_these_bytes() {
    let owed = Callback {
        transaction_id: TransactionId::from_bytes([1; 16]),
        client: "c".parse().expect("valid"),
        url: CallbackUrl::parse("https://a").expect("valid"),
        state: State::Failed(FailureReason::NoDevice),
        owed_at: UnixMs::new(3),
        tries: 4,
        last_fault: Some(CallbackFault::Redirect),
        phase: CallbackPhase::Owed { next_try_at: UnixMs::new(5) },
    };
    let dead = Callback {
        state: State::Accepted,
        last_fault: None,
        phase: CallbackPhase::Dead { since: UnixMs::new(6) },
        ..owed.clone()
    };
    let golden = [
        (owed, "a80061630169", "02050305040305050704", "0806"),
        (dead, "a60061630169", "020104030606", "0704"),
    ];
    for (callback, head, middle, end) in golden {
        let written = payload(&CallbackRecord::new(&callback));
        assert_eq!(hex(&written), format!("{head}{}{middle}{end}", hex(b"https://a")));
        let read = from_payload::<CallbackRecord<'_>>(&written).expect("well-formed");
        assert_eq!(read.into_model(callback.transaction_id), Ok(callback));
    }
}
