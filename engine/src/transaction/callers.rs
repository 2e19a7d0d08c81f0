//! The calls that wait for a transaction's reply: a list that costs one that nobody asks a single word.

use tokio::sync::oneshot;

use super::{CallerId, Reply};

/// Who waits, the newest first.
#[derive(Default)]
pub(super) struct Callers(Option<Box<Caller>>);

struct Caller {
    id: CallerId,
    reply: oneshot::Sender<Reply>,
    before: Callers,
}

impl Callers {
    /// Lets a call wait, under an id that no other one has meanwhile.
    pub(super) fn enter(&mut self, reply: oneshot::Sender<Reply>) -> CallerId {
        let id = CallerId(self.0.as_ref().map_or(0, |newest| newest.id.0.wrapping_add(1)));
        let before = std::mem::take(self);
        self.0 = Some(Box::new(Caller { id, reply, before }));
        id
    }

    /// Replies to a call, once.
    pub(super) fn reply(&mut self, id: CallerId, reply: Reply) {
        let mut place = self;
        while let Some(caller) = place.0.take_if(|caller| caller.id != id) {
            place = &mut place.0.insert(caller).before;
        }
        if let Some(caller) = place.0.take() {
            *place = caller.before;
            // A caller that hung up cancels nothing.
            let _ = caller.reply.send(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_model::State;

    use super::*;

    #[test]
    fn each_caller_hears_its_own_reply_in_whatever_order() {
        let mut callers = Callers::default();
        let (sent, mut heard): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| oneshot::channel())
            .map(|(reply, replied)| (callers.enter(reply), replied))
            .unzip();
        callers.reply(sent[1], Reply::TriesLeft(1));
        callers.reply(sent[1], Reply::Answered(State::Accepted));
        callers.reply(sent[2], Reply::TriesLeft(2));
        let (reply, mut replied) = oneshot::channel();
        let newest = callers.enter(reply);
        assert_ne!(newest, sent[0]);
        callers.reply(sent[0], Reply::TriesLeft(0));
        callers.reply(newest, Reply::TriesLeft(3));
        let told = heard.iter_mut().chain([&mut replied]).map(|replied| replied.try_recv().expect("told"));
        assert_eq!(told.collect::<Vec<_>>(), [0, 1, 2, 3].map(Reply::TriesLeft));
        assert!(callers.0.is_none());
    }
}
