//! By which method a transaction begins: that of its type, or, where that cannot be begun, that of a fallback; and which
//! fallback it may take later. All of it is decided before anything is stored.

use std::sync::Arc;

use tocsin_config::{AuthenticationType, CodeRules, Config};
use tocsin_model::{
    ClientId, CodeAddress, CodeDigits, CodeState, Content, Counter, Delivery, DeliveryChoice, DeliveryStatus,
    ErrorCode, Fallback, FallbackPlan, FallbackReason, Language, Method, NumberMatchRule, Problem,
    ProviderName, StartRequest, UnixMs,
};

use super::Handle;
use super::enrolment::refuse_unless;
use super::texts::{default_message, default_title, languages_of};
use crate::sms_gate::CodeBarred;

/// Where the code belongs in a message.
const PLACEHOLDER: &str = "{code}";

/// How a code leaves, and what may follow.
pub(super) struct CodeBeginning {
    pub(super) method: Method,
    pub(super) code: CodeState,
    pub(super) resends_max: u32,
    /// The fallback that was taken to come here.
    pub(super) fallback: Option<Fallback>,
    pub(super) plan: Option<Box<FallbackPlan>>,
}

/// What a type could go on with when its own method comes to nothing, in order.
pub(super) struct Fallbacks(Vec<Link>);

/// One of them.
struct Link {
    method: Method,
    code: CodeState,
    resends_max: u32,
    /// Whether its gateways can be reached at this moment.
    is_reachable: bool,
    /// From when on a silent user brings it about.
    due_at: Option<UnixMs>,
}

impl Handle {
    /// The fallbacks of a type. What they need from the caller is needed at once, so that none of them fails for want of
    /// it when it is taken; what is switched off or has no gateway is none.
    pub(super) fn fallbacks(
        &self,
        config: &Config,
        request: &StartRequest,
        kind: &AuthenticationType,
        called_at: UnixMs,
    ) -> Result<Fallbacks, Problem> {
        let mut links: Vec<Link> = Vec::new();
        let (mut present, mut since) = (kind, called_at);
        let languages = languages_of(config, request);
        // Ends: the configuration has no fallbacks that go round.
        while let Some(rule) = &present.fallback
            && request.delivery != DeliveryChoice::Custom
            && let Some(next) = config.types.get(&rule.to)
        {
            let due_at = rule.after.map(|after| since.plus(after));
            since = due_at.unwrap_or(since);
            present = next;
            if check_served(config, next).is_err() {
                continue;
            }
            let texts = fallback_texts(request, next, &languages);
            let code = self.sent_code(request, next, texts, digits_before(kind, &links))?;
            // A number that no code may be sent to makes it none either.
            if check_country(config, &code).is_ok() {
                let is_reachable = self.first_reachable(&code.gateways).is_some();
                links.push(Link {
                    method: next.method,
                    code,
                    resends_max: next.resends_max,
                    is_reachable,
                    due_at,
                });
            }
        }
        Ok(Fallbacks(links))
    }

    /// Begins a type that sends a code, or its fallback.
    pub(super) fn begin_code(
        &self,
        config: &Config,
        (request, content): (&StartRequest, &Content),
        kind: &AuthenticationType,
        fallbacks: Fallbacks,
        called_at: UnixMs,
    ) -> Result<CodeBeginning, Problem> {
        match self.own_code(config, request, content, kind) {
            Ok(code) => Ok(CodeBeginning {
                method: kind.method,
                code,
                resends_max: kind.resends_max,
                fallback: None,
                plan: fallbacks.plan(),
            }),
            Err(problem) => self.begin_fallback(config, request, kind, fallbacks, problem, called_at),
        }
    }

    /// Begins the first fallback that can be reached and whose code may leave now; the others may follow later. Answers
    /// with the problem itself where no fallback mends it.
    pub(super) fn begin_fallback(
        &self,
        config: &Config,
        request: &StartRequest,
        kind: &AuthenticationType,
        fallbacks: Fallbacks,
        problem: Problem,
        at: UnixMs,
    ) -> Result<CodeBeginning, Problem> {
        let Some(reason) = mended(&problem) else { return Err(problem) };
        let mut barred = None;
        let mut may_leave = |link: &Link| {
            let looked =
                self.0.surroundings.look_at_code(config, link.code.address.as_ref(), &request.client);
            looked.map_err(|found| barred.get_or_insert(found.problem()).code).is_ok()
        };
        let mut links = fallbacks.0.into_iter();
        let Some(link) = links.find(|link| link.is_reachable && may_leave(link)) else {
            return Err(barred.unwrap_or(problem));
        };
        let Link { method, code, resends_max, .. } = link;
        let fallback = Some(Fallback { from: kind.method, to: method, reason, at });
        let plan = Fallbacks(links.collect()).plan();
        Ok(CodeBeginning { method, code, resends_max, fallback, plan })
    }

