//! What modules want published. They are all asked about it, and room is looked for, before anything of the message that it
//! comes of happens: what a module made of a message is one thing, and a publisher that is waited for hears "accepted" only if all
//! of it finds room. What comes of no message (events, timers), or of one that nobody waits for, is told as lost where it finds none.

use super::deliver::Full;
use super::publish::RESERVED;
use super::retain::Keep;
use super::route::Route;
use super::staged::Staged;
use super::worker::Worker;
use super::{Broker, publish};
use crate::client::Client;
use crate::message::{Guarantee, Message, Refusal, RefusalKind, Time};
use crate::wasm::{Action, EventKinds, Happening, Loss, Outcome, Unmet, Wish};
use std::collections::VecDeque;
use std::sync::Arc;

/// What modules made of a message beside what it is now. Most messages have nothing of it, and carry one word.
#[derive(Default)]
pub(super) struct Beside(Option<Box<More>>);

struct More {
    /// What they want published.
    wishes: Vec<Judged>,
    /// Without room for those that are promised, the message is not taken.
    bind: bool,
    /// The message is taken, and nobody gets it.
    is_discarded: bool,
}

/// What modules want published beside a message and were not asked about yet, and whether its publisher waits for an answer.
pub(super) type Wanted = Option<Box<(Vec<Wish>, bool)>>;

/// One about which all modules have been asked, and where it goes; an error: that there is no room for it.
struct Judged {
    wish: Wish,
    way: Result<(Arc<Route>, Keep), Refusal>,
}

/// What its publisher was promised of a message, by whichever protocol it came.
#[inline(always)]
pub(super) fn promised(message: &Message) -> Guarantee {
    let handover = message.as_bare().map_or(Guarantee::AtMostOnce, |bare| bare.handover);
    message.envelope().guarantee.max(handover)
}

fn is_promised(message: &Message) -> bool {
    promised(message) != Guarantee::AtMostOnce
}

impl Beside {
    /// Of a message that modules discard.
    pub(super) fn discarded(beside: Self) -> Self {
        let more = beside.0.unwrap_or_else(|| Box::new(More { wishes: Vec::new(), bind: false, is_discarded: true }));
        Self(Some(Box::new(More { is_discarded: true, ..*more })))
    }

    /// Whether the message is taken, and nobody gets it.
    #[inline(always)]
    pub(super) fn is_discarded(&self) -> bool {
        self.0.as_ref().is_some_and(|more| more.is_discarded)
    }

    /// Whatever the message is: it can wait until there is room for all.
    pub(super) fn bind(&mut self) {
        self.0.iter_mut().for_each(|more| more.bind = true);
    }

    /// Those that have to find room, with their ways.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&Message, &Arc<Route>, Keep)> {
        let more = self.0.iter().filter(|more| more.bind);
        let promised = more.flat_map(|more| &more.wishes).filter(|one| is_promised(&one.wish.message));
        promised.filter_map(|one| one.way.as_ref().ok().map(|(route, keep)| (&one.wish.message, route, *keep)))
    }
}

impl Broker {
    /// Asks modules about what others want published, and about what those want because of that, up to a bound. Nothing comes of it
    /// yet but queues.
    #[inline(always)]
    pub(super) fn judge_wishes(&self, worker: &mut Worker, now: Time, wanted: Wanted) -> Beside {
        match wanted {
            None => Beside::default(),
            Some(wanted) => self.judge_each(worker, now, wanted.0, wanted.1),
        }
    }

    fn judge_each(&self, worker: &mut Worker, now: Time, wishes: Vec<Wish>, bind: bool) -> Beside {
        let most = self.limits.wishes_per_message_max;
        let (mut asked, mut each) = (0, Vec::with_capacity(wishes.len()));
        let mut waiting: VecDeque<Wish> = wishes.into();
        while let Some(wish) = waiting.pop_front() {
            if asked == most {
                let why = format!("more than {most} come of one message (broker.wishes_per_message_max)");
                wish.comes_to_nothing(Unmet::Budget, &why);
                continue;
            }
            asked += 1;
            match self.judge_one(worker, now, wish, &mut waiting) {
                Ok(judged) => each.extend(judged),
                Err((wish, unmet, why)) => wish.comes_to_nothing(unmet, &why),
            }
        }
        Beside(Some(Box::new(More { wishes: each, bind, is_discarded: false })))
    }

