//! The other services around the one that is asked about: whether they stayed flat or moved as well.

use crate::{
    grid::PerAge,
    lag::Exposure,
    normal::LogSum,
    reading::{Look, Reading},
    suspects::{self, Candidate, Moment, Neighbor},
    track::{Profile, Scratch},
};

use super::{Inquiry, MOST_OTHERS};

/// The other services' evidence, from one end.
pub(super) struct Neighborhood {
    services: Vec<(Option<String>, Profile)>,
}

impl Neighborhood {
    /// The mean over each service's series, as the engine has it.
    pub(super) fn read(inquiry: &Inquiry<'_>, look: &Look) -> Self {
        let question = inquiry.question;
        let mut scratch = Scratch::default();
        let mut grouped: Vec<(Option<String>, Vec<Profile>)> = Vec::new();
        for other in question.others.iter().filter(|other| other.name != question.series).take(MOST_OTHERS) {
            let reading =
                Reading::new(question.settings, other.name, other.points, None, inquiry.reading.bin_s, question.now)
                    .named_after(question.settings, question.deploys);
            let own = reading.owner.is_some() && reading.owner == inquiry.reading.owner;
            if own || reading.last().is_none_or(|last| last + 12 < look.end) {
                continue;
            }
            // The denominator of a ratio is not at hand here, so the series is judged by its level.
            let Some(profile) = reading.track(look.end).profile(look.end, &mut scratch) else { continue };
            match grouped.iter_mut().find(|(owner, _)| owner.is_some() && *owner == reading.owner) {
                Some((_, profiles)) => profiles.push(profile),
                None => grouped.push((reading.owner, vec![profile])),
            }
        }
        Self { services: grouped.into_iter().map(|(owner, profiles)| (owner, mean(&profiles))).collect() }
    }

    /// The evidence in each deploy's own service, where that is another one and one of the others.
    pub(super) fn owns<'n>(&'n self, near: &[(Exposure<'_>, usize)], moment: Moment) -> Vec<Option<Neighbor<'n>>> {
        let own = |exposure: &Exposure<'_>| {
            let origin = &exposure.deploy().service;
            let (_, profile) = self.services.iter().find(|(owner, _)| owner.as_ref() == Some(origin))?;
            let at_home: Vec<Candidate<'_>> = near
                .iter()
                .filter(|(exposure, _)| exposure.deploy().service == *origin)
                .map(|(exposure, _)| Candidate { exposure: *exposure, hops: 0, own: None })
                .collect();
            Some(Neighbor { profile, ln_local: suspects::ln_local(&at_home, profile, moment) })
        };
        near.iter().map(|(exposure, hops)| if *hops > 0 { own(exposure) } else { None }).collect()
    }

    pub(super) fn neighbors<'n>(
        &'n self,
        inquiry: &Inquiry<'_>,
        near: &[(Exposure<'_>, usize)],
        moment: Moment,
    ) -> Vec<Neighbor<'n>> {
        let local = |owner: &Option<String>, profile: &Profile| {
            let hops = |exposure: &Exposure<'_>| {
                owner.as_ref().and_then(|owner| inquiry.scope.hops(&exposure.deploy().service, owner))
            };
            let candidates: Vec<Candidate<'_>> = near
                .iter()
                .filter_map(|(exposure, _)| Some(Candidate { exposure: *exposure, hops: hops(exposure)?, own: None }))
                .collect();
            suspects::ln_local(&candidates, profile, moment)
        };
        self.services.iter().map(|(owner, profile)| Neighbor { profile, ln_local: local(owner, profile) }).collect()
    }
}

fn mean(profiles: &[Profile]) -> Profile {
    let over = |pick: fn(&Profile) -> &PerAge| -> PerAge {
        std::array::from_fn(|at| {
            profiles.iter().map(|profile| pick(profile)[at]).collect::<LogSum>().ln() - (profiles.len() as f64).ln()
        })
    };
    Profile { step: over(|profile| &profile.step), ramp: over(|profile| &profile.ramp) }
}