    /// The code of a type by its own method, as far as it can be sent at this moment.
    fn own_code(
        &self,
        config: &Config,
        request: &StartRequest,
        content: &Content,
        kind: &AuthenticationType,
    ) -> Result<CodeState, Problem> {
        check_fields(request)?;
        check_switch(config, kind.method)?;
        let texts = (Arc::clone(&content.title), Arc::clone(&content.message));
        let mut code = self.sent_code(request, kind, texts, None)?;
        check_country(config, &code)?;
        if code.is_custom() && request.delivery == DeliveryChoice::Custom {
            return Ok(code);
        }
        check_served(config, kind)?;
        let first = self.first_reachable(&code.gateways).ok_or_else(unreachable_gateways)?;
        code.delivery = Some(queued(first));
        Ok(code)
    }

    /// Counts the code that a start sends, where it costs money. It is asked last, when nothing else can refuse the
    /// method.
    pub(super) fn admit_code(
        &self,
        config: &Config,
        client: &ClientId,
        code: &CodeState,
    ) -> Result<(), Problem> {
        let address = code.address.as_ref().filter(|_| !code.is_custom());
        self.0.surroundings.admit_code(config, address, client).map_err(CodeBarred::problem)
    }

    /// A code of this type with this subject and this message.
    fn sent_code(
        &self,
        request: &StartRequest,
        kind: &AuthenticationType,
        (title, message): (Arc<str>, Arc<str>),
        digits: Option<CodeDigits>,
    ) -> Result<CodeState, Problem> {
        let rules = kind.code.as_ref().ok_or_else(Problem::internal)?;
        let is_custom = request.delivery == DeliveryChoice::Custom;
        let key = self.0.surroundings.code_keys.newest().ok_or_else(Problem::internal)?;
        let gateways = if is_custom { Vec::new() } else { rules.gateways.clone() };
        Ok(CodeState {
            key,
            digits: digits.unwrap_or(rules.digits),
            address: if is_custom { None } else { Some(address(request, kind.method)?) },
            delivery: gateways.first().cloned().map(queued),
            gateways,
            title: (kind.method == Method::Email).then_some(title),
            message,
            autofill_domain: rules.autofill_domain.clone(),
            attempts: Counter::new(rules.attempts_max),
            resend_gap: kind.resend_gap,
            verified_at: None,
        })
    }

    /// Whether a type could send a code now, apart from where to.
    pub(super) fn can_send_code(&self, config: &Config, kind: &AuthenticationType) -> bool {
        let rules: Option<&CodeRules> = kind.code.as_ref();
        check_served(config, kind).is_ok()
            && rules.is_some_and(|rules| self.first_reachable(&rules.gateways).is_some())
    }

    fn first_reachable(&self, gateways: &[ProviderName]) -> Option<ProviderName> {
        let table = self.0.surroundings.providers();
        let now = self.clock().now();
        let is_available = |name: &&ProviderName| {
            table.providers.get(*name).is_some_and(|provider| provider.availability.is_available(now))
        };
        gateways.iter().find(is_available).cloned()
    }
}

impl Fallbacks {
    /// What may follow, each holding the next.
    pub(super) fn plan(self) -> Option<Box<FallbackPlan>> {
        self.0.into_iter().rev().fold(None, |next, Link { method, code, resends_max, due_at, .. }| {
            Some(Box::new(FallbackPlan { method, due_at, code, resends_max, next }))
        })
    }
}

/// The reason of a fallback, where the problem is one that a fallback mends: a method that cannot be begun. What the
/// caller has asked for wrongly stays refused.
fn mended(problem: &Problem) -> Option<FallbackReason> {
    let field = problem.field.as_deref();
    match problem.code {
        ErrorCode::NoDevice if field.is_none() => Some(FallbackReason::NoDevice),
        ErrorCode::MethodDisabled => Some(FallbackReason::MethodDisabled),
        ErrorCode::ProviderUnavailable => Some(FallbackReason::ProviderUnavailable),
        ErrorCode::FieldRequired if matches!(field, Some("phone_number" | "email")) => {
            Some(FallbackReason::FieldRequired)
        }
        _ => None,
    }
}