    /// None: a module discards it.
    fn judge_one(
        &self,
        worker: &mut Worker,
        now: Time,
        mut wish: Wish,
        waiting: &mut VecDeque<Wish>,
    ) -> Result<Option<Judged>, (Wish, Unmet, String)> {
        if wish.message.topic().is_reserved() {
            return Err((wish, Unmet::Reserved, "only the broker itself publishes there".to_owned()));
        }
        let publisher = publish::module_client(wish.module().clone(), self.own_scope.clone());
        if let Err(refusal) = self.check(worker, &publisher, Action::Publish, wish.message.topic().as_str()) {
            return Err((wish, Unmet::Denied, refusal.reason));
        }
        let mut route = self.route_of(worker, wish.message.topic());
        if route.wants_routing {
            let shown = match self.shown(worker, &wish.message) {
                Ok(shown) => shown,
                Err(refusal) => return Ok(Some(Judged { wish, way: Err(refusal) })),
            };
            let chain = worker.chain.clone();
            let verdict = chain.route(&mut worker.guests, &publisher, shown.clone());
            waiting.extend(verdict.wishes);
            match verdict.outcome {
                Outcome::Pass(passed) if passed.topic().is_reserved() => {
                    return Err((wish, Unmet::Reserved, RESERVED.to_owned()));
                }
                Outcome::Pass(passed) => {
                    if passed.topic() != &route.topic {
                        route = self.route_of(worker, passed.topic());
                    }
                    if !passed.is(&shown) {
                        wish.message = self.altered(worker, &chain, &wish.message, &shown, passed);
                    }
                }
                Outcome::Refuse(refusal) => return Err((wish, Unmet::Refused, refusal.reason)),
                Outcome::Discard => {
                    self.metrics.messages_discarded_total.add(1);
                    return Ok(None);
                }
            }
        }
        match self.way_of_wish(worker, now, &publisher, &wish.message, route) {
            Err(refusal) if refusal.kind != RefusalKind::QuotaExceeded => Err((wish, Unmet::Refused, refusal.reason)),
            way => Ok(Some(Judged { wish, way })),
        }
    }

    fn way_of_wish(
        &self,
        worker: &mut Worker,
        now: Time,
        publisher: &Client,
        message: &Message,
        route: Arc<Route>,
    ) -> Result<(Arc<Route>, Keep), Refusal> {
        let keep = self.retention(worker, now, publisher, message, &route)?;
        Ok((self.queue_on_first_use(worker, now, route)?, keep))
    }

    /// Whether there is room for all that has to find some.
    #[inline(always)]
    pub(super) fn wishes_have_room(&self, now: Time, beside: &Beside) -> Result<(), Full> {
        match &beside.0 {
            Some(more) if more.bind => self.each_has_room(now, &more.wishes),
            _ => Ok(()),
        }
    }

    fn each_has_room(&self, now: Time, wishes: &[Judged]) -> Result<(), Full> {
        let promised = wishes.iter().filter(|one| is_promised(&one.wish.message));
        promised.map(|one| (&one.wish.message, &one.way)).try_for_each(|(message, way)| match way {
            Ok((route, keep)) => self.has_room(now, message, route, *keep),
            Err(refusal) => Err(Full::Wish(refusal.clone())),
        })
    }

    /// Finds their ways again, after a wait.
    pub(super) fn renew_wishes(&self, worker: &mut Worker, now: Time, beside: &mut Beside) {
        for Judged { wish, way } in beside.0.iter_mut().flat_map(|more| &mut more.wishes) {
            if let Ok((route, _)) = way {
                let new = self.route_of(worker, wish.message.topic());
                match self.queue_on_first_use(worker, now, new) {
                    Ok(new) => *route = new,
                    Err(refusal) => *way = Err(refusal),
                }
            }
        }
    }

    /// Publishes what modules want. Of those that their message waited for somebody may have filled a queue since it was looked at:
    /// its bound is exceeded, and nothing is lost.
    #[inline(always)]
    pub(super) fn publish_wishes(&self, worker: &mut Worker, now: Time, beside: Beside, staged: &mut Staged) {
        if let Some(more) = beside.0 {
            self.publish_each(worker, now, *more, staged);
        }
    }

    fn publish_each(&self, worker: &mut Worker, now: Time, more: More, staged: &mut Staged) {
        let More { wishes, bind, .. } = more;
        for Judged { wish, way } in wishes {
            let found = way.and_then(|(route, keep)| match bind && is_promised(&wish.message) {
                true => Ok((route, keep)),
                false => match self.has_room(now, &wish.message, &route, keep) {
                    Ok(()) => Ok((route, keep)),
                    Err(full) => Err(full.refusal()),
                },
            });
            match found {
                Ok((route, keep)) => {
                    self.metrics.module_wishes_total.add(1);
                    self.hand_out(worker, now, &wish.message, &route, keep, staged);
                }
                Err(refusal) => {
                    self.metrics.messages_dropped_total.add(1);
                    wish.comes_to_nothing(Unmet::Full, &refusal.reason);
                    self.happened(EventKinds::LOST, || Happening::Lost(wish.message, Loss::QueueFull));
                }
            }
        }
    }

    /// Publishes what modules want where no message is waited for.
    pub(super) fn grant(&self, worker: &mut Worker, now: Time, wishes: Vec<Wish>, staged: &mut Staged) {
        if !wishes.is_empty() {
            let beside = self.judge_each(worker, now, wishes, false);
            self.publish_wishes(worker, now, beside, staged);
        }
    }
}
