//! What a push must keep to because of those that wait, as the engine finds them: also those that have fallen back, those
//! that only the storage knows, and those that many others came behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_model::{
    AuditActor, DeliveryReason, DeliveryStatus, DurationMs, EmailAddress, ErrorCode, FallbackReason, Method,
    OneTimeCode, Otp, PhoneNumber, Problem, StartRequest, State, Transaction, TransactionId, UserProfile,
};

use crate::faults::until_faults;
use crate::fixture::{Bank, SOON, Script, request, run, user, with_key};

const TYPES: &str = r#"
[sms]
country_prefixes = ["+1"]
[types.code]
method = "sms"
attempts_max = 3
ttl_s = 60
[types.mail]
method = "email"
attempts_max = 3
ttl_s = 60
[types.plain]
ttl_s = 60
resend_gap_s = 0
[types.loose]
ttl_s = 60
purpose = "login"
number_match = "off"
fallback = "code"
fallback_after_s = 1
[types.safe]
ttl_s = 60
fallback = "code"
[types.one]
ttl_s = 60
pending_push = "reject"
[types.spaced]
ttl_s = 60
push_gap_s = 3600
[types.briefly-spaced]
ttl_s = 60
push_gap_s = 5
[types.told]
ttl_s = 60
report_lock_s = 0
"#;

fn portal() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

async fn start(bank: &Bank, type_name: &str) -> Result<Arc<Transaction>, Problem> {
    let (phone_number, email) =
        (PhoneNumber::parse("+15055551234"), EmailAddress::parse("alice@example.com"));
    let request = StartRequest { phone_number, email, ..request("alice", type_name) };
    bank.handle.start(request).await.map(|started| started.transaction)
}

async fn begun(bank: &Bank, type_name: &str) -> TransactionId {
    start(bank, type_name).await.expect("started").id
}

async fn refusal(bank: &Bank, type_name: &str) -> ErrorCode {
    start(bank, type_name).await.expect_err("refused").code
}

async fn resend(bank: &Bank, id: TransactionId) -> Result<u32, ErrorCode> {
    let resent = bank.handle.resend(&portal(), id, None).await;
    resent.map(|resent| resent.resends.used).map_err(|problem| problem.code)
}

async fn until_relayed(bank: &Bank, id: TransactionId) {
    let is_relayed = |view: &Transaction| {
        view.recipients[0].delivery.as_ref().is_some_and(|push| push.status == DeliveryStatus::Relayed)
    };
    bank.until(id, is_relayed).await;
}

/// The code in the message with this number, counted from one.
async fn until_message(bank: &Bank, count: usize) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(message) = bank.network.messages().into_iter().nth(count - 1) {
            return message.text.expose().chars().filter(char::is_ascii_digit).collect();
        }
        assert!(Instant::now() < deadline, "no message {count}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_push_that_fell_back_on_silence_waits_like_any_other() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let phone = bank.enrol("alice").await;
        let strangers = begun(&bank, "loose").await;
        let fallen = bank.until(strangers, |view| view.method == Method::Sms).await;
        assert_eq!(fallen.fallback().map(|fallback| fallback.reason), Some(FallbackReason::NoAnswer));
        assert_eq!(refusal(&bank, "one").await, ErrorCode::PendingExists);
        // From the push on, whatever was sent since.
        let gap_left = fallen.created_at.plus(DurationMs::from_seconds(3_600)).since(bank.clock.now());
        let too_soon = start(&bank, "spaced").await.expect_err("refused");
        assert_eq!(too_soon.code, ErrorCode::RateLimited);
        assert!(too_soon.retry_after.expect("a time") <= gap_left);
        let own = start(&bank, "loose").await.expect("started");
        assert!(own.number().is_some(), "the type asks for none");
        assert_eq!(own.replaces(), [strangers]);
        bank.until(strangers, |view| view.state == State::Cancelled).await;
        assert!(phone.answer(&bank, strangers, "accept").await.is_err());
    });
}