/// A transaction has one code, whichever way it goes: its digits are those of the first type that sends it.
fn digits_before(kind: &AuthenticationType, links: &[Link]) -> Option<CodeDigits> {
    let own = kind.code.as_ref().map(|rules| rules.digits);
    own.or_else(|| links.first().map(|link| link.code.digits))
}

/// Whether the method is switched on and somebody serves it.
fn check_served(config: &Config, kind: &AuthenticationType) -> Result<(), Problem> {
    check_switch(config, kind.method)?;
    let has_gateway = kind.code.as_ref().is_some_and(|rules| !rules.gateways.is_empty());
    refuse_unless(
        has_gateway,
        "no gateway is configured for this type; its codes leave by custom delivery only",
    )
}

fn check_switch(config: &Config, method: Method) -> Result<(), Problem> {
    let is_on = match method {
        Method::Push => config.switches.sending,
        Method::Sms => config.switches.sms,
        Method::Email => config.switches.email,
        Method::Otp => true,
    };
    refuse_unless(is_on, "this method is switched off")
}

/// A message with a code shows nothing else, and no phone answers it.
fn check_fields(request: &StartRequest) -> Result<(), Problem> {
    let particulars = request.content.particulars();
    let is_loose = request.number_match.is_none_or(|rule| rule == NumberMatchRule::Off);
    let is_usual = matches!(request.delivery, DeliveryChoice::Usual | DeliveryChoice::Custom);
    for (field, is_fit) in [
        ("device_id", request.device_id.is_none()),
        ("app", request.app.is_none()),
        ("secure_message", particulars.secure_message.is_none()),
        ("details", particulars.details.is_empty()),
        ("hidden_details", particulars.hidden_details.is_empty()),
        ("number_match", is_loose),
        ("delivery", is_usual),
    ] {
        if !is_fit {
            let detail = "this has no meaning for a type that sends a code";
            return Err(Problem::new(ErrorCode::InvalidField, detail).with_field(field));
        }
    }
    Ok(())
}

/// Where the code goes.
fn address(request: &StartRequest, method: Method) -> Result<CodeAddress, Problem> {
    let (given, field) = match method {
        Method::Email => (request.email.clone().map(CodeAddress::Email), "email"),
        _ => (request.phone_number.clone().map(CodeAddress::Phone), "phone_number"),
    };
    given.ok_or_else(|| Problem::new(ErrorCode::FieldRequired, "this field is needed").with_field(field))
}

/// What a fallback says. Its message is its own unless the caller's has a place for the code: what was written for a push
/// would leave the code alone.
fn fallback_texts(
    request: &StartRequest,
    kind: &AuthenticationType,
    languages: &[Language],
) -> (Arc<str>, Arc<str>) {
    let Content { title, message, .. } = &request.content;
    let title = if title.is_empty() { default_title(request, kind, languages) } else { Arc::clone(title) };
    let message = if message.contains(PLACEHOLDER) {
        Arc::clone(message)
    } else {
        default_message(request, kind, languages)
    };
    (title, message)
}

fn queued(provider: ProviderName) -> Delivery {
    Delivery { provider, status: DeliveryStatus::Queued, reason: None }
}

/// A number outside of the countries that codes may be sent to is refused, whatever else is said. Without any such
/// country there is no gateway either, and nothing is sent.
fn check_country(config: &Config, code: &CodeState) -> Result<(), Problem> {
    match &code.address {
        Some(CodeAddress::Phone(number))
            if !config.sms.country_prefixes.is_empty() && config.sms.prefix_of(number).is_none() =>
        {
            let detail = "codes are not sent to numbers of this country";
            Err(Problem::new(ErrorCode::InvalidField, detail).with_field("phone_number"))
        }
        Some(CodeAddress::Phone(_) | CodeAddress::Email(_)) | None => Ok(()),
    }
}

fn unreachable_gateways() -> Problem {
    Problem::new(ErrorCode::ProviderUnavailable, "no gateway can be reached at the moment")
}
