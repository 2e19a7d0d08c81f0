//! What the user of a new transaction is shown: the portal's texts or the type's, and where the call comes from.
//!
//! All of it is fixed before the transaction is stored. Only a type that shows the origin asks for a place, and nothing
//! that goes wrong there refuses a start.

use std::net::IpAddr;
use std::sync::Arc;

use tocsin_config::{AuthenticationType, Config};
use tocsin_model::{
    AuditEvent, CallContext, Content, ContentLimits, ErrorCode, Language, OriginTag, Problem, StartRequest,
    Template, Transaction,
};

use super::Handle;
use crate::device::{check_challenge_size, check_size_for_any_claimer};
use crate::message::{Located, OriginParts, Software, TextParts, languages, origin_text, shown_text};

impl Handle {
    /// What the user is shown; 422 where the type leaves the message to the portal, and it gave none.
    pub(super) async fn content(
        &self,
        config: &Config,
        request: &StartRequest,
        kind: &AuthenticationType,
    ) -> Result<Content, Problem> {
        let languages = languages_of(config, request);
        let mut content = request.content.clone();
        if content.title.is_empty() {
            content.title = default_title(request, kind, &languages);
        }
        if content.message.is_empty() {
            if kind.texts.is_message_required {
                let problem =
                    Problem::new(ErrorCode::FieldRequired, "transactions of this type need a message");
                return Err(problem.with_field("message"));
            }
            content.message = default_message(request, kind, &languages);
        }
        let call_context = request.call_context.as_deref();
        if let (true, Some(call_context)) = (kind.texts.shows_origin, call_context) {
            // Few types show it: the others keep no room for its state.
            let context = Box::pin(self.origin(config, &content, call_context, &languages)).await;
            content.change_particulars(|particulars| particulars.context = context);
        }
        Ok(content)
    }

    /// Where a call comes from, rendered; `None` where the portal sent nothing of it.
    async fn origin(
        &self,
        config: &Config,
        content: &Content,
        call_context: &CallContext,
        languages: &[Language],
    ) -> Option<Box<str>> {
        let CallContext { ip_address, user_agent, .. } = call_context;
        if ip_address.is_none() && user_agent.is_none() {
            return None;
        }
        let template = config.origin.template.in_first_of(languages.iter());
        let located = self.located(template, ip_address.as_deref()).await;
        let software = Software::named_in(template, user_agent.as_deref());
        let message = content.particulars().secure_message.as_deref().unwrap_or(&content.message);
        origin_text(template, OriginParts { message, software: &software, located: &located }).map(Into::into)
    }

    async fn located(&self, template: &Template<OriginTag>, ip_address: Option<&str>) -> Located {
        let address: Option<IpAddr> = ip_address.and_then(|text| text.parse().ok());
        match address {
            Some(address) if template.has_any(&OriginTag::OF_LOCATION) => {
                let origins = self.0.surroundings.origins();
                let (located, event) = origins.locate(address, self.metrics(), self.clock()).await;
                if let Some(event) = event {
                    self.note_aside(event);
                }
                located
            }
            Some(_) | None => Located::NotAsked,
        }
    }

    /// The start does not wait for the row.
    fn note_aside(&self, event: AuditEvent) {
        let handle = self.clone();
        tokio::spawn(async move {
            if let Err(problem) = handle.note(event).await {
                tracing::warn!(code = problem.code.as_str(), "an unknown place is not in the audit trail");
            }
        });
    }

    /// Refuses a challenge that is too large. What is only our own addition is left out before that.
    pub(super) fn fit_challenge(&self, transaction: &mut Transaction) -> Result<(), Problem> {
        let check =
            if transaction.user.is_some() { check_challenge_size } else { check_size_for_any_claimer };
        match check(transaction, self.issuer()) {
            Err(_) if transaction.content.particulars().context.is_some() => {
                transaction.content.change_particulars(|particulars| particulars.context = None);
                self.metrics().origins_left_out.inc();
                check(transaction, self.issuer())
            }
            checked => checked,
        }
    }
}

/// The languages in which the texts of a start are looked for.
pub(super) fn languages_of(config: &Config, request: &StartRequest) -> Vec<Language> {
    let asked = request.call_context.as_deref().and_then(|context| context.language.as_deref());
    // Whoever claims a transaction of nobody is most likely of the client's own realm.
    let by_default = || config.clients.get(&request.client).map(|client| &client.default_realm);
    let realm = request.user.as_ref().map(|user| &user.realm).or_else(by_default);
    let of_realm = realm.and_then(|realm| config.realms.get(realm)).map_or(&[][..], |realm| &realm.languages);
    languages(asked, of_realm)
}

/// The title of a type for this start.
pub(super) fn default_title(
    request: &StartRequest,
    kind: &AuthenticationType,
    languages: &[Language],
) -> Arc<str> {
    let template = kind.texts.title.in_first_of(languages.iter());
    shown_text(template, parts_of(request), ContentLimits::TITLE_CHARACTERS_MAX)
}

/// The message of a type for this start.
pub(super) fn default_message(
    request: &StartRequest,
    kind: &AuthenticationType,
    languages: &[Language],
) -> Arc<str> {
    let template = kind.texts.message.in_first_of(languages.iter());
    shown_text(template, parts_of(request), kind.message_characters_max)
}

fn parts_of(request: &StartRequest) -> TextParts<'_> {
    TextParts {
        type_name: &request.type_name,
        user: request.user.as_ref(),
        call_context: request.call_context.as_deref(),
    }
}