#[test]
fn a_push_that_never_left_holds_no_other_up() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let refused = DeliveryOutcome::Failed(DeliveryReason::RequestRefused);
        bank.network.set(Script::EndAfter(Duration::from_millis(200), refused));
        let safe = begun(&bank, "safe").await;
        let deadline = Instant::now() + SOON;
        while bank.network.pushes().is_empty() {
            assert!(Instant::now() < deadline, "no push");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        bank.until(safe, |view| view.method == Method::Sms).await;
        begun(&bank, "one").await;
        assert_eq!(refusal(&bank, "one").await, ErrorCode::PendingExists);
    });
}

#[test]
fn a_push_that_never_left_leaves_no_gap() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::RequestRefused), Some(true)));
        let failed = begun(&bank, "plain").await;
        bank.until(failed, |view| view.state.is_final()).await;
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        let left = begun(&bank, "spaced").await;
        until_relayed(&bank, left).await;
        assert_eq!(refusal(&bank, "spaced").await, ErrorCode::RateLimited);
    });
}

#[test]
fn a_push_whose_actor_has_fallen_is_still_pending() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let id = begun(&bank, "plain").await;
        until_relayed(&bank, id).await;
        assert!(bank.handle.inject_transaction_fault(id));
        until_faults(&bank, "transaction", 1).await;
        assert_eq!(refusal(&bank, "one").await, ErrorCode::PendingExists);
    });
}

#[test]
fn no_crowd_of_others_hides_the_last_push() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let last = begun(&bank, "plain").await;
        bank.handle.cancel(&portal(), last).await.expect("cancelled");
        // More than fit on a page.
        for _ in 0..210 {
            let letter = begun(&bank, "mail").await;
            bank.handle.cancel(&portal(), letter).await.expect("cancelled");
        }
        assert_eq!(refusal(&bank, "spaced").await, ErrorCode::RateLimited);
    });
}

#[test]
fn a_push_again_counts_for_the_gap_though_it_began_before() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let first = start(&bank, "plain").await.expect("started");
        until_relayed(&bank, first.id).await;
        let deadline = Instant::now() + SOON;
        while bank.clock.now() < first.created_at.plus(DurationMs::from_seconds(5)) {
            assert!(Instant::now() < deadline, "the clock stands");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(resend(&bank, first.id).await, Ok(1));
        bank.handle.cancel(&portal(), first.id).await.expect("cancelled");
        assert_eq!(refusal(&bank, "briefly-spaced").await, ErrorCode::RateLimited);
    });
}

#[test]
fn nothing_is_sent_again_for_a_locked_user() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let phone = bank.enrol("alice").await;
        let (pending, code) = (begun(&bank, "plain").await, begun(&bank, "code").await);
        until_relayed(&bank, pending).await;
        let told = begun(&bank, "told").await;
        assert_eq!(phone.answer(&bank, told, "report").await, Ok(State::Reported));
        let pushed = bank.network.pushes().len();
        assert_eq!(resend(&bank, pending).await, Err(ErrorCode::UserLocked));
        assert_eq!(resend(&bank, code).await, Err(ErrorCode::UserLocked));
        assert_eq!(bank.view(pending).await.resends.used, 0);
        assert_eq!(bank.network.pushes().len(), pushed);
        assert_eq!(phone.answer(&bank, pending, "accept").await, Ok(State::Accepted), "it can be answered");
        assert_eq!(resend(&bank, pending).await, Err(ErrorCode::TransactionFinal));
    });
}

#[test]
fn a_push_that_the_ladder_would_hold_back_is_not_sent_again() {
    const LADDER: &str = "[realms.retail]\nladder_number_match_after = 1\nladder_other_method_after = 2";
    run(async {
        let bank =
            Bank::open_with(|text| format!("{}{TYPES}", text.replace("[realms.retail]", LADDER))).await;
        let phone = bank.enrol("alice").await;
        let (loose, refused) = (begun(&bank, "plain").await, begun(&bank, "plain").await);
        until_relayed(&bank, loose).await;
        assert_eq!(resend(&bank, loose).await, Ok(1));
        until_relayed(&bank, loose).await;
        assert_eq!(phone.answer(&bank, refused, "decline").await, Ok(State::Declined));
        assert_eq!(resend(&bank, loose).await, Err(ErrorCode::MethodDisabled), "it has no number");
        let numbered = start(&bank, "plain").await.expect("started");
        assert!(numbered.number().is_some());
        until_relayed(&bank, numbered.id).await;
        assert_eq!(resend(&bank, numbered.id).await, Ok(1));
        until_relayed(&bank, numbered.id).await;
        assert_eq!(phone.answer(&bank, loose, "decline").await, Ok(State::Declined));
        assert_eq!(resend(&bank, numbered.id).await, Err(ErrorCode::MethodDisabled));
    });
}

