//! Erasures: what is left of a user in all the rows there are.

use std::task::Poll;

use futures_util::poll;
use tocsin_engine::Until;
use tocsin_model::{
    AuditActor, CallContext, DurationMs, EmailAddress, FailureReason, PhoneNumber, StartRequest, State,
    Transaction, UserProfile,
};
use tocsin_storage::Store as _;

use crate::fixture::{Bank, enrolment_of, login, request, run, user};

const TYPES: &str = r#"
[sms]
country_prefixes = ["+1"]
[types.code]
method = "sms"
attempts_max = 3
default_message = "{code} for {user}"
[types.mail]
method = "email"
attempts_max = 3
[types.safe]
fallback = "code"
"#;

/// What stands in no row once its user was erased.
const TELLING: [&[u8]; 4] = [b"+15055551234", b"alice@example.com", b"203.0.113.7", b"Wonder Lane"];

/// A start that says all that can be said of a user.
fn telling(type_name: &str) -> StartRequest {
    let mut telling = request("alice-of-wonder", type_name);
    telling.phone_number = PhoneNumber::parse("+15055551234");
    telling.email = EmailAddress::parse("alice@example.com");
    if type_name != "code" {
        telling.content.message = "To Alice, Wonder Lane 7?".into();
    }
    telling.call_context = Some(Box::new(CallContext {
        ip_address: Some("203.0.113.7".into()),
        user_agent: Some("Wonder Lane/1.0".into()),
        ..CallContext::default()
    }));
    telling
}

#[test]
fn no_row_tells_more_of_an_erased_user_than_a_name_beside_an_outcome() {
    run(async {
        let multiple = |text: &str| text.replace("[apps.bank]\n", "[apps.bank]\nmode = \"multiple\"\n");
        let bank = Bank::open_with(|text| format!("{}{TYPES}", multiple(text))).await;
        let alice = user("alice-of-wonder");
        let phone = bank.enrol("alice-of-wonder").await;
        bank.handle.open_enrollment(enrolment_of("alice-of-wonder", "bank")).await.expect("opened");
        let profile = UserProfile {
            phone_number: PhoneNumber::parse("+15055551234"),
            email: EmailAddress::parse("alice@example.com"),
            language: None,
        };
        bank.handle.put_profile(AuditActor::Server, &alice, profile).await.expect("kept");
        let mut begun = Vec::new();
        let mut longer = telling("safe");
        longer.content.change_particulars(|particulars| {
            particulars.secure_message = Some("To Alice, Wonder Lane 7?".into())
        });
        for start in [telling("safe"), longer, telling("code"), telling("mail")] {
            begun.push(bank.handle.start(start).await.expect("started").transaction.id);
        }
        assert_eq!(phone.answer(&bank, begun[0], "accept").await, Ok(State::Accepted));
        bank.handle.cancel(&"portal".parse().expect("valid"), begun[2]).await.expect("cancelled");
        for word in TELLING {
            assert!(!bank.store.rows_with(word).is_empty(), "{}", String::from_utf8_lossy(word));
        }

        bank.handle.erase_user(AuditActor::Server, &alice).await.expect("erased");
        for word in TELLING {
            let rows = bank.store.rows_with(word);
            assert_eq!(rows, Vec::<String>::new(), "{}", String::from_utf8_lossy(word));
        }
        let named = bank.store.rows_with(b"alice-of-wonder");
        let outcomes: Vec<String> =
            begun.iter().map(|id| format!("transaction/0101{}", hex(id.as_bytes()))).collect();
        let others: Vec<&String> = named.iter().filter(|key| !outcomes.contains(key)).collect();
        assert!(others.iter().all(|key| key.starts_with("enrolment/")), "{others:?}");
        let kept = async |index: usize| -> Transaction {
            bank.store.transaction(begun[index]).await.expect("read").expect("there")
        };
        let accepted = kept(0).await;
        assert_eq!(accepted.state, State::Accepted);
        assert!(accepted.answer.is_some(), "what was signed stays");
        assert_eq!(kept(1).await.state, State::Failed(FailureReason::UserDeleted));
        assert_eq!(kept(2).await.state, State::Cancelled);
        assert_eq!(kept(3).await.state, State::Failed(FailureReason::UserDeleted));
    });
}

#[test]
fn what_has_just_ended_shows_nothing_of_an_erased_user() {
    run(async {
        // Whoever asks is told by the actor, which lingers, and not by the storage.
        let bank = Bank::open_with(|text| format!("{text}\n[engine]\nlinger_ms = 60000\n{TYPES}")).await;
        let phone = bank.enrol("alice-of-wonder").await;
        let accepted = bank.handle.start(telling("safe")).await.expect("started").transaction.id;
        assert_eq!(phone.answer(&bank, accepted, "accept").await, Ok(State::Accepted));
        let cancelled = bank.handle.start(telling("code")).await.expect("started").transaction.id;
        bank.handle.cancel(&"portal".parse().expect("valid"), cancelled).await.expect("cancelled");
        let open = bank.handle.start(telling("mail")).await.expect("started").transaction.id;
        assert!(!bank.view(accepted).await.content.message.is_empty());

        bank.handle.erase_user(AuditActor::Server, &user("alice-of-wonder")).await.expect("erased");
        for id in [accepted, cancelled, open] {
            let (view, stored) = (bank.view(id).await, bank.store.transaction(id).await.expect("read"));
            assert_eq!(Some(&*view), stored.as_ref(), "as the storage has it");
            assert!(view.content.message.is_empty() && view.call_context.is_none(), "{view:?}");
            assert!(view.recipients.iter().all(|phone| phone.device_name.is_empty()), "{view:?}");
            assert!(view.code().is_none_or(|code| code.address.is_none()), "{view:?}");
        }
        assert_eq!(bank.view(accepted).await.state, State::Accepted);
    });
}

#[test]
fn nobody_reads_past_an_actor_what_an_erasure_has_taken() {
    run(async {
        let bank = Bank::open_with(|text| format!("{text}\n[engine]\nlinger_ms = 60000\n{TYPES}")).await;
        let portal = "portal".parse().expect("valid");
        let mut ended = Vec::new();
        for name in ["bob", "alice-of-wonder"] {
            bank.enrol(name).await;
            let mut start = login(name);
            start.content.message = "To Alice, Wonder Lane 7?".into();
            let id = bank.handle.start(start).await.expect("started").transaction.id;
            bank.handle.cancel(&portal, id).await.expect("cancelled");
            ended.push(id);
        }
        // The last read of an erasure is the actor's.
        let before = bank.store.looks();
        bank.handle.erase_user(AuditActor::Server, &user("bob")).await.expect("erased");
        assert!(bank.view(ended[0]).await.content.message.is_empty());
        bank.store.hold_looks_behind(bank.store.looks() - before - 1);
        bank.handle.erase_user(AuditActor::Server, &user("alice-of-wonder")).await.expect("erased");

        let at_once = DurationMs::new(0);
        let mut reading = Box::pin(bank.handle.wait(&portal, ended[1], Until::Outcome, at_once));
        let early = poll!(&mut reading);
        bank.store.release_looks();
        let read = match early {
            Poll::Ready(read) => read,
            Poll::Pending => reading.await,
        };
        assert_eq!(&*read.expect("read").content.message, "");
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