/// Two apps of one user: what waits at the one is none of the other's business.
#[test]
fn pushes_are_counted_for_each_user_and_app() {
    let catalogue = |text: &str| {
        let text = text.replace("apps = [\"bank\"]", "apps = [\"*\"]");
        format!("{text}{TYPES}[apps.shop]\n[apps.shop.ios]\nbundle_id = \"com.example.shop\"\n")
    };
    run(async {
        let bank = Bank::open_with(catalogue).await;
        for app in ["bank", "shop"] {
            bank.enrol_in(app, "alice").await;
        }
        let start = async |type_name: &str, app: Option<&str>| {
            let phone_number = PhoneNumber::parse("+15055551234");
            let app = app.map(|app| app.parse().expect("valid"));
            let request = StartRequest { app, phone_number, ..request("alice", type_name) };
            let started = bank.handle.start(request).await;
            started.map(|started| started.transaction).map_err(|problem| problem.code)
        };
        let first = start("loose", Some("bank")).await.expect("started");
        assert_eq!(start("one", Some("bank")).await, Err(ErrorCode::PendingExists));
        assert_eq!(start("spaced", Some("bank")).await, Err(ErrorCode::RateLimited));
        // One that goes to both apps meets what waits at either.
        assert_eq!(start("one", None).await, Err(ErrorCode::PendingExists));
        let other = start("one", Some("shop")).await.expect("nothing waits there");
        bank.handle.cancel(&portal(), other.id).await.expect("cancelled");
        let other = start("loose", Some("shop")).await.expect("nothing is replaced there");
        assert_eq!((other.number(), other.replaces()), (None, &[][..]));
        assert_eq!(bank.view(first.id).await.state, State::Pending);
        let both = start("loose", None).await.expect("started");
        assert_eq!(both.replaces(), [other.id, first.id]);
    });
}

/// The same of the gap: an app that nothing was pushed to is free.
#[test]
fn the_gap_is_kept_for_each_app() {
    let catalogue = |text: &str| {
        let text = text.replace("apps = [\"bank\"]", "apps = [\"*\"]");
        format!("{text}{TYPES}[apps.shop]\n[apps.shop.ios]\nbundle_id = \"com.example.shop\"\n")
    };
    run(async {
        let bank = Bank::open_with(catalogue).await;
        for app in ["bank", "shop"] {
            bank.enrol_in(app, "alice").await;
        }
        for (app, expected) in [
            ("bank", None),
            ("bank", Some(ErrorCode::RateLimited)),
            ("shop", None),
            ("shop", Some(ErrorCode::RateLimited)),
        ] {
            let app = Some(app.parse().expect("valid"));
            let spaced = bank.handle.start(StartRequest { app, ..request("alice", "spaced") }).await;
            assert_eq!(spaced.err().map(|problem| problem.code), expected);
        }
    });
}

#[test]
fn the_ladders_other_method_is_the_fallback_of_the_type() {
    const LADDER: &str = "[realms.retail]\nladder_other_method_after = 1";
    run(async {
        let bank =
            Bank::open_with(|text| format!("{}{TYPES}", text.replace("[realms.retail]", LADDER))).await;
        let phone = bank.enrol("alice").await;
        let refused = begun(&bank, "plain").await;
        assert_eq!(phone.answer(&bank, refused, "decline").await, Ok(State::Declined));
        assert_eq!(refusal(&bank, "plain").await, ErrorCode::MethodDisabled, "it has none");
        let other = start(&bank, "loose").await.expect("started");
        let fallback = other.fallback().expect("a fallback");
        assert_eq!((other.method, fallback.reason), (Method::Sms, FallbackReason::MethodDisabled));
        assert!(other.recipients.is_empty(), "no phone is asked");
        until_message(&bank, 1).await;
        assert_eq!(bank.network.pushes().iter().filter(|push| push.transaction_id == other.id).count(), 0);
    });
}

#[test]
fn a_lock_is_for_every_method_and_for_claims() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let phone = bank.enrol("alice").await;
        let shown = bank.handle.start(StartRequest { user: None, ..request("alice", "qr") }).await;
        let shown = shown.expect("started").transaction;
        let otp = shown.otp().map(Otp::expose).expect("a password").to_owned();
        let told = begun(&bank, "told").await;
        assert_eq!(phone.answer(&bank, told, "report").await, Ok(State::Reported));
        for type_name in ["plain", "code", "mail"] {
            assert_eq!(refusal(&bank, type_name).await, ErrorCode::UserLocked, "{type_name}");
        }
        let refused = phone.claim(&bank, &otp).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::UserLocked);
        assert!(bank.view(shown.id).await.is_unclaimed());
        assert!(bank.network.messages().is_empty());
    });
}

#[test]
fn a_right_code_resets_the_ladder() {
    const LADDER: &str = "[realms.retail]\nladder_number_match_after = 1";
    run(async {
        let bank =
            Bank::open_with(|text| format!("{}{TYPES}", text.replace("[realms.retail]", LADDER))).await;
        let phone = bank.enrol("alice").await;
        let refused = begun(&bank, "plain").await;
        assert_eq!(phone.answer(&bank, refused, "decline").await, Ok(State::Declined));
        assert!(start(&bank, "plain").await.expect("started").number().is_some());
        let code = begun(&bank, "code").await;
        let digits = until_message(&bank, 1).await;
        let tried = bank.handle.try_code(&portal(), code, OneTimeCode::new(digits)).await;
        assert_eq!(tried.map(|ended| ended.state), Ok(State::Accepted));
        assert_eq!(start(&bank, "plain").await.expect("started").number(), None);
    });
}

/// What a start that looks at nothing pending reads: its key, its user, his phones. One that takes an address out of the
/// profile reads that again in its turn, and one that must know what waits reads all of it there.
#[test]
fn a_plain_start_reads_the_storage_three_times() {
    run(async {
        let bank = Bank::open(TYPES).await;
        for user in ["alice", "carol"] {
            bank.enrol(user).await;
        }
        let profile = UserProfile { email: EmailAddress::parse("bob@example.com"), ..UserProfile::default() };
        bank.handle.put_profile(AuditActor::Server, &user("bob"), profile).await.expect("kept");
        for (user, type_name, reads) in [("alice", "plain", 3), ("bob", "mail", 3), ("carol", "one", 6)] {
            let request = with_key(request(user, type_name), user, 1);
            let before = bank.store.looks();
            let started = bank.handle.start(request).await.expect("started").transaction;
            assert_eq!(bank.store.looks() - before, reads, "{type_name}");
            let is_relayed = |view: &Transaction| {
                let code = view.code().and_then(|code| code.delivery.as_ref());
                let push = view.recipients.first().and_then(|recipient| recipient.delivery.as_ref());
                code.or(push).is_some_and(|delivery| delivery.status == DeliveryStatus::Relayed)
            };
            bank.until(started.id, is_relayed).await;
        }
    });
}

/// The door answers it at once; see the features' test of the same.
#[test]
fn a_held_start_that_supersedes_is_stored_with_its_number() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let strangers = begun(&bank, "loose").await;
        let phone_number = PhoneNumber::parse("+15055551234");
        let held = StartRequest { is_held: true, phone_number, ..request("alice", "loose") };
        let own = bank.handle.start(held.clone()).await.expect("started").transaction;
        assert_eq!((own.state, own.number().is_some()), (State::Pending, true));
        bank.until(strangers, |view| view.state == State::Cancelled).await;
        // What the caller asks for itself is still refused.
        let number_match = Some(tocsin_model::NumberMatchRule::Type);
        let refused = bank.handle.start(StartRequest { number_match, ..held }).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::WaitNotPossible);
    });
}
